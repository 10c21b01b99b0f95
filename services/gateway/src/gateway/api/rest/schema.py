"""The bodies of the REST API, as they are read and as documents show them.

Hot paths (predict, features read, infer) have parsers of their own, which a property compares with these models.
"""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, FailFast, Field

from gateway.api.rest.bodies import Body, Number, Text
from gateway.domain.labels import MAX_LABELS


class Problem(BaseModel):
    """RFC 9457 problem document (`application/problem+json`); docs/errors.md lists the codes."""

    type: str = Field(description="URI of the code's description.")
    title: str = Field(description="The code in words.")
    status: int = Field(description="HTTP status.")
    detail: str = Field(description="What is wrong and how to mend it.")
    code: str = Field(description="One of gRPC's names, e.g. INVALID_ARGUMENT.")
    reason: str = Field(description="Stable name of the cause, e.g. UNKNOWN_FIELD.")
    request_id: str = Field(description="Finds the request in logs and records.")
    field: str | None = Field(None, description="Where in the request, e.g. entities.tailnum[3].")
    ids: dict[str, str] | None = Field(None, description="Names of the things involved.")


class OipError(BaseModel):
    """Errors under /v2."""

    error: str = Field(description="What is wrong.")


class Column(BaseModel):
    """A declared entity, input or output."""

    name: str
    dtype: Literal["BOOL", "INT32", "INT64", "FLOAT32", "FLOAT64", "STRING", "TIMESTAMP"]
    unit: str
    description: str


class Route(BaseModel):
    """A model that answers."""

    inference_service: str
    model: str
    weight: int = Field(description="Percent.")
    shadow: bool


class Endpoint(BaseModel):
    """What an application can call."""

    name: str
    description: str
    entities: list[Column]
    inputs: list[Column]
    outputs: list[Column]
    features: list[str]
    routes: list[Route]
    schema_hash: str
    example: dict[str, Any] = Field(description="A request body that works as it stands.")
    ready: bool = Field(description="True while every route's model answers.")


class EndpointList(BaseModel):
    """A page of endpoints."""

    items: list[Endpoint]
    next_page_token: str


class PredictOptions(Body):
    """How to predict."""

    as_of: str | None = Field(None, description="RFC 3339; only where the endpoint says `clock: request`.")
    features: bool = Field(False, description="Answer the feature values too.")
    explain: bool = Field(False, description="Answer how much each feature moved the first output.")


class PredictRequest(Body):
    """Columns: one element a row in every list."""

    entities: dict[str, list[Any]] = Field(default_factory=dict, examples=[{"tailnum": ["N14228"]}])
    inputs: dict[str, list[Any]] = Field(default_factory=dict)
    options: PredictOptions | None = None


class FeatureValues(BaseModel):
    """One feature, a value a row."""

    values: list[Any]
    statuses: list[Literal["PRESENT", "NULL_VALUE", "NOT_FOUND", "OUTSIDE_MAX_AGE", "UNAVAILABLE"]]
    event_timestamps: list[str | None]


class PredictResponse(BaseModel):
    """All rows, in the request's order."""

    request_id: str = Field(description="With a row's number: what a label refers to.")
    endpoint: str
    outputs: dict[str, list[Any]]
    routes: list[str] = Field(description="InferenceService that served each row.")
    model_versions: list[str]
    timings_ms: dict[str, float]
    degraded: bool = Field(description="Declared defaults were used because a dependency was down.")
    features: dict[str, FeatureValues] | None = None
    explanations: dict[str, list[float]] | None = Field(
        None, description="Reference → per row: answer minus answer with that feature at its baseline."
    )


class ReadFeaturesRequest(Body):
    """Which features of which entities."""

    features: list[str] = Field(description="References view:feature.", examples=[["plane:seats"]])
    entities: dict[str, list[Any]]
    inputs: dict[str, list[Any]] = Field(default_factory=dict)


class ReadFeaturesResponse(BaseModel):
    """Feature values, a column per reference."""

    request_id: str
    features: dict[str, FeatureValues]


class Tensor(BaseModel):
    """An Open Inference Protocol tensor."""

    name: str
    shape: list[int]
    datatype: str
    parameters: dict[str, Any] | None = None
    data: list[Any] | None = Field(None, description="Row-major; absent when it follows as bytes.")


class InferRequest(Body):
    """Open Inference Protocol v2."""

    id: str | None = None
    parameters: dict[str, Any] | None = None
    inputs: list[Tensor]
    outputs: list[dict[str, Any]] | None = None


class InferResponse(BaseModel):
    """Open Inference Protocol v2."""

    model_name: str
    model_version: str
    id: str | None = None
    parameters: dict[str, Any] | None = None
    outputs: list[Tensor]


class ServerMetadata(BaseModel):
    """Who serves."""

    name: str
    version: str
    extensions: list[str]


class Live(BaseModel):
    """KServe's body."""

    live: bool


class Ready(BaseModel):
    """KServe's body."""

    ready: bool


class ModelReady(BaseModel):
    """KServe's body."""

    name: str
    ready: bool


class ModelNames(BaseModel):
    """KServe's list of models."""

    models: list[str]


class TensorMetadata(BaseModel):
    """A model's input or output."""

    name: str
    datatype: str
    shape: list[int]


class ModelMetadata(BaseModel):
    """What a model declares."""

    name: str
    versions: list[str]
    platform: str
    inputs: list[TensorMetadata]
    outputs: list[TensorMetadata]


class Models(BaseModel):
    """KServe's list and OpenAI's in one."""

    object: Literal["list"]
    data: list[dict[str, Any]]
    models: list[str]


class Label(Body):
    """Ground truth of one row of one prediction."""

    request_id: Text
    row: int = Field(0, description="The row of the prediction, from 0.")
    output: Text
    value: Number
    event_time: str = Field(description="When the truth became known, RFC 3339; the latest wins.")


class LabelsRequest(Body):
    """Labels to store."""

    labels: Annotated[list[Label], FailFast()] = Field(json_schema_extra={"minItems": 1, "maxItems": MAX_LABELS})


class LabelFailure(BaseModel):
    """Why one label was not stored."""

    index: int
    code: str
    reason: str
    detail: str


class LabelsResponse(BaseModel):
    """What was stored."""

    stored: int
    older: int = Field(description="Left out because a later event time is stored.")
    errors: list[LabelFailure]


class Report(BaseModel):
    """Drift, quality and volumes; see docs for its fields."""

    model_config = ConfigDict(extra="allow")
