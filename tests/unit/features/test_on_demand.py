"""On-demand SQL means the same in NumPy online and in DuckDB offline; whatever might not is refused."""

import math
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import duckdb
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from catalog import on_demand
from catalog.on_demand import parse_on_demand
from chassis.errors import InvalidArgument
from features.adapters.catalog_expressions import parse_expression
from features.domain.expression import Kind, Scope, cast_result, columns_of
from training.on_demand_sql import duckdb_sql

COLUMNS = {
    "x": Kind.NUMBER,
    "y": Kind.NUMBER,
    "n": Kind.NUMBER,
    "flag": Kind.BOOL,
    "name": Kind.TEXT,
    "ts": Kind.INSTANT,
    "as_of": Kind.INSTANT,
}
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
ZONES = ("America/New_York", "Europe/Berlin", "Asia/Kolkata", "Australia/Lord_Howe", "UTC")


def texts(kind: Kind, depth: int) -> st.SearchStrategy[str]:
    """Random SQL of the allow-list."""
    leaves = {
        Kind.NUMBER: st.sampled_from(["x", "y", "n", "0", "1", "2.5", "1e300", "6.283185307179586", "null"]),
        Kind.BOOL: st.sampled_from(["flag", "true", "false", "null"]),
        Kind.TEXT: st.sampled_from(["name", "'a'", "'it''s {0}'", "''"]),
        Kind.INSTANT: st.sampled_from(["ts", "as_of"]),
    }[kind]
    if depth == 0:
        return leaves
    number, boolean, text = (texts(k, depth - 1) for k in (Kind.NUMBER, Kind.BOOL, Kind.TEXT))
    instant = texts(Kind.INSTANT, 0)
    same = {Kind.NUMBER: number, Kind.BOOL: boolean, Kind.TEXT: text, Kind.INSTANT: instant}[kind]
    grown = [
        st.tuples(boolean, same, same).map(lambda p: f"case when {p[0]} then {p[1]} else {p[2]} end"),
        st.tuples(same, same).map(lambda p: f"coalesce({p[0]}, {p[1]})"),
    ]
    if kind is Kind.NUMBER:
        sign, word = st.sampled_from("+-*/"), st.sampled_from(["abs", "floor", "ceil", "sin", "cos", "ln", "exp", "-"])
        choice, part = st.sampled_from(["least", "greatest"]), st.sampled_from(["hour", "isodow"])
        grown += [
            st.tuples(number, sign, number).map(lambda p: f"({p[0]} {p[1]} {p[2]})"),
            st.tuples(word, number).map(lambda p: f"{p[0]}({p[1]})"),
            st.tuples(choice, number, number).map(lambda p: f"{p[0]}({p[1]}, {p[2]})"),
            st.tuples(part, instant).map(lambda p: f"{p[0]}({p[1]})"),
            st.tuples(part, st.sampled_from(ZONES), instant).map(lambda p: f"{p[0]}(timezone('{p[1]}', {p[2]}))"),
        ]
    if kind is Kind.BOOL:
        compared = st.sampled_from(["=", "<>", "<", "<=", ">", ">="])
        grown += [
            st.tuples(operand, compared, operand).map(lambda p: f"({p[0]} {p[1]} {p[2]})")
            for operand in (number, text, instant, boolean)
        ]
        grown += [
            st.tuples(boolean, st.sampled_from(["and", "or"]), boolean).map(lambda p: f"({p[0]} {p[1]} {p[2]})"),
            boolean.map(lambda p: f"(not {p})"),
            number.map(lambda p: f"({p} is null)"),
            text.map(lambda p: f"({p} is not null)"),
        ]
    return st.one_of(leaves, *grown)


NUMBERS = st.none() | st.floats(-1e6, 1e6) | st.sampled_from([0.0, -0.0, math.inf, -math.inf, math.nan, 1e308, 5e-324])
INSTANTS = st.integers(0, 2_145_000_000_000_000)
ROWS = st.lists(
    st.tuples(
        NUMBERS,
        NUMBERS,
        st.none() | st.integers(-(2**31), 2**31 - 1),
        st.none() | st.booleans(),
        st.none() | st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=3),
        st.none() | INSTANTS,
        INSTANTS,
    ),
    min_size=1,
    max_size=4,
)


@pytest.fixture(scope="module")
def database() -> Iterator[Any]:
    connection = duckdb.connect()
    connection.execute("SET TimeZone='UTC'; SET threads=1")
    connection.execute(
        "CREATE TABLE t (i INTEGER, x DOUBLE, y DOUBLE, n INTEGER, flag BOOLEAN, name VARCHAR, ts TIMESTAMPTZ, as_of TIMESTAMPTZ)"
    )
    yield connection
    connection.close()


def fill(database: Any, rows: list[tuple[Any, ...]]) -> Scope:
    parameters: list[Any] = []
    for i, (*values, ts, as_of) in enumerate(rows):
        instants = [None if at is None else EPOCH + timedelta(microseconds=at) for at in (ts, as_of)]
        parameters += [i, *values, *instants]
    database.execute("DELETE FROM t")
    database.execute("INSERT INTO t VALUES " + ", ".join(["(?, ?, ?, ?, ?, ?, ?, ?)"] * len(rows)), parameters)
    zeros: dict[str, Any] = {"flag": False, "name": ""}
    types: dict[str, Any] = {"flag": bool, "name": object, "ts": np.int64, "as_of": np.int64, "n": np.int32}
    columns = {}
    for name, column in zip(COLUMNS, zip(*rows, strict=True), strict=True):
        nulls = np.array([value is None for value in column])
        array = np.empty(len(column), types.get(name, np.float64))
        array[:] = [zeros.get(name, 0) if value is None else value for value in column]
        columns[name] = (array, nulls if nulls.any() else None)
    return Scope(columns, len(rows))


def online(text: str, kind: Kind, scope: Scope, dtype: str) -> list[Any]:
    values, nulls = cast_result(parse_expression(text, COLUMNS, kind, "sql").evaluate(scope), dtype)
    gone = [False] * scope.rows if nulls is None else nulls.tolist()
    return [None if null else value for value, null in zip(values.tolist(), gone, strict=True)]


def same(left: Any, right: Any) -> bool:
    if left is None or right is None or isinstance(left, str | bool):
        return bool(left == right)
    if math.isnan(left) or math.isnan(right):
        return math.isnan(left) and math.isnan(right)
    return bool(left == right) or math.isclose(left, right, rel_tol=1e-12, abs_tol=0)


def columns_in_double(name: str) -> str:
    return f'"{name}"'


@pytest.mark.parametrize(("kind", "dtype", "cast"), [(Kind.BOOL, "BOOL", "BOOLEAN"), (Kind.TEXT, "STRING", "VARCHAR")])
@given(data=st.data())
@settings(max_examples=60, deadline=None)
def test_logic_agrees_with_duckdb(database: Any, kind: Kind, dtype: str, cast: str, data: st.DataObject) -> None:
    text, rows = data.draw(texts(kind, 3).filter(lambda t: t != "null")), data.draw(ROWS)
    agree(database, text, kind, dtype, cast, rows)


@given(data=st.data())
@settings(max_examples=120, deadline=None)
def test_numbers_agree_with_duckdb(database: Any, data: st.DataObject) -> None:
    dtype, cast = data.draw(
        st.sampled_from([("FLOAT64", "DOUBLE"), ("FLOAT32", "FLOAT"), ("INT32", "INTEGER"), ("INT64", "BIGINT")])
    )
    agree(
        database,
        data.draw(texts(Kind.NUMBER, 3).filter(lambda t: t != "null")),
        Kind.NUMBER,
        dtype,
        cast,
        data.draw(ROWS),
    )


def test_a_bare_null_is_null(database: Any) -> None:
    """Found by the property test."""
    row = (None, None, None, None, "a", None, 0)
    agree(database, "case when not (null is null) then 'b' else name end", Kind.TEXT, "STRING", "VARCHAR", [row])


def agree(database: Any, text: str, kind: Kind, dtype: str, cast: str, rows: list[tuple[Any, ...]]) -> None:
    scope = fill(database, rows)
    try:
        parse_expression(text, COLUMNS, kind, "sql")
    except InvalidArgument as refused:
        assert "only nulls" in refused.message or "gives a null" in refused.message, text
        return
    known = {name: on_demand.Kind(each) for name, each in COLUMNS.items()}
    written = duckdb_sql(parse_on_demand(text, known, on_demand.Kind(kind)), columns_in_double)
    sql = f"SELECT TRY_CAST({written} AS {cast}) FROM t ORDER BY i"
    offline = [row[0] for row in database.execute(sql).fetchall()]
    found = online(text, kind, scope, dtype)
    assert all(same(a, b) for a, b in zip(found, offline, strict=True)), (text, sql, found, offline)


@pytest.mark.parametrize(
    "text",
    [
        "sin(6.283185307179586e0 * hour(timezone('America/New_York', ts)) / 24)",
        "case when x < 500 then 1 when x < 1500 then 2 else 3 end",
        "coalesce(x / y, 0)",
        "greatest(least(x, 100), ln(abs(y) + 1))",
        "case when flag and not (name = 'a') then isodow(ts) else -x end",
        "case when not x < y and flag or x + y * 2 - n / 4 >= -x is null then 1 else 2 end",
        "case when flag or flag and x > 0 or not flag is null and y != 1 then x - y - 1 else x / y / 2 end -- the end\n",
        'case when "name" = name and X == x /* as DuckDB has it */ then -(-x) * -y else .5 end',
    ],
)
@given(rows=ROWS)
@settings(max_examples=20, deadline=None)
def test_the_text_itself_runs_in_duckdb(database: Any, text: str, rows: list[tuple[Any, ...]]) -> None:
    scope = fill(database, rows)
    offline = [row[0] for row in database.execute(f"SELECT CAST(({text}) AS DOUBLE) FROM t ORDER BY i").fetchall()]
    found = online(text, Kind.NUMBER, scope, "FLOAT64")
    assert all(same(a, b) for a, b in zip(found, offline, strict=True)), (found, offline)


@pytest.mark.parametrize(
    "text",
    [
        "x // y",
        "x % y",
        "round(x)",
        "x ** 2",
        "log(x)",
        "x between 1 and 2",
        "x in (1, 2)",
        "name like 'a%'",
        "cast(x as integer)",
        "x::integer",
        "random()",
        "now()",
        "(select 1)",
        "x; select 1",
        "x from t",
        "sum(x)",
        "sum(x) over ()",
        "unknown + 1",
        "t.x",
        "name + 1",
        "name < 1",
        "timezone('Mars/Olympus', ts)",
        "hour(timezone(name, ts))",
        "hour(x)",
        "timezone('UTC', ts)",
        "case x when 1 then 2 end",
        "least(name, 'a')",
        "floor(x, 2)",
        "x is true",
        "null",
        "case when null then null end",
        "",
        "x +",
        "(" * 2000 + "x" + ")" * 2000,
        "read_csv('/etc/passwd')",
        "ts - as_of",
        "'a' || name",
        "if(flag, 1, 2)",
        "x is distinct from y",
    ],
)
def test_what_is_not_allowed_is_refused(text: str) -> None:
    with pytest.raises(InvalidArgument) as refused:
        parse_expression(text, COLUMNS, Kind.NUMBER, "spec.onDemand[2].sql")
    assert refused.value.field == "spec.onDemand[2].sql"
    assert refused.value.reason == "ON_DEMAND_REFUSED"


def test_columns_of_an_expression() -> None:
    tree = parse_expression("case when flag then hour(ts) else least(x, 2) end", COLUMNS, Kind.NUMBER, "sql")
    assert columns_of(tree) == {"flag", "ts", "x"}
