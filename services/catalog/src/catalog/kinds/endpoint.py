"""Endpoint: what an application calls. Entities → features → model tensors → outputs."""

from collections.abc import Iterator, Sequence
from typing import Any, Literal, Self

from pydantic import Field as Described
from pydantic import field_validator, model_validator

from catalog.fields import (
    GROUP_VERSION,
    Definition,
    Fault,
    Field,
    Identifier,
    Location,
    Metadata,
    ObjectName,
    refuse,
    rules,
)
from catalog.kinds.feature_view import duration_s
from catalog.suggestions import meant

MAX_REFERENCES = 2000
"""Most features of one endpoint: as many as one read gives."""
TensorType = Literal["BOOL", "INT32", "INT64", "FP32", "FP64", "BYTES"]


class Tensor(Definition):
    """One input tensor of the model, [rows, len(features)]."""

    name: str = Described(description="Name of the model's input.")
    datatype: TensorType = Described(
        description="Open Inference Protocol type; numbers missing become NaN in FP32 and FP64."
    )
    features: tuple[str, ...] = Described(
        min_length=1, description="Columns in order: `view:feature`, `entity:NAME` or `input:NAME`."
    )


class Output(Field):
    """One named answer."""

    tensor: str = Described(description="Name of the model's output tensor.")
    column: int = Described(default=0, ge=0, description="Column of that tensor, from 0.")


class Model(Definition):
    """How features become the model's tensors and its tensors become outputs."""

    tensors: tuple[Tensor, ...] = Described(min_length=1, max_length=64, description="Input tensors.")
    outputs: tuple[Output, ...] = Described(min_length=1, description="Answers.")


class Route(Definition):
    """One model that can answer."""

    inference_service: ObjectName = Described(description="InferenceService that serves it.")
    model: str = Described(description="Model name in its repository.")
    version: str | None = Described(default=None, description="Triton model version; absent: the latest.")
    weight: int = Described(
        default=100, ge=0, le=100, description="Share of rows in percent; the weights add up to 100."
    )


class Traffic(Definition):
    """Which model answers which row."""

    model_config = rules(("self.routes.map(r, r.weight).sum() == 100", "routes' weights add up to 100"))

    routes: tuple[Route, ...] = Described(min_length=1, max_length=16, description="Models that answer, with weights.")
    sticky_key: Identifier | None = Described(default=None, description="Entity whose value pins a row to one route.")
    shadow: Route | None = Described(
        default=None, description="Model that gets a copy and whose answer is only recorded."
    )

    @model_validator(mode="after")
    def _weights_add_up(self) -> Self:
        total = sum(route.weight for route in self.routes)
        if total != 100:
            refuse([Fault(("routes",), f"routes' weights add up to {total}, not 100", "change them to 100 in all")])
        return self


class Labels(Definition):
    """How ground truth joins predictions."""

    output: Identifier = Described(description="Output that the label is the truth of.")
    kind: Literal["binary", "regression"] = Described(default="binary", description="How quality is measured.")
    wait: str = Described(default="30d", description="How long a label without a prediction is kept.")

    @field_validator("wait")
    @classmethod
    def _wait_is_a_duration(cls, value: str) -> str:
        duration_s(value)
        return value


class Monitoring(Definition):
    """What is watched."""

    window: str = Described(default="7d", description="Length of a window of event time, e.g. 7d.")
    min_rows: int = Described(default=500, ge=1, description="Windows with fewer rows get no verdict.")
    psi_threshold: float = Described(default=0.2, gt=0, description="PSI from which a feature counts as drifted.")
    ks_threshold: float = Described(
        default=0.15, gt=0, le=1, description="KS distance from which it counts as drifted."
    )
    watch: tuple[str, ...] = Described(
        default=(), description="Columns (as in tensors) whose drift gives the verdict; empty: all of them."
    )
    labels: Labels | None = Described(default=None, description="Late labels; absent: no quality is measured.")

    @field_validator("window")
    @classmethod
    def _window_is_a_duration(cls, value: str) -> str:
        duration_s(value)
        return value


class Limits(Definition):
    """What one request may ask."""

    max_rows: int = Described(default=1000, ge=1, le=100_000, description="Rows a request.")
    max_explain_rows: int = Described(
        default=100, ge=1, le=1000, description="Rows a request with options.explain: each is inferred once a feature."
    )
    deadline_ms: int = Described(default=1000, ge=1, description="Deadline when the client sets none, milliseconds.")
    max_in_flight: int = Described(default=256, ge=1, description="Requests at once; more get RESOURCE_EXHAUSTED.")


class Example(Definition):
    """A request that works as it stands."""

    entities: dict[str, list[Any]] = Described(description="Entity → values.")
    inputs: dict[str, list[Any]] = Described(default_factory=dict, description="Input → values.")
    options: dict[str, Any] = Described(default_factory=dict, description="Options as in the API, e.g. as_of.")


class EndpointSpec(Definition):
    """What an endpoint takes, asks and answers."""

    description: str = Described(default="", description="One sentence for its users.")
    entities: tuple[Field, ...] = Described(default=(), description="Keys the caller gives.")
    inputs: tuple[Field, ...] = Described(default=(), description="Request values the caller gives.")
    model: Model = Described(description="Tensors and outputs.")
    traffic: Traffic = Described(description="Routes.")
    clock: Literal["server", "request"] = Described(
        default="server", description="Whether `options.as_of` is taken (request) or refused (server)."
    )
    on_stale: Literal["fail", "default", "mark"] = Described(
        default="mark", description="Features past their ttl: refuse, use the declared default, or use and mark."
    )
    on_store_down: Literal["fail", "default"] = Described(
        default="fail", description="Online store unreachable: refuse, or answer from defaults, marked degraded."
    )
    limits: Limits = Described(default_factory=Limits, description="Limits of one request.")
    monitoring: Monitoring = Described(default_factory=Monitoring, description="What is watched.")
    example: Example | None = Described(default=None, description="A request that works as it stands.")

    @model_validator(mode="after")
    def _own_columns_exist(self) -> Self:
        faults = [*self._tensors_take_what_is_declared(), *self._names_are_one_each()]
        columns = sum(len(tensor.features) for tensor in self.model.tensors)
        if columns > MAX_REFERENCES:
            fix = f"an endpoint has {MAX_REFERENCES} at most"
            faults.append(Fault(("model", "tensors"), f"the tensors have {columns} columns", fix))
        outputs = [output.name for output in self.model.outputs]
        labels, sticky = self.monitoring.labels, self.traffic.sticky_key
        if labels is not None and labels.output not in outputs:
            fix = meant(labels.output, outputs, "its outputs are")
            faults.append(Fault(("monitoring", "labels", "output"), f"there is no output {labels.output}", fix))
        entities = [field.name for field in self.entities]
        if sticky is not None and sticky not in entities:
            fix = meant(sticky, entities, "its entities are")
            faults.append(Fault(("traffic", "stickyKey"), f"stickyKey {sticky} is not among the entities", fix))
        refuse(faults)
        return self

    def _tensors_take_what_is_declared(self) -> Iterator[Fault]:
        declared = {"entity": self.entities, "input": self.inputs}
        for place, tensor in enumerate(self.model.tensors):
            for at, column in enumerate(tensor.features):
                view, _, name = column.partition(":")
                where: Location = ("model", "tensors", place, "features", at)
                if not view or not name:
                    fix = "write view:feature, entity:NAME or input:NAME"
                    yield Fault(where, f"tensor {tensor.name}: {column!r} is no column", fix)
                elif view in declared and name not in (known := [field.name for field in declared[view]]):
                    fix = meant(name, known, f"declared {view} columns are")
                    yield Fault(where, f"tensor {tensor.name}: {column} is no declared {view}", fix)

    def _names_are_one_each(self) -> Iterator[Fault]:
        lists: dict[Location, Sequence[str]] = {
            ("entities",): [field.name for field in self.entities],
            ("inputs",): [field.name for field in self.inputs],
            ("model", "tensors"): [tensor.name for tensor in self.model.tensors],
            ("model", "outputs"): [output.name for output in self.model.outputs],
        }
        for where, names in lists.items():
            seen: set[str] = set()
            for place, name in enumerate(names):
                if name in seen:
                    yield Fault((*where, place, "name"), f"the name {name} is there twice", "rename one of them")
                seen.add(name)


class Endpoint(Definition):
    """What an application calls."""

    api_version: Literal["mizzen.dev/v1alpha1"] = Described(default=GROUP_VERSION, description="Group and version.")
    kind: Literal["Endpoint"] = Described(default="Endpoint", description="Kind.")
    metadata: Metadata = Described(description="Object metadata.")
    spec: EndpointSpec = Described(description="What it takes, asks and answers.")

    @property
    def name(self) -> str:
        """The object's name, as in the API path."""
        return self.metadata.name

    @property
    def references(self) -> tuple[str, ...]:
        """Feature references of all tensors, in order, each once; entities and inputs left out."""
        columns = (column for tensor in self.spec.model.tensors for column in tensor.features)
        return tuple(dict.fromkeys(column for column in columns if not column.startswith(("entity:", "input:"))))
