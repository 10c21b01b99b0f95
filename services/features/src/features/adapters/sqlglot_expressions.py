"""On-demand SQL → expression tree; whatever is not in the allow-list is refused."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import sqlglot
from sqlglot import expressions as sql

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
from features.domain.instants import is_zone

MAX_CHARACTERS = 4000
ALLOWED = (
    "+ - * /, comparisons, is null, and/or/not, case, coalesce, abs, least/greatest, floor/ceil, sin/cos, ln/exp, hour/isodow,"
    " timezone('Area/City', ts)"
)
_ARITHMETIC: Mapping[type[sql.Expr], tuple[str, Callable[..., Any]]] = {
    sql.Add: ("+", np.add),
    sql.Sub: ("-", np.subtract),
    sql.Mul: ("*", np.multiply),
    sql.Div: ("/", np.divide),
}
_COMPARED: Mapping[type[sql.Expr], str] = {
    sql.EQ: "=",
    sql.NEQ: "<>",
    sql.LT: "<",
    sql.LTE: "<=",
    sql.GT: ">",
    sql.GTE: ">=",
}
_FUNCTIONS: Mapping[type[sql.Expr], tuple[str, Callable[..., Any]]] = {
    sql.Abs: ("abs", np.abs),
    sql.Floor: ("floor", np.floor),
    sql.Ceil: ("ceil", np.ceil),
    sql.Sin: ("sin", np.sin),
    sql.Cos: ("cos", np.cos),
    sql.Ln: ("ln", np.log),
    sql.Exp: ("exp", np.exp),
}
_CHOICES: Mapping[type[sql.Expr], str] = {
    sql.Coalesce: "COALESCE",
    sql.Least: "LEAST",
    sql.Greatest: "GREATEST",
}


def parse_expression(text: str, columns: Mapping[str, Kind], wanted: Kind, field: str) -> Node:
    """The tree of `text` over `columns`, of kind `wanted`. InvalidArgument naming `field` when it can't be."""
    if len(text) > MAX_CHARACTERS:
        raise _refused(field, f"is longer than {MAX_CHARACTERS} characters")
    try:
        statements = sqlglot.parse(text, dialect="duckdb")
        if len(statements) != 1 or statements[0] is None:
            raise _refused(field, "is not one expression")
        node = _Parser(columns, field).node(statements[0])
    except sqlglot.errors.SqlglotError as error:
        raise _refused(field, f"is no SQL expression: {str(error).splitlines()[0]}") from error
    except RecursionError as error:
        raise _refused(field, "is nested too deeply") from error
    if node.kind is not wanted:
        raise _refused(field, f"gives a {node.kind}, but the declared type is a {wanted}")
    return node


def _refused(field: str, reason: str) -> InvalidArgument:
    return InvalidArgument(f"on-demand SQL {reason}", reason="ON_DEMAND_REFUSED", field=field)


class _Parser:
    def __init__(self, columns: Mapping[str, Kind], field: str) -> None:
        self._columns = columns
        self._field = field

    def node(self, tree: sql.Expr) -> Node:
        if isinstance(tree, sql.Paren):
            return self.node(tree.this)
        for kinds, build in self._builders():
            if isinstance(tree, kinds):
                return build(tree)
        raise self._refuse(tree, f"is not in the allow-list: {ALLOWED}")

    def _builders(self) -> tuple[tuple[tuple[type[sql.Expr], ...], Callable[[Any], Node]], ...]:
        return (
            ((sql.Column,), self._column),
            ((sql.Literal, sql.Boolean, sql.Null), self._literal),
            (tuple(_ARITHMETIC), self._arithmetic),
            (tuple(_COMPARED), self._comparison),
            (tuple(_FUNCTIONS), self._function),
            (tuple(_CHOICES), self._choice),
            ((sql.Neg, sql.Not, sql.And, sql.Or, sql.Is), self._logic),
            ((sql.Case,), self._case),
            ((sql.Hour, sql.DayOfWeekIso, sql.Anonymous), self._clock),
        )

    def _logic(self, tree: sql.Expr) -> Node:
        if isinstance(tree, sql.Neg):
            return Numeric("(- {0})", np.negative, (self._of(tree.this, Kind.NUMBER),))
        if isinstance(tree, sql.Not):
            return Numeric("(NOT {0})", np.logical_not, (self._of(tree.this, Kind.BOOL),), Kind.BOOL)
        if isinstance(tree, sql.Is):
            if not isinstance(tree.expression, sql.Null):
                raise self._refuse(tree, "is not `is null` or `is not null`")
            return IsNull(self.node(tree.this))
        word = "AND" if isinstance(tree, sql.And) else "OR"
        return Logic(word, self._of(tree.this, Kind.BOOL), self._of(tree.expression, Kind.BOOL))

    def _of(self, tree: sql.Expr, kind: Kind) -> Node:
        node = self.node(tree)
        if node.kind is Kind.NULL:
            # A bare null takes the type its place asks for.
            return Constant(None, kind)
        if node.kind is not kind:
            raise self._refuse(tree, f"is a {node.kind} where a {kind} is needed")
        return node

    def _column(self, tree: sql.Column) -> Node:
        name = tree.name
        if tree.table or name not in self._columns:
            known = ", ".join(sorted(self._columns))
            raise self._refuse(tree, f"is none of this view's features and inputs ({known})")
        return ColumnOf(name, self._columns[name])

    def _literal(self, tree: sql.Literal | sql.Boolean | sql.Null) -> Node:
        if isinstance(tree, sql.Null):
            return Constant(None, Kind.NULL)
        if isinstance(tree, sql.Boolean):
            return Constant(bool(tree.this), Kind.BOOL)
        if tree.is_string:
            return Constant(str(tree.this), Kind.TEXT)
        try:
            return Constant(float(tree.this), Kind.NUMBER)
        except ValueError as error:
            raise self._refuse(tree, "is no number") from error

    def _arithmetic(self, tree: sql.Expr) -> Node:
        sign, function = _ARITHMETIC[type(tree)]
        operands = (self._of(tree.this, Kind.NUMBER), self._of(tree.expression, Kind.NUMBER))
        return Numeric(f"({{0}} {sign} {{1}})", function, operands)

    def _comparison(self, tree: sql.Expr) -> Node:
        sign = _COMPARED[type(tree)]
        left, right = self._alike(tree, [tree.this, tree.expression])
        return Numeric(f"({{0}} {sign} {{1}})", COMPARISONS[sign], (left, right), Kind.BOOL)

    def _function(self, tree: sql.Expr) -> Node:
        name, function = _FUNCTIONS[type(tree)]
        if any(value for key, value in tree.args.items() if key != "this"):
            raise self._refuse(tree, f"gives {name} more than one argument")
        return Numeric(f"{name}({{0}})", function, (self._of(tree.this, Kind.NUMBER),))

    def _choice(self, tree: sql.Expr) -> Node:
        word = _CHOICES[type(tree)]
        operands = self._alike(tree, [tree.this, *tree.expressions])
        kind = operands[0].kind
        if word != "COALESCE" and kind is not Kind.NUMBER:
            raise self._refuse(tree, f"compares a {kind}; {word.lower()} takes numbers")
        return Choice(word, tuple(operands), kind)

    def _alike(self, tree: sql.Expr, parts: list[sql.Expr]) -> list[Node]:
        nodes = [self.node(part) for part in parts]
        kinds = {node.kind for node in nodes} - {Kind.NULL}
        if len(kinds) != 1:
            found = " and ".join(sorted(kinds)) or "only nulls"
            raise self._refuse(tree, f"mixes {found}")
        kind = kinds.pop()
        return [Constant(None, kind) if node.kind is Kind.NULL else node for node in nodes]

    def _case(self, tree: sql.Case) -> Node:
        if tree.this is not None:
            raise self._refuse(tree, "is a simple case; write `case when a = b then …`")
        branches = tree.args["ifs"]
        parts = [branch.args["true"] for branch in branches]
        otherwise = tree.args.get("default") or sql.Null()
        *results, last = self._alike(tree, [*parts, otherwise])
        conditions = [self._of(branch.this, Kind.BOOL) for branch in branches]
        return Case(tuple(zip(conditions, results, strict=True)), last, results[0].kind)

    def _clock(self, tree: sql.Expr) -> Node:
        if isinstance(tree, sql.Hour | sql.DayOfWeekIso):
            operand = self.node(tree.this)
            if operand.kind not in (Kind.INSTANT, Kind.LOCAL):
                raise self._refuse(tree, f"takes a timestamp, not a {operand.kind}")
            return clock_part("hour" if isinstance(tree, sql.Hour) else "isodow", operand)
        if isinstance(tree, sql.Anonymous) and tree.name.lower() == "timezone" and len(tree.expressions) == 2:
            zone, instant = tree.expressions
            if not (isinstance(zone, sql.Literal) and zone.is_string and is_zone(zone.name)):
                raise self._refuse(tree, "needs the name of a time zone, e.g. 'America/New_York'")
            return LocalTime(zone.name, self._of(instant, Kind.INSTANT))
        raise self._refuse(tree, f"is not in the allow-list: {ALLOWED}")

    def _refuse(self, tree: sql.Expr, reason: str) -> InvalidArgument:
        return _refused(self._field, f"`{tree.sql(dialect='duckdb')[:80]}` {reason}")
