"""Feature views as the reader and the writer see them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum, StrEnum

import numpy as np
from numpy.typing import NDArray

from features.domain.expression import Kind, Node
from features.domain.rows import Layout, Run

# One value a row. Text is an object array of str; a TIMESTAMP is int64 microseconds UTC.
Array = NDArray[np.generic]
Mask = NDArray[np.bool_]


class DType(StrEnum):
    """Element types; the same names as on the wire and in definitions."""

    BOOL = "BOOL"
    INT32 = "INT32"
    INT64 = "INT64"
    FLOAT32 = "FLOAT32"
    FLOAT64 = "FLOAT64"
    STRING = "STRING"
    TIMESTAMP = "TIMESTAMP"


# Little-endian, as packed and as sent. STRING has no fixed width.
NUMPY: Mapping[DType, str] = {
    DType.BOOL: "|u1",
    DType.INT32: "<i4",
    DType.INT64: "<i8",
    DType.FLOAT32: "<f4",
    DType.FLOAT64: "<f8",
    DType.TIMESTAMP: "<i8",
}
KINDS: Mapping[DType, Kind] = {
    DType.BOOL: Kind.BOOL,
    DType.INT32: Kind.NUMBER,
    DType.INT64: Kind.NUMBER,
    DType.FLOAT32: Kind.NUMBER,
    DType.FLOAT64: Kind.NUMBER,
    DType.STRING: Kind.TEXT,
    DType.TIMESTAMP: Kind.INSTANT,
}


class Status(IntEnum):
    """Why a value is what it is; the numbers are those of the wire."""

    PRESENT = 1
    NULL_VALUE = 2
    NOT_FOUND = 3
    OUTSIDE_MAX_AGE = 4
    UNAVAILABLE = 5


@dataclass(frozen=True, slots=True)
class Column:
    """A named, typed column; `default` is given when a row has no value (None: null is given)."""

    name: str
    dtype: DType
    default: float | int | str | bool | None = None
    unit: str = ""
    description: str = ""


@dataclass(frozen=True, slots=True)
class OnDemand:
    """A feature computed at read time."""

    column: Column
    sql: str
    expression: Node


@dataclass(frozen=True, slots=True)
class Source:
    """Where stored features come from: SQL over tables (name → path under the offline root)."""

    tables: Mapping[str, str]
    sql: str
    timestamp_column: str


@dataclass(frozen=True, slots=True)
class View:
    """One feature view. `keys` are in definition order; `layout` packs `stored` in their order."""

    name: str
    description: str
    keys: tuple[Column, ...]
    stored: tuple[Column, ...]
    inputs: tuple[Column, ...]
    on_demand: tuple[OnDemand, ...]
    ttl_us: int | None
    layout: Layout
    source: Source | None = None

    @property
    def schema_hash(self) -> str:
        """16 hex digits of the stored columns' names and types, as in every packed row."""
        return f"{self.layout.schema_hash:016x}"


@dataclass(frozen=True, slots=True)
class Definitions:
    """Everything loaded at one instant: views by reference name, endpoints' references by their schema hash."""

    views: Mapping[str, View] = field(default_factory=dict)
    references: Mapping[str, frozenset[str]] = field(default_factory=dict)


@dataclass(slots=True)  # not frozen: made for every read, and frozen ones take thrice the time
class Given:
    """A column a caller sent: values and, where some are null, a mask of one bool a row."""

    values: Array
    nulls: Mask | None = None


@dataclass(slots=True)  # not frozen: made for every read, and frozen ones take thrice the time
class Query:
    """One read. `rows`: the length of every column; `as_of_us`: microseconds UTC; `as_block`, `gaps_in_block`: see Answer.block."""

    tenant: str
    refs: tuple[str, ...]
    entities: Mapping[str, Given]
    inputs: Mapping[str, Given]
    rows: int
    as_of_us: int
    schema_hash: str = ""
    default_when_down: bool = False
    as_block: bool = False
    gaps_in_block: bool = False


@dataclass(frozen=True, slots=True)
class Computation:
    """On-demand features of one view: the stored columns they need and (place among the references, feature)."""

    view: View
    needs: tuple[int, ...]
    outputs: tuple[tuple[int, OnDemand], ...]


@dataclass(frozen=True, slots=True, eq=False)
class Plan:
    """What a list of references needs: made once, used by every read that names the same ones.

    `views` are those with stored features to fetch; `stored[i]` is (index into views, column) of reference i, or None for
    an on-demand one. `indices[i]` is its timestamps index on the wire: place in `views` plus 1, 0 for on-demand features.
    `fits_block`: all columns have a fixed width. `is_plain`: and all are stored. `runs` is where those of a plain plan that fits a
    block lie, (index into views, run) in order; empty for any other.
    """

    refs: tuple[str, ...]
    dtypes: tuple[DType, ...]
    views: tuple[View, ...]
    stored: tuple[tuple[int, int] | None, ...]
    computations: tuple[Computation, ...]
    indices: tuple[int, ...]
    inputs: tuple[Column, ...]
    fits_block: bool = False
    is_plain: bool = False
    runs: tuple[tuple[int, Run], ...] = ()


@dataclass(slots=True)
class Answer:
    """One read's answer, parallel to the plan's references.

    `values[i]` is the column little-endian and dense, or its texts. `statuses[i]` and `nulls[i]` hold one byte a row and are
    empty when every row is PRESENT, when none is null; None: so for all columns. `timestamps_us` are one int64 a row and view.
    `block` is there instead of values when the query asked for it and all columns have a fixed width: column after column. It has
    `block_statuses` and `block_nulls`, one byte a row, column after column, only where the query takes gaps; both are empty when
    there are none.
    """

    plan: Plan
    rows: int
    values: list[bytes | list[str]]
    statuses: list[bytes] | None
    nulls: list[bytes] | None
    timestamps_us: list[bytes]
    as_of_us: int
    block: bytes | None = None
    block_statuses: bytes = b""
    block_nulls: bytes = b""


@dataclass(frozen=True, slots=True)
class Rows:
    """Rows to write to one view: keys and stored features by name (a missing feature is null), microseconds UTC."""

    tenant: str
    view: str
    entities: Mapping[str, Given]
    features: Mapping[str, Given]
    event_timestamps_us: NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Written:
    """Rows stored, and rows left out because the store holds a newer event timestamp."""

    written: int
    older: int
