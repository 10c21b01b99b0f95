"""A typed expression as a tree."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from catalog.fields import DType


class Kind(StrEnum):
    """Types inside an expression. LOCAL is what `timezone` gives; it can't leave the expression. NULL is a bare null."""

    NUMBER = "number"
    BOOL = "boolean"
    TEXT = "text"
    INSTANT = "timestamp"
    LOCAL = "local timestamp"
    NULL = "null"


class Op(StrEnum):
    """What a term does with its operands; `word` of the term says which sign, function, zone or column."""

    COLUMN = "column"
    CONSTANT = "constant"
    ARITHMETIC = "arithmetic"
    COMPARISON = "comparison"
    FUNCTION = "function"
    CHOICE = "choice"
    NEGATIVE = "negative"
    NOT = "not"
    IS_NULL = "is null"
    LOGIC = "logic"
    CASE = "case"
    LOCAL_TIME = "local time"
    CLOCK = "clock"


@dataclass(frozen=True, slots=True)
class Term:
    """A part of an expression. A CASE has condition, result, condition, result, …, and what counts otherwise.

    depth: terms from here down to the deepest column or constant.
    """

    op: Op
    kind: Kind
    operands: tuple["Term", ...] = ()
    word: str = ""
    value: float | bool | str | None = None
    depth: int = 1


KINDS: Mapping[DType, Kind] = {
    DType.BOOL: Kind.BOOL,
    DType.INT32: Kind.NUMBER,
    DType.INT64: Kind.NUMBER,
    DType.FLOAT32: Kind.NUMBER,
    DType.FLOAT64: Kind.NUMBER,
    DType.STRING: Kind.TEXT,
    DType.TIMESTAMP: Kind.INSTANT,
}
"""Element type → type inside an expression."""
