"""Stored SQL bound by DuckDB against the registered tables, without reading a row. Import it only where DuckDB is installed."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import duckdb

from catalog.examine.outside import Bound, SqlFault
from catalog.kinds.feature_view import FeatureView, Source
from catalog.suggestions import meant
from catalog.tables.closed_duckdb import closed_duckdb, quoted, reading
from catalog.tables.paths import table_files

_DESCRIBE = "DESCRIBE "


class DuckDBTables:
    """See catalog.examine.Tables. Blocking; nothing outside the offline root is read, whatever a definition's SQL says."""

    def __init__(self, root: Path) -> None:
        """`root` is the offline root, which need not exist."""
        self._root = root.resolve()

    def bind(self, view: FeatureView) -> Bound | SqlFault | None:
        """See catalog.examine.Tables."""
        source = view.spec.source
        if source is None or next(self._root.rglob("*.parquet"), None) is None:
            return None
        connection = closed_duckdb(self._root, {"errors_as_json": "true"})
        try:
            return self._registered(connection, source) or _bound(connection, source)
        finally:
            connection.close()

    def _registered(self, connection: Any, source: Source) -> SqlFault | None:
        """Makes a view of each table; what is wrong with one of them."""
        for table, path in source.tables.items():
            try:
                if not table_files(self._root, path):
                    return SqlFault(f"there is no Parquet file at {path}", self._nearest(path), table)
                connection.execute(f"CREATE TEMP VIEW {quoted(table)} AS {reading(self._root, path)}")
            except ValueError as error:
                return SqlFault(str(error), "name a path below it", table)
            except duckdb.Error as error:
                return SqlFault(f"{path} can't be read: {_told(error)['exception_message']}", "write it anew", table)
        return None

    def _nearest(self, path: str) -> str:
        known = sorted(each.relative_to(self._root).as_posix() for each in self._root.rglob("*.parquet"))
        return meant(path, known, "tables here are")


def _bound(connection: Any, source: Source) -> Bound | SqlFault:
    before = 0
    try:
        statements = connection.extract_statements(source.sql)
        if len(statements) != 1 or statements[0].type is not duckdb.StatementType.SELECT:
            return SqlFault("the SQL is not one SELECT", "write one SELECT without a ';'")
        before = len(_DESCRIBE)
        rows = connection.execute(_DESCRIBE + source.sql).fetchall()
    except duckdb.Error as error:
        return _sql_fault(_told(error), source, before)
    return Bound({str(name): str(kind) for name, kind, *_ in rows})


def _told(error: duckdb.Error) -> Mapping[str, str]:
    """DuckDB's error as it tells it: exception_message, position (in bytes), name, candidates, error_subtype."""
    text = str(error)
    try:
        found: Mapping[str, str] = json.loads(text[text.index("{") :])
    except ValueError:
        return {"exception_message": text.splitlines()[0] if text else "DuckDB refuses it"}
    return found


def _sql_fault(told: Mapping[str, str], source: Source, before: int) -> SqlFault:
    lines = told["exception_message"].split("\n")
    reason, fix = f"DuckDB: {lines[0]}", " ".join(lines[1:])[:200].strip()
    name, near = told.get("name", ""), [each for each in told.get("candidates", "").split(",") if each]
    if told.get("error_subtype") == "COLUMN_NOT_FOUND":
        reason, fix = f"there is no column {name}", meant(name, near, "near are")
    elif told.get("error_subtype") == "MISSING_ENTRY" and told.get("type") == "Table":
        reason = f"{name} is no table of spec.source.tables"
        fix = meant(name, sorted(source.tables), "these are") + ", or register it there"
    position = max(0, int(told.get("position", before)) - before)
    return SqlFault(reason, fix, line=source.sql.encode()[:position].count(b"\n"))
