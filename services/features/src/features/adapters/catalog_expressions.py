"""On-demand SQL, as the catalog reads it → expressions of the domain."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from catalog import on_demand
from catalog.on_demand import OnDemandRefused, Op, Term, parse_on_demand
from chassis.errors import InvalidArgument
from features.domain.comparisons import COMPARISONS
from features.domain.expression import (
    Case,
    Choice,
    ColumnOf,
    Constant,
    IsNull,
    Kind,
    LocalTime,
    Logic,
    Node,
    Numeric,
    clock_part,
)

_ARITHMETIC: Mapping[str, Callable[..., Any]] = {"+": np.add, "-": np.subtract, "*": np.multiply, "/": np.divide}
_FUNCTIONS: Mapping[str, Callable[..., Any]] = {
    "abs": np.abs,
    "floor": np.floor,
    "ceil": np.ceil,
    "sin": np.sin,
    "cos": np.cos,
    "ln": np.log,
    "exp": np.exp,
}


def parse_expression(text: str, columns: Mapping[str, Kind], wanted: Kind, field: str) -> Node:
    """The tree of `text` over `columns`, of kind `wanted`. InvalidArgument naming `field` when it can't be."""
    known = {name: on_demand.Kind(kind) for name, kind in columns.items()}
    try:
        return _node(parse_on_demand(text, known, on_demand.Kind(wanted)))
    except OnDemandRefused as error:
        raise InvalidArgument(f"on-demand SQL {error}", reason="ON_DEMAND_REFUSED", field=field) from error


def _node(term: Term) -> Node:
    return _NODES[term.op](term, Kind(term.kind), tuple(map(_node, term.operands)))


def _case(_: Term, kind: Kind, parts: tuple[Node, ...]) -> Node:
    return Case(tuple(zip(parts[:-1:2], parts[1::2], strict=True)), parts[-1], kind)


def _comparison(term: Term, kind: Kind, parts: tuple[Node, ...]) -> Node:
    return Numeric(COMPARISONS[term.word], parts, kind)


def _arithmetic(term: Term, _: Kind, parts: tuple[Node, ...]) -> Node:
    return Numeric(_ARITHMETIC[term.word], parts)


_NODES: Mapping[Op, Callable[[Term, Kind, tuple[Node, ...]], Node]] = {
    Op.COLUMN: lambda term, kind, _: ColumnOf(term.word, kind),
    Op.CONSTANT: lambda term, kind, _: Constant(term.value, kind),
    Op.ARITHMETIC: _arithmetic,
    Op.COMPARISON: _comparison,
    Op.FUNCTION: lambda term, _, parts: Numeric(_FUNCTIONS[term.word], parts),
    Op.CHOICE: lambda term, kind, parts: Choice(term.word.upper(), parts, kind),
    Op.NEGATIVE: lambda _, __, parts: Numeric(np.negative, parts),
    Op.NOT: lambda _, kind, parts: Numeric(np.logical_not, parts, kind),
    Op.IS_NULL: lambda _, __, parts: IsNull(parts[0]),
    Op.LOGIC: lambda term, _, parts: Logic(term.word.upper(), parts[0], parts[1]),
    Op.CASE: _case,
    Op.LOCAL_TIME: lambda term, _, parts: LocalTime(term.word, parts[0]),
    Op.CLOCK: lambda term, _, parts: clock_part(term.word, parts[0]),
}
