"""Stored SQL bound by DuckDB: what it gives, what is wrong with it and in which line; and that it reads nothing else."""

from collections.abc import Callable
from pathlib import Path

import duckdb
import pytest

from catalog import FeatureView, parse_text
from catalog.examine import Bound, SqlFault
from catalog.tables.duckdb_tables import DuckDBTables

VIEW = """\
apiVersion: mizzen.dev/v1alpha1
kind: FeatureView
metadata: {name: one}
spec:
  entities: [{name: k, dtype: STRING}]
  source:
    tables: {t: PATH}
    sql: |
      SQL
  features: [{name: x, dtype: FLOAT64}]
"""
Ask = Callable[..., Bound | SqlFault | None]


@pytest.fixture
def ask(tmp_path: Path) -> Ask:
    root = tmp_path / "offline"
    for part in ("a", "b"):
        (root / "days" / part).mkdir(parents=True)
        duckdb.sql(
            f"COPY (SELECT 'ž' AS k, 1.5::DOUBLE AS x, now() AS event_timestamp) TO '{root}/days/{part}/1.parquet'"
        )
    (root / "broken.parquet").write_bytes(b"PAR1 and nothing else")
    (tmp_path / "secret.csv").write_text("k\nsecret\n")

    def bind(sql: str, path: str = "days") -> Bound | SqlFault | None:
        text = VIEW.replace("PATH", path).replace("SQL", sql.replace("\n", "\n      "))
        (view,), errors = parse_text(text, "x.yaml")
        assert isinstance(view, FeatureView)
        assert not errors
        return DuckDBTables(root).bind(view)

    return bind


@pytest.mark.parametrize("path", ["days", "days/a/1.parquet", "days/*/1.parquet", "days/**/*.parquet"])
def test_a_table_is_a_file_a_folder_or_a_glob(ask: Ask, path: str) -> None:
    bound = ask("SELECT * FROM t -- to the end", path)
    assert bound == Bound({"k": "VARCHAR", "x": "DOUBLE", "event_timestamp": "TIMESTAMP WITH TIME ZONE"})


@pytest.mark.parametrize(
    ("sql", "line", "reason"),
    [
        ("SELECT k,\n  x,\n  'žluťoučký' AS y, nothing\nFROM t", 2, "there is no column nothing"),
        ("-- a remark\nWITH a AS (SELECT nothing FROM t)\nSELECT * FROM a", 1, "there is no column nothing"),
        ("SELECT *\nFROM\n  u", 2, "u is no table of spec.source.tables"),
        ("SELECT k\nFROM t\nWHERE AND", 2, 'DuckDB: syntax error at or near "AND"'),
        ("SELECT k,\nsum(x) FROM t", 0, 'DuckDB: column "k" must appear in the GROUP BY clause'),
        ("SELECT nofunction(x)\nFROM t", 0, "DuckDB: Scalar Function with name nofunction does not exist!"),
        ("SELECT 1; SELECT 2", 0, "the SQL is not one SELECT"),
        ("DROP TABLE t", 0, "the SQL is not one SELECT"),
        ("COPY t TO 'x.csv'", 0, "the SQL is not one SELECT"),
    ],
)
def test_what_is_wrong_is_told_with_its_line(ask: Ask, sql: str, line: int, reason: str) -> None:
    fault = ask(sql)
    assert isinstance(fault, SqlFault)
    assert (fault.line, fault.table) == (line, "")
    assert fault.reason.startswith(reason), fault


def test_nothing_outside_the_root_is_read(ask: Ask, tmp_path: Path) -> None:
    for sql in (f"SELECT * FROM read_csv('{tmp_path}/secret.csv')", f"SELECT * FROM '{tmp_path}/secret.csv'"):
        fault = ask(sql)
        assert isinstance(fault, SqlFault)
        assert "secret\n" not in fault.reason + fault.fix
    for path in ("../secret.csv", str(tmp_path)):
        assert ask("SELECT 1", path) == SqlFault(f"{path} lies outside the offline root", "name a path below it", "t")


def test_a_broken_table_is_named(ask: Ask) -> None:
    fault = ask("SELECT * FROM t", "broken.parquet")
    assert isinstance(fault, SqlFault)
    assert fault.table == "t"
    assert "broken.parquet can't be read" in fault.reason


def test_without_any_table_nothing_is_told(tmp_path: Path) -> None:
    (view,), _ = parse_text(VIEW.replace("PATH", "t").replace("SQL", "nonsense"), "x.yaml")
    assert isinstance(view, FeatureView)
    assert DuckDBTables(tmp_path / "nowhere").bind(view) is None
