"""Definitions as the gateway runs them: endpoints with their routes, tensors and outputs, and feature views."""

from collections.abc import Mapping
from dataclasses import dataclass

from gateway.domain.model import (
    DType,
    Scalar,
)


@dataclass(frozen=True, slots=True)
class Field:
    """A declared entity, input or output."""

    name: str
    dtype: DType
    unit: str = ""
    description: str = ""


@dataclass(frozen=True, slots=True)
class ViewPlan:
    """What a read of a feature view takes."""

    entities: tuple[Field, ...]
    inputs: tuple[Field, ...]


@dataclass(frozen=True, slots=True)
class TensorPlan:
    """An input tensor [rows, len(sources)]; a source is `view:feature`, `entity:NAME` or `input:NAME`."""

    name: str
    datatype: str
    sources: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class OutputPlan:
    """An answer: one column of one output tensor."""

    name: str
    dtype: DType
    tensor: str
    column: int
    unit: str = ""
    description: str = ""


@dataclass(frozen=True, slots=True)
class Route:
    """A model that can answer; weight in percent. `version` empty: the latest."""

    service: str
    model: str
    version: str = ""
    weight: int = 100


@dataclass(frozen=True, slots=True)
class EndpointPlan:
    """An Endpoint, ready to run."""

    name: str
    description: str
    entities: tuple[Field, ...]
    inputs: tuple[Field, ...]
    references: tuple[str, ...]
    # Columns that tell whether a row of any view could not be read, as few as do.
    telling: tuple[int, ...]
    # Entities and inputs that the views of `references` read.
    join_keys: tuple[str, ...]
    view_inputs: tuple[str, ...]
    tensors: tuple[TensorPlan, ...]
    outputs: tuple[OutputPlan, ...]
    routes: tuple[Route, ...]
    shadow: Route | None
    sticky_key: str | None
    request_clock: bool
    on_stale: str
    default_when_down: bool
    max_rows: int
    max_explain_rows: int
    deadline_s: float
    max_in_flight: int
    schema_hash: str
    defaults: Mapping[str, Scalar | None]
    dtypes: Mapping[str, DType]
    example: Mapping[str, object]
    # Why it cannot answer (a reference that does not exist), or empty.
    broken: str = ""
