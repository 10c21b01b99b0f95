"""On-demand expressions as SQL for DuckDB, every type written out. What they mean in NumPy is the features room's."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from catalog.on_demand import Kind, Op, Term

Naming = Callable[[str], str]
_TYPES: Mapping[Kind, str] = {
    Kind.NUMBER: "DOUBLE",
    Kind.BOOL: "BOOLEAN",
    Kind.TEXT: "VARCHAR",
    Kind.INSTANT: "TIMESTAMPTZ",
    Kind.LOCAL: "TIMESTAMP",
}


def duckdb_sql(term: Term, name: Naming) -> str:
    """SQL with the meaning of `term`; `name` says how a column is referred to."""
    if term.op is Op.COLUMN:
        return f"CAST({name(term.word)} AS {_TYPES[term.kind]})"
    if term.op is Op.CONSTANT:
        return _constant(term)
    return _OPERATIONS[term.op](term, [duckdb_sql(operand, name) for operand in term.operands])


def columns_of(term: Term) -> set[str]:
    """Names of the columns that an expression reads."""
    if term.op is Op.COLUMN:
        return {term.word}
    return set().union(*map(columns_of, term.operands))


def _constant(term: Term) -> str:
    value = term.value
    if value is None:
        return f"CAST(NULL AS {_TYPES[term.kind]})" if term.kind in _TYPES else "NULL"
    if isinstance(value, bool):
        return "TRUE" if value else "FALSE"
    # A quoted number is parsed as the nearest double; a bare one with a point would be a DECIMAL.
    text = value.replace("'", "''") if isinstance(value, str) else repr(value)
    return f"CAST('{text}' AS {_TYPES[term.kind]})"


def _infix(term: Term, parts: Sequence[str]) -> str:
    return f"({parts[0]} {term.word.upper()} {parts[1]})"


def _call(term: Term, parts: Sequence[str]) -> str:
    return f"{term.word}({', '.join(parts)})"


def _case(_: Term, parts: Sequence[str]) -> str:
    branches = " ".join(f"WHEN {when} THEN {then}" for when, then in zip(parts[:-1:2], parts[1::2], strict=True))
    return f"(CASE {branches} ELSE {parts[-1]} END)"


_OPERATIONS: Mapping[Op, Callable[[Term, Sequence[str]], str]] = {
    Op.ARITHMETIC: _infix,
    Op.COMPARISON: _infix,
    Op.LOGIC: _infix,
    Op.FUNCTION: _call,
    Op.CHOICE: _call,
    Op.NEGATIVE: lambda _, parts: f"(- {parts[0]})",
    Op.NOT: lambda _, parts: f"(NOT {parts[0]})",
    Op.IS_NULL: lambda _, parts: f"({parts[0]} IS NULL)",
    Op.CASE: _case,
    Op.LOCAL_TIME: lambda term, parts: f"timezone('{term.word}', {parts[0]})",
    Op.CLOCK: lambda term, parts: f"CAST({term.word}({parts[0]}) AS DOUBLE)",
}
