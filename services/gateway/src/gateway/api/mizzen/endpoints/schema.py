"""The bodies of /v1/endpoints. Predict has a parser of its own, which a property compares with its model."""

from typing import Any, Literal

from pydantic import BaseModel, Field

from gateway.api.http.bodies import Body
from gateway.api.mizzen.features.schema import FeatureValues


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
