"""The bodies of the Open Inference Protocol v2. Infer has a parser of its own, which a property compares with its model."""

from typing import Any

from pydantic import BaseModel, Field

from gateway.api.http.bodies import Body


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
