"""Who asks, columns, and what a predict or a read of features is asked and answers."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum, StrEnum
from functools import lru_cache
from struct import Struct
from typing import Protocol

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


class Place(Protocol):
    """What a call holds while it is under way (domain.admission.Slot)."""

    def grow(self, weight: int) -> None:
        """Counts the call as so many ordinary ones; refuses it when there is no room for them."""
        ...

    def leave(self, *, ok: bool) -> None:
        """Gives it back; ok: the call succeeded."""
        ...


@dataclass(frozen=True, slots=True)
class Call:
    """One public request: its key, its caller, its instant, its deadline (monotonic seconds) and its place."""

    request_id: str
    caller: Caller
    received_at_us: int
    deadline_s: float
    client_request_id: str = ""
    traceparent: str = ""
    place: Place | None = None

    def weigh(self, weight: int) -> None:
        """Takes the room of so many ordinary calls. ResourceExhausted or Unavailable (OVERLOADED) when there is not as much."""
        if self.place is not None and weight > 1:
            self.place.grow(weight)

    def leave(self, *, ok: bool = False) -> None:
        """Gives the place back."""
        if self.place is not None:
            self.place.leave(ok=ok)


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

    @property
    def size(self) -> int:
        """About how many bytes it keeps in memory."""
        texts = [feature.column.strings for feature in self.columns if feature.column.strings is not None]
        return sum(128 + len(feature.column.raw) for feature in self.columns) + sum(
            56 + len(text) for column in texts for text in column
        )

    def has_status(self, status: Status, columns: Sequence[int]) -> bool:
        """Whether any value of these columns has that status, which is not PRESENT: that one may be left out."""
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
    """Rows of which every value has a fixed width: `raw` holds column after column.

    `statuses` and `nulls` hold one byte a row, column after column, or are empty: all PRESENT, none null.
    """

    __slots__ = ("nulls", "raw", "rows", "shape", "statuses")

    def __init__(
        self,
        shape: BlockShape,
        raw: bytes,
        rows: int,
        timestamps_us: list[bytes],
        as_of_us: int,
        statuses: bytes = b"",
        nulls: bytes = b"",
    ) -> None:
        super().__init__(None, timestamps_us, as_of_us)
        self.shape = shape
        self.raw = raw
        self.rows = rows
        self.statuses = statuses
        self.nulls = nulls

    @property
    def size(self) -> int:
        return len(self.raw) + len(self.statuses) + len(self.nulls) + 8 * self.rows * len(self.timestamps_us)

    @property
    def is_whole(self) -> bool:
        """Whether every value is PRESENT."""
        return not (self.statuses or self.nulls)

    @property
    def columns(self) -> list[FeatureColumn]:
        if self._columns is None:
            shape = self.shape
            parts = zip(shape.refs, self.values(), self.status_slices(), shape.indices, strict=True)
            self._columns = [FeatureColumn(ref, column, statuses, index) for ref, column, statuses, index in parts]
        return self._columns

    def slices(self) -> Sequence[bytes]:
        """The bytes of each column."""
        return _cutter(self.shape, self.rows)(self.raw)

    def status_slices(self) -> Sequence[bytes]:
        """The statuses of each column; empty where all are PRESENT."""
        return self._beside(self.statuses, bytes([Status.PRESENT]) * self.rows)

    def null_slices(self) -> Sequence[bytes]:
        """The nulls of each column; empty where there are none."""
        return self._beside(self.nulls, bytes(self.rows))

    def _beside(self, marks: bytes, usual: bytes) -> Sequence[bytes]:
        rows, count = self.rows, len(self.shape.refs)
        if not marks:
            return [b""] * count
        parts = [marks[at : at + rows] for at in range(0, rows * count, rows)]
        return [b"" if part == usual else part for part in parts]

    def values(self) -> list[Column]:
        rows = self.rows
        parts = zip(self.shape.dtypes, self.slices(), self.null_slices(), strict=True)
        return [Column(dtype, rows, raw, None, nulls) for dtype, raw, nulls in parts]

    def has_status(self, status: Status, columns: Sequence[int]) -> bool:
        if status not in self.statuses:
            return False
        rows = self.rows
        return any(status in self.statuses[index * rows : index * rows + rows] for index in columns)


@dataclass(slots=True)
class PredictRequest:
    """A predict with its columns already typed, `rows` of them being taken."""

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
