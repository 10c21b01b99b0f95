"""Point-in-time join: for each row of an entity frame, what a read at its instant would have answered."""
# ruff: noqa: S608 - identifiers are quoted, texts escaped, and a definition's SQL runs in a closed DuckDB

from collections.abc import Sequence
from typing import Any, Literal

import duckdb
import pyarrow as pa

from chassis.errors import InvalidArgument
from features.adapters.duckdb_offline import EVENT_US, SQL_TYPES, DuckDBOffline, quoted, staged_table
from features.domain.model import Column, Definitions, OnDemand, Plan, View
from features.domain.plan import make_plan

OnStale = Literal["mark", "default"]
_FRAME = "__frame"


def point_in_time(
    offline: DuckDBOffline,
    definitions: Definitions,
    refs: Sequence[str],
    frame: pa.Table,
    as_of: str = "as_of",
    on_stale: OnStale = "mark",
) -> pa.Table:
    """`frame` with a column per reference, rows in the order given.

    frame: join keys and inputs by name, and the instants `as_of` (timestamp; without a zone it is UTC).
    on_stale: rows past their ttl keep their value (as an Endpoint's `onStale: mark`) or count as missing (`default`).
    Missing values are the declared defaults, else null. InvalidArgument when the frame lacks a column.
    """
    plan = make_plan(definitions, refs)
    _check_columns(plan, frame, as_of)
    for view in plan.views:
        offline.stage(view)
    connection = offline.connection
    connection.register(_FRAME, frame)
    try:
        return connection.sql(_join_sql(plan, frame.column_names, as_of, on_stale)).to_arrow_table()
    except duckdb.Error as error:
        raise InvalidArgument(
            f"the entity frame can't be joined: {str(error).splitlines()[0]}", reason="FRAME_INVALID", field="frame"
        ) from error
    finally:
        connection.unregister(_FRAME)


def _check_columns(plan: Plan, frame: pa.Table, as_of: str) -> None:
    keys = [key.name for view in plan.views for key in view.keys]
    for name in (as_of, *keys, *(column.name for column in plan.inputs)):
        if name not in frame.column_names:
            raise InvalidArgument(f"the entity frame has no column {name}", reason="COLUMN_MISSING", field=name)


def _join_sql(plan: Plan, columns: Sequence[str], as_of: str, on_stale: OnStale) -> str:
    instant = f"epoch_us(CAST({quoted(as_of)} AS TIMESTAMPTZ))"
    kept = ", ".join(quoted(name) for name in columns)
    asked = f"SELECT {kept}, row_number() OVER () AS __row, {instant} AS __as_of_us FROM {_FRAME}"
    joins: list[str] = []
    for place, view in enumerate(plan.views):
        on = [f"CAST(f.{quoted(k.name)} AS {SQL_TYPES[k.dtype]}) = v{place}.{quoted(k.name)}" for k in view.keys]
        on.append(f"f.__as_of_us >= v{place}.{EVENT_US}")
        joins.append(f"ASOF LEFT JOIN {staged_table(view)} v{place} ON {' AND '.join(on)}")
    places = {view.name: place for place, view in enumerate(plan.views)}
    features = [_feature_sql(plan, i, places, as_of, on_stale) for i in range(len(plan.refs))]
    kept = ", ".join(f"f.{quoted(name)}" for name in columns)
    return f"SELECT {kept}, {', '.join(features)} FROM ({asked}) f {' '.join(joins)} ORDER BY f.__row"


def _feature_sql(plan: Plan, i: int, places: dict[str, int], as_of: str, on_stale: OnStale) -> str:
    stored = plan.stored[i]
    if stored is not None:
        view = plan.views[stored[0]]
        value = _stored_sql(view, view.stored[stored[1]], stored[0], on_stale)
    else:
        view, computed = next(
            (computation.view, computed)
            for computation in plan.computations
            for place, computed in computation.outputs
            if place == i
        )
        value = _on_demand_sql(view, computed, places, as_of, on_stale)
    return f"{value} AS {quoted(plan.refs[i])}"


def _stored_sql(view: View, column: Column, place: int, on_stale: OnStale) -> str:
    value = f"v{place}.{quoted(column.name)}"
    if on_stale == "default" and view.ttl_us is not None:
        value = f"CASE WHEN f.__as_of_us - v{place}.{EVENT_US} <= {view.ttl_us} THEN {value} END"
    return value if column.default is None else f"coalesce({value}, {_literal(column)})"


def _literal(column: Column) -> str:
    if column.dtype == "TIMESTAMP":
        return f"make_timestamptz({column.default})"
    text = str(column.default).replace("'", "''")
    return f"CAST('{text}' AS {SQL_TYPES[column.dtype]})"


def _on_demand_sql(view: View, computed: OnDemand, places: dict[str, int], as_of: str, on_stale: OnStale) -> str:
    stored: dict[str, Any] = {column.name: column for column in view.stored}

    def name(column: str) -> str:
        if column == "as_of":
            return f"f.{quoted(as_of)}"
        if column in stored:
            return _stored_sql(view, stored[column], places[view.name], on_stale)
        return f"f.{quoted(column)}"

    return f"TRY_CAST({computed.expression.sql(name)} AS {SQL_TYPES[computed.column.dtype]})"


__all__ = ["OnStale", "point_in_time"]
