"""What the gateway thinks in. No protos, no JSON: columns of bytes, calls, plans of endpoints, answers."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import IntEnum, StrEnum
from functools import lru_cache
from struct import Struct

Scalar = bool | int | float | str


class Status(IntEnum):
    """Why a feature value is what it is, one byte a row."""

    PRESENT = 1
    NULL_VALUE = 2
    NOT_FOUND = 3
    OUTSIDE_MAX_AGE = 4
    UNAVAILABLE = 5


class DType(StrEnum):
    """Element type of a column."""

    BOOL = "BOOL"
    INT32 = "INT32"
    INT64 = "INT64"
    FLOAT32 = "FLOAT32"
    FLOAT64 = "FLOAT64"
    STRING = "STRING"
    TIMESTAMP = "TIMESTAMP"


@dataclass(frozen=True, slots=True)
class Caller:
    """Who calls, as the gateway authenticated it."""

    tenant: str
    subject: str
    scopes: frozenset[str]
    groups: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Call:
    """One public request: its key, its caller, its instant and its deadline (monotonic seconds)."""

    request_id: str
    caller: Caller
    received_at_us: int
    deadline_s: float
    client_request_id: str = ""
    traceparent: str = ""


@dataclass(slots=True)
class Column:
    """`rows` × `width` elements: little-endian bytes in `raw`, or text in `strings`; `nulls` has a byte a row, or is empty."""

    dtype: DType
    rows: int
    raw: bytes = b""
    strings: Sequence[str] | None = None
    nulls: bytes = b""
    width: int = 1


@dataclass(slots=True)
class FeatureColumn:
    """One feature of all rows. `statuses` is empty when every row is PRESENT; `timestamps_index` 0 = on demand."""

    ref: str
    column: Column
    statuses: bytes
    timestamps_index: int


class FeatureRows:
    """What a read answered: a column per reference, and event timestamps (int64 µs a row) shared by index - 1.

    An adapter's own kind may decode late: most predicts need the values alone.
    """

    __slots__ = ("_columns", "as_of_us", "timestamps_us")

    def __init__(self, columns: list[FeatureColumn] | None, timestamps_us: list[bytes], as_of_us: int) -> None:
        self._columns = columns
        self.timestamps_us = timestamps_us
        self.as_of_us = as_of_us

    @property
    def columns(self) -> list[FeatureColumn]:
        """Values with statuses, one per reference."""
        return self._columns or []

    def values(self) -> list[Column]:
        """Values alone, one per reference."""
        return [feature.column for feature in self.columns]

    def has_status(self, status: Status, columns: Sequence[int]) -> bool:
        """Whether any value of these columns has that status."""
        return any(status in self.columns[index].statuses for index in columns)

    def replaced(self, columns: list[FeatureColumn]) -> "FeatureRows":
        """The same read with other columns."""
        return FeatureRows(columns, self.timestamps_us, self.as_of_us)


@dataclass(frozen=True, slots=True, eq=False)
class BlockShape:
    """What a block of values consists of: parallel to `refs`. Made once for a list of references; known by its identity."""

    refs: tuple[str, ...]
    dtypes: tuple[DType, ...]
    widths: tuple[int, ...]
    indices: tuple[int, ...]
    row_bytes: int


@lru_cache(maxsize=1024)
def _cutter(shape: BlockShape, rows: int) -> Callable[[bytes], tuple[bytes, ...]]:
    """What cuts a block of so many rows into its columns."""
    return Struct("".join([f"{width * rows}s" for width in shape.widths])).unpack


class BlockRows(FeatureRows):
    """Rows of which every value is PRESENT and of fixed width: `raw` holds column after column."""

    __slots__ = ("raw", "rows", "shape")

    def __init__(self, shape: BlockShape, raw: bytes, rows: int, timestamps_us: list[bytes], as_of_us: int) -> None:
        super().__init__(None, timestamps_us, as_of_us)
        self.shape = shape
        self.raw = raw
        self.rows = rows

    @property
    def columns(self) -> list[FeatureColumn]:
        """See FeatureRows."""
        if self._columns is None:
            shape = self.shape
            parts = zip(shape.refs, self.values(), shape.indices, strict=True)
            self._columns = [FeatureColumn(ref, column, b"", index) for ref, column, index in parts]
        return self._columns

    def slices(self) -> Sequence[bytes]:
        """The bytes of each column."""
        return _cutter(self.shape, self.rows)(self.raw)

    def values(self) -> list[Column]:
        """See FeatureRows."""
        rows = self.rows
        return [Column(dtype, rows, raw) for dtype, raw in zip(self.shape.dtypes, self.slices(), strict=True)]

    def has_status(self, status: Status, columns: Sequence[int]) -> bool:
        """See FeatureRows."""
        return status is Status.PRESENT


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
    # The first column of each view: the columns of one view are unavailable together.
    firsts: tuple[int, ...]
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
    deadline_s: float
    max_in_flight: int
    schema_hash: str
    defaults: Mapping[str, Scalar | None]
    dtypes: Mapping[str, DType]
    example: Mapping[str, object]
    # Why it cannot answer (a reference that does not exist), or empty.
    broken: str = ""


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


@dataclass(slots=True)
class PredictRequest:
    """A predict with its columns already typed."""

    endpoint: str
    entities: Mapping[str, Column]
    inputs: Mapping[str, Column]
    rows: int
    as_of_us: int | None = None
    features: bool = False
    explain: bool = False


@dataclass(slots=True)
class PredictAnswer:
    """All rows, or an error was raised."""

    request_id: str
    endpoint: str
    outputs: dict[str, Column]
    routes: list[str]
    model_versions: list[str]
    timings_ms: dict[str, float]
    features: FeatureRows | None = None
    explanations: dict[str, list[float]] | None = None
    degraded: bool = False


@dataclass(slots=True)
class FeaturesAnswer:
    """What features:read answers."""

    request_id: str
    features: FeatureRows


class RecordKind(IntEnum):
    """What a record is of; the numbers are those of the wire."""

    PREDICT = 1
    INFER = 2
    SEARCH = 3
    ASK = 4


@dataclass(slots=True)
class Retrieved:
    """What a search or an ask gave."""

    query: str
    document_ids: Sequence[str] = ()
    chunks: Sequence[int] = ()
    scores: Sequence[float] = ()
    answerable: bool = False
    cited: Sequence[int] = ()


@dataclass(slots=True)
class Record:
    """One a request; whatever was not reached stays empty. Holds references only: nothing is copied on the path."""

    call: Call
    kind: RecordKind
    endpoint: str
    event_time_us: int
    rows: int = 0
    routes: Sequence[str] = ()
    model_versions: Sequence[str] = ()
    route_index: bytes = b""
    schema_hash: str = ""
    entities: Mapping[str, Column] = field(default_factory=dict)
    inputs: Mapping[str, Column] = field(default_factory=dict)
    features: FeatureRows | None = None
    outputs: Mapping[str, Column] = field(default_factory=dict)
    # Tensors of a bare infer, turned into columns off the path.
    tensors_in: Sequence[Tensor] = ()
    tensors_out: Sequence[Tensor] = ()
    timings_ms: Mapping[str, float] = field(default_factory=dict)
    error_code: str = ""
    error_reason: str = ""
    retrieved: Retrieved | None = None
    degraded: bool = False
    shadow: bool = False
