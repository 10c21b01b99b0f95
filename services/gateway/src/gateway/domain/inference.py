"""Bare inference: tensors in, tensors out, and what a model says of itself."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from gateway.domain.model import (
    Scalar,
)


@dataclass(slots=True)
class Tensor:
    """An OIP tensor: little-endian row-major bytes; BYTES elements are length-prefixed."""

    name: str
    datatype: str
    shape: tuple[int, ...]
    raw: bytes
    parameters: Mapping[str, Scalar] | None = None


@dataclass(slots=True)
class WantedOutput:
    """An output the caller asked for."""

    name: str
    parameters: Mapping[str, Scalar] | None = None


@dataclass(slots=True)
class InferRequest:
    """One inference: a model by name, its tensors, what to answer."""

    model: str
    inputs: list[Tensor]
    version: str = ""
    id: str = ""
    outputs: Sequence[WantedOutput] = ()
    parameters: Mapping[str, Scalar] | None = None
    # InferenceService; empty: the gateway finds it by the model's name.
    service: str = ""
    # Not merged with others' requests, which would then wait for this one.
    alone: bool = False


@dataclass(slots=True)
class InferAnswer:
    """What the model answered. `model_version` is Triton's; `package_version` the package's own (mizzen.version)."""

    model: str
    model_version: str
    outputs: list[Tensor]
    id: str = ""
    parameters: Mapping[str, Scalar] | None = None
    package_version: str = ""


@dataclass(slots=True)
class StreamAnswer:
    """One message of a streaming inference: an answer, or a sentence saying what failed."""

    answer: InferAnswer | None
    error: str = ""


@dataclass(frozen=True, slots=True)
class TensorInfo:
    """A model's input or output as it declares it; -1 = any size."""

    name: str
    datatype: str
    shape: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class ModelInfo:
    """What Triton knows of a model. `max_batch_size` 0: the first dimension is not a batch."""

    name: str
    versions: tuple[str, ...]
    platform: str
    inputs: tuple[TensorInfo, ...]
    outputs: tuple[TensorInfo, ...]
    max_batch_size: int
    stateful: bool
    schema_hash: str
    package_version: str
    baseline: Mapping[str, Scalar | None]
