"""The offline store: DuckDB over Parquet. Nothing outside the offline root can be read, whatever a definition's SQL says."""
# ruff: noqa: S608 - identifiers are quoted, texts escaped, and a definition's SQL runs in a closed DuckDB

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import duckdb

from catalog.tables.closed_duckdb import closed_duckdb, literal, quoted, reading
from catalog.tables.paths import table_files
from chassis.errors import FailedPrecondition, InvalidArgument

EVENT_US = "__event_us"
SQL_TYPES: Mapping[str, str] = {
    "BOOL": "BOOLEAN",
    "INT32": "INTEGER",
    "INT64": "BIGINT",
    "FLOAT32": "FLOAT",
    "FLOAT64": "DOUBLE",
    "STRING": "VARCHAR",
    "TIMESTAMP": "TIMESTAMPTZ",
}
"""A definition's dtype → DuckDB's type."""


class Source(Protocol):
    """Where stored features come from: SQL over tables (name → path under the offline root)."""

    @property
    def tables(self) -> Mapping[str, str]:
        """Table name in the SQL → Parquet file, directory or glob under the offline root."""
        ...

    @property
    def sql(self) -> str:
        """A SELECT that gives keys, timestamp column and stored features."""
        ...

    @property
    def timestamp_column(self) -> str:
        """The column with the instant from which a row's values were known."""
        ...


@dataclass(frozen=True, slots=True)
class StoredView:
    """A feature view as far as it lies offline: `keys` and `stored` are columns in order, name → dtype."""

    name: str
    keys: Mapping[str, str]
    stored: Mapping[str, str]
    source: Source | None


@dataclass(frozen=True, slots=True)
class OfflineOptions:
    """`root`: directory of the tables. `scratch`: where DuckDB spills; None keeps it from spilling."""

    root: Path
    scratch: Path | None = None
    memory: str = "1GB"
    threads: int = 2


def staged_table(name: str) -> str:
    """Quoted name of the table that `stage` makes of the view `name`."""
    return quoted(f"staged_{name}")


class OfflineStore:
    """Stages each view's SQL once, in a DuckDB that reads the root alone. Blocking; one connection, one caller at a time."""

    def __init__(self, options: OfflineOptions) -> None:
        self._root = options.root.resolve()
        self._staged: dict[str, StoredView] = {}
        settings = {"threads": str(int(options.threads)), "memory_limit": literal(options.memory)}
        self.connection = closed_duckdb(self._root, settings, options.scratch)

    def close(self) -> None:
        """Forgets everything staged."""
        self.connection.close()

    def files(self, view: StoredView) -> list[Path]:
        """Parquet files that the view's tables are made of. FailedPrecondition when there are none."""
        found: list[Path] = []
        for table, path in (view.source.tables if view.source else {}).items():
            try:
                files = table_files(self._root, path)
            except ValueError as error:
                reason = f"table {table} lies outside the offline root"
                raise InvalidArgument(reason, field="spec.source.tables") from error
            if not files:
                raise FailedPrecondition(
                    f"feature view {view.name}: table {table} has no Parquet files at {path}",
                    reason="TABLE_MISSING",
                    ids={"view": view.name, "table": table},
                )
            found += files
        return found

    def stage(self, view: StoredView) -> bool:
        """Runs the view's SQL and keeps its rows in order of time in `staged_table`; False when they are there already."""
        if self._staged.get(view.name) == view:
            return False
        sql = self._source_sql(view)
        try:
            self.connection.execute(f"CREATE OR REPLACE TEMP TABLE {staged_table(view.name)} AS {sql}")
        except duckdb.Error as error:
            raise InvalidArgument(
                f"feature view {view.name}: its SQL failed: {str(error).splitlines()[0]}",
                reason="SOURCE_SQL_FAILED",
                field="spec.source.sql",
                ids={"view": view.name},
            ) from error
        self._staged[view.name] = view
        return True

    def _source_sql(self, view: StoredView) -> str:
        source = view.source
        if source is None:
            raise InvalidArgument(f"feature view {view.name} stores nothing", field="view")
        tables: list[str] = []
        self.files(view)
        for table, path in source.tables.items():
            tables.append(f"{quoted(table)} AS ({reading(self._root, path)})")
        instant = f"CAST({quoted(source.timestamp_column)} AS TIMESTAMPTZ)"
        typed = {**view.keys, **view.stored}
        columns = [f"CAST({quoted(name)} AS {SQL_TYPES[dtype]}) AS {quoted(name)}" for name, dtype in typed.items()]
        keys = " AND ".join(f"{quoted(name)} IS NOT NULL" for name in view.keys)
        # The newline ends a comment that the definition's SQL may end with.
        return (
            f"WITH {', '.join(tables)} SELECT {', '.join(columns)}, epoch_us({instant}) AS {EVENT_US} FROM ({source.sql}\n)"
            f" WHERE {keys} AND {quoted(source.timestamp_column)} IS NOT NULL ORDER BY {EVENT_US}"
        )
