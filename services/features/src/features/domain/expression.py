"""On-demand expressions, evaluated in NumPy; `training.on_demand_sql` prints the same text for DuckDB.

Semantics are DuckDB's: three-valued logic; numbers are IEEE doubles (x/0 is ±inf, 0/0 is NaN); NaN equals itself and is greater
than every other number; least/greatest pass over nulls. Nothing here raises while evaluating.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import reduce
from typing import Any, Protocol

import numpy as np

from features.domain.comparisons import less
from features.domain.instants import hour_of, isodow_of, to_local

Values = Any  # NDArray of float64, bool, object (str) or int64 (µs)
Nulls = Any  # NDArray of bool, or None when no row is null
Result = tuple[Values, Nulls]


class Kind(StrEnum):
    """Types inside an expression. LOCAL is what `timezone` gives; it can't leave the expression. NULL is a bare null."""

    NUMBER = "number"
    BOOL = "boolean"
    TEXT = "text"
    INSTANT = "timestamp"
    LOCAL = "local timestamp"
    NULL = "null"


@dataclass(frozen=True, slots=True)
class Scope:
    """What an expression sees: columns by name as (values, nulls), all of `rows` rows."""

    columns: Mapping[str, Result]
    rows: int


class Node(Protocol):
    """A part of an expression."""

    @property
    def kind(self) -> Kind:
        """Type of its value."""
        ...

    def evaluate(self, scope: Scope) -> Result:
        """One value a row."""
        ...


ZERO: Mapping[Kind, Any] = {
    Kind.NUMBER: np.float64(0),
    Kind.BOOL: np.False_,
    Kind.TEXT: "",
    Kind.INSTANT: np.int64(0),
    Kind.LOCAL: np.int64(0),
    Kind.NULL: np.float64(0),
}
_NUMPY: Mapping[Kind, Any] = {
    Kind.NUMBER: np.float64,
    Kind.BOOL: np.bool_,
    Kind.TEXT: object,
    Kind.INSTANT: np.int64,
    Kind.LOCAL: np.int64,
    Kind.NULL: np.float64,
}


def either(left: Nulls, right: Nulls) -> Nulls:
    """Null where one of them is."""
    if left is None:
        return right
    return left if right is None else left | right


@dataclass(frozen=True, slots=True)
class ColumnOf:
    """A stored feature, an input or `as_of`."""

    name: str
    kind: Kind

    def evaluate(self, scope: Scope) -> Result:
        values, nulls = scope.columns[self.name]
        return np.asarray(values, _NUMPY[self.kind]), nulls


@dataclass(frozen=True, slots=True)
class Constant:
    """A literal; None is null."""

    value: float | bool | str | None
    kind: Kind

    def evaluate(self, scope: Scope) -> Result:
        if self.value is None:
            return np.full(scope.rows, ZERO[self.kind], _NUMPY[self.kind]), np.ones(scope.rows, np.bool_)
        return np.full(scope.rows, self.value, _NUMPY[self.kind]), None


@dataclass(frozen=True, slots=True)
class Numeric:
    """A function of numbers that is null where an operand is."""

    function: Callable[..., Any]
    operands: tuple[Node, ...]
    kind: Kind = Kind.NUMBER

    def evaluate(self, scope: Scope) -> Result:
        results = [operand.evaluate(scope) for operand in self.operands]
        with np.errstate(all="ignore"):
            values = self.function(*(values for values, _ in results))
        return values, reduce(either, (nulls for _, nulls in results))


@dataclass(frozen=True, slots=True)
class IsNull:
    """`x is null`."""

    operand: Node
    kind: Kind = Kind.BOOL

    def evaluate(self, scope: Scope) -> Result:
        _, nulls = self.operand.evaluate(scope)
        return (np.zeros(scope.rows, np.bool_) if nulls is None else nulls), None


@dataclass(frozen=True, slots=True)
class Logic:
    """`and` (decided by false) or `or` (decided by true)."""

    word: str
    left: Node
    right: Node
    kind: Kind = Kind.BOOL

    def evaluate(self, scope: Scope) -> Result:
        left, left_nulls = self.left.evaluate(scope)
        right, right_nulls = self.right.evaluate(scope)
        left, right = left.astype(np.bool_), right.astype(np.bool_)
        decided_by = self.word == "OR"
        nulls = either(left_nulls, right_nulls)
        if nulls is None:
            return (left | right if decided_by else left & right), None
        left_decides = (left == decided_by) & (True if left_nulls is None else ~left_nulls)
        right_decides = (right == decided_by) & (True if right_nulls is None else ~right_nulls)
        decided = left_decides | right_decides
        return (decided if decided_by else ~decided), nulls & ~decided


@dataclass(frozen=True, slots=True)
class Case:
    """`case when … then … else … end`; without else, null."""

    branches: tuple[tuple[Node, Node], ...]
    otherwise: Node
    kind: Kind

    def evaluate(self, scope: Scope) -> Result:
        values, nulls = self.otherwise.evaluate(scope)
        for condition, result in reversed(self.branches):
            truth, unknown = condition.evaluate(scope)
            taken = truth.astype(np.bool_) if unknown is None else truth.astype(np.bool_) & ~unknown
            chosen, chosen_nulls = result.evaluate(scope)
            values = np.where(taken, chosen, values)
            nulls = _where_nulls(taken, chosen_nulls, nulls)
        return values, nulls


def _where_nulls(taken: Values, chosen: Nulls, others: Nulls) -> Nulls:
    if chosen is None and others is None:
        return None
    return np.where(taken, False if chosen is None else chosen, False if others is None else others)


@dataclass(frozen=True, slots=True)
class Choice:
    """coalesce, least or greatest."""

    word: str
    operands: tuple[Node, ...]
    kind: Kind

    def evaluate(self, scope: Scope) -> Result:
        return reduce(self._better, (operand.evaluate(scope) for operand in self.operands))

    def _better(self, best: Result, other: Result) -> Result:
        (values, nulls), (others, other_nulls) = best, other
        take = np.zeros(len(values), np.bool_) if nulls is None else nulls
        if self.word != "COALESCE":
            wins = less(others, values) if self.word == "LEAST" else less(values, others)
            take = take | (wins if other_nulls is None else wins & ~other_nulls)
        remaining = None if nulls is None or other_nulls is None else nulls & other_nulls
        return np.where(take, others, values), remaining


@dataclass(frozen=True, slots=True)
class LocalTime:
    """`timezone('Area/City', ts)`."""

    zone: str
    operand: Node
    kind: Kind = Kind.LOCAL

    def evaluate(self, scope: Scope) -> Result:
        values, nulls = self.operand.evaluate(scope)
        return to_local(values, self.zone), nulls


def clock_part(word: str, operand: Node) -> Numeric:
    """`hour` or `isodow` of an instant (in UTC) or of a local time."""
    function = hour_of if word == "hour" else isodow_of
    return Numeric(function, (operand,))


def cast_result(result: Result, dtype: str) -> Result:
    """An expression's value as its declared type, like DuckDB's TRY_CAST: what doesn't fit is null; ints round half to even."""
    values, nulls = result
    if dtype == "FLOAT32":
        with np.errstate(over="ignore"):
            narrow = values.astype(np.float32)
        lost = np.isinf(narrow) & np.isfinite(values)
        return narrow, either(nulls, lost) if lost.any() else nulls
    if dtype in ("INT32", "INT64"):
        limit = 2.0**31 if dtype == "INT32" else 2.0**63
        rounded = np.rint(values)
        fits = (rounded >= -limit) & (rounded < limit)
        whole = np.where(fits, rounded, 0).astype(np.int32 if dtype == "INT32" else np.int64)
        return whole, nulls if fits.all() else either(nulls, ~fits)
    return values, nulls


def columns_of(node: Node) -> set[str]:
    """Names of the columns an expression reads."""
    if isinstance(node, ColumnOf):
        return {node.name}
    parts: Sequence[Node] = ()
    if isinstance(node, Numeric | Choice):
        parts = node.operands
    elif isinstance(node, IsNull | LocalTime):
        parts = (node.operand,)
    elif isinstance(node, Logic):
        parts = (node.left, node.right)
    elif isinstance(node, Case):
        parts = (*(part for branch in node.branches for part in branch), node.otherwise)
    return set().union(*(columns_of(part) for part in parts))
