"""The offline store: DuckDB over Parquet. Nothing outside the offline root can be read, whatever a definition's SQL says."""
# ruff: noqa: S608 - identifiers are quoted, texts escaped, and a definition's SQL runs in a closed DuckDB

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
from numpy.typing import NDArray

from catalog.tables.paths import table_files, table_pattern
from chassis.errors import FailedPrecondition, InvalidArgument
from features.domain.model import NUMPY, Column, DType, Given, Rows, View

EVENT_US = "__event_us"
SQL_TYPES: Mapping[DType, str] = {
    DType.BOOL: "BOOLEAN",
    DType.INT32: "INTEGER",
    DType.INT64: "BIGINT",
    DType.FLOAT32: "FLOAT",
    DType.FLOAT64: "DOUBLE",
    DType.STRING: "VARCHAR",
    DType.TIMESTAMP: "TIMESTAMPTZ",
}


@dataclass(frozen=True, slots=True)
class OfflineOptions:
    """`root`: directory of the tables. `scratch`: where DuckDB spills; None keeps it from spilling."""

    root: Path
    scratch: Path | None = None
    memory: str = "1GB"
    threads: int = 2


def quoted(name: str) -> str:
    """An SQL identifier."""
    return '"' + name.replace('"', '""') + '"'


class DuckDBOffline:
    """Stages each view's SQL once and answers slices of it. Blocking: call it in a thread. One connection, one caller at a time."""

    def __init__(self, options: OfflineOptions) -> None:
        self._root = options.root.resolve()
        self._staged: dict[str, View] = {}
        self._instants: dict[str, NDArray[np.int64]] = {}
        self.connection = duckdb.connect()
        set_up = self.connection.execute
        set_up("SET TimeZone='UTC'")
        set_up(f"SET threads={int(options.threads)}")
        set_up(f"SET memory_limit='{_text(options.memory)}'")
        allowed = [str(self._root)]
        if options.scratch is not None:
            options.scratch.mkdir(parents=True, exist_ok=True)
            set_up(f"SET temp_directory='{_text(str(options.scratch))}'")
            allowed.append(str(options.scratch.resolve()))
        set_up("SET allowed_directories=[" + ", ".join(f"'{_text(path)}/'" for path in allowed) + "]")
        set_up("SET enable_external_access=false")
        set_up("SET lock_configuration=true")

    def close(self) -> None:
        """Forgets everything staged."""
        self.connection.close()

    def files(self, view: View) -> list[Path]:
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

    def fingerprint(self, view: View) -> str:
        """Changes whenever a file of the view's tables does."""
        states = ((path, path.stat()) for path in self.files(view))
        return ";".join(f"{path}:{state.st_size}:{state.st_mtime_ns}" for path, state in states)

    def stage(self, view: View) -> int:
        """Runs the view's SQL once and keeps its rows in order of time; returns how many. Staged already: does nothing."""
        if self._staged.get(view.name) is not view:
            sql = self._source_sql(view)
            try:
                self.connection.execute(f"CREATE OR REPLACE TEMP TABLE {_table(view)} AS {sql}")
            except duckdb.Error as error:
                raise InvalidArgument(
                    f"feature view {view.name}: its SQL failed: {str(error).splitlines()[0]}",
                    reason="SOURCE_SQL_FAILED",
                    field="spec.source.sql",
                    ids={"view": view.name},
                ) from error
            self._staged[view.name] = view
            self._instants.pop(view.name, None)
        return int(self._one(f"SELECT count(*) FROM {_table(view)}"))

    def _source_sql(self, view: View) -> str:
        source = view.source
        if source is None:
            raise InvalidArgument(f"feature view {view.name} stores nothing", field="view")
        tables: list[str] = []
        self.files(view)
        for table, path in source.tables.items():
            pattern = _text(table_pattern(self._root, path))
            tables.append(f"{quoted(table)} AS (SELECT * FROM read_parquet('{pattern}', union_by_name=true))")
        instant = f"CAST({quoted(source.timestamp_column)} AS TIMESTAMPTZ)"
        columns = [
            f"CAST({quoted(c.name)} AS {SQL_TYPES[c.dtype]}) AS {quoted(c.name)}" for c in (*view.keys, *view.stored)
        ]
        keys = " AND ".join(f"{quoted(key.name)} IS NOT NULL" for key in view.keys)
        # The newline ends a comment that the definition's SQL may end with.
        return (
            f"WITH {', '.join(tables)} SELECT {', '.join(columns)}, epoch_us({instant}) AS {EVENT_US} FROM ({source.sql}\n)"
            f" WHERE {keys} AND {quoted(source.timestamp_column)} IS NOT NULL ORDER BY {EVENT_US}"
        )

    def latest(
        self, view: View, since_us: int | None, until_us: int, tenant: str, rows_per_chunk: int, skip: int = 0
    ) -> Iterator[Rows]:
        """Latest row of each entity in (since, until], in chunks, entities in order; the first `skip` chunks are left out.

        The same arguments over the same tables give the same chunks.
        """
        self.stage(view)
        keys = ", ".join(quoted(key.name) for key in view.keys)
        first, last = self._places(view, since_us, until_us)
        picked = f"(SELECT *, rowid AS __row FROM {_table(view)} WHERE rowid >= {first} AND rowid < {last})"
        newest = f"row_number() OVER (PARTITION BY {keys} ORDER BY {EVENT_US} DESC, __row DESC) = 1"
        values = ", ".join(_wire_column(column) for column in (*view.keys, *view.stored))
        if since_us is not None and last - first <= rows_per_chunk:
            # A replay's small slice, one chunk at most: the window query alone would take four times as long.
            if last > first and skip == 0:
                slice_sql = f"SELECT {values}, {EVENT_US} FROM {_table(view)} WHERE rowid >= {first} AND rowid < {last}"
                yield _newest(view, _rows(view, tenant, self.connection.execute(slice_sql).fetchnumpy()))
            return
        newest = f"SELECT {values}, {EVENT_US} FROM {picked} QUALIFY {newest} ORDER BY {keys}"
        self.connection.execute(f"CREATE OR REPLACE TEMP TABLE __latest AS {newest}")
        total = int(self._one("SELECT count(*) FROM __latest"))
        for at in range(skip * rows_per_chunk, total, rows_per_chunk):
            found = self.connection.execute(
                f"SELECT * FROM __latest WHERE rowid >= {at} AND rowid < {at + rows_per_chunk} ORDER BY rowid"
            ).fetchnumpy()
            yield _rows(view, tenant, found)

    def _places(self, view: View, since_us: int | None, until_us: int) -> tuple[int, int]:
        """Row ids of (since, until]: staged rows lie in order of time, so no slice has to be searched for."""
        instants = self._instants.get(view.name)
        if instants is None:
            found = self.connection.execute(f"SELECT {EVENT_US} FROM {_table(view)} ORDER BY rowid").fetchnumpy()
            instants = self._instants[view.name] = np.asarray(found[EVENT_US], np.int64)
        first = 0 if since_us is None else int(np.searchsorted(instants, since_us, "right"))
        return first, max(first, int(np.searchsorted(instants, until_us, "right")))

    def instants(self, view: View) -> tuple[int, int] | None:
        """First and last event timestamp of a staged view, microseconds UTC."""
        self.stage(view)
        row = self.connection.execute(f"SELECT min({EVENT_US}), max({EVENT_US}) FROM {_table(view)}").fetchall()[0]
        return None if row[0] is None else (int(row[0]), int(row[1]))

    def _one(self, sql: str) -> Any:
        return self.connection.execute(sql).fetchall()[0][0]


def _table(view: View) -> str:
    return quoted(f"staged_{view.name}")


def _text(value: str) -> str:
    return value.replace("'", "''")


def _wire_column(column: Column) -> str:
    name = quoted(column.name)
    return f"epoch_us({name}) AS {name}" if column.dtype is DType.TIMESTAMP else name


def _rows(view: View, tenant: str, found: Mapping[str, Any]) -> Rows:
    return Rows(
        tenant,
        view.name,
        {key.name: _given(key, found[key.name]) for key in view.keys},
        {column.name: _given(column, found[column.name]) for column in view.stored},
        np.asarray(found[EVENT_US], np.int64),
    )


def _newest(view: View, rows: Rows) -> Rows:
    """The last row of each entity, of rows in order of time."""
    keys = zip(*(rows.entities[key.name].values.tolist() for key in view.keys), strict=True)
    kept = np.array(sorted({key: place for place, key in enumerate(keys)}.values()))

    def some(given: Given) -> Given:
        return Given(given.values[kept], None if given.nulls is None else given.nulls[kept])

    return Rows(
        rows.tenant,
        rows.view,
        {name: some(given) for name, given in rows.entities.items()},
        {name: some(given) for name, given in rows.features.items()},
        rows.event_timestamps_us[kept],
    )


def _given(column: Column, values: Any) -> Given:
    nulls = np.ma.getmaskarray(values) if isinstance(values, np.ma.MaskedArray) else None
    data = np.ma.getdata(values)
    if column.dtype is DType.STRING:
        if nulls is not None:
            data = np.where(nulls, "", data)
        return Given(np.asarray(data, object), nulls)
    return Given(np.asarray(data, NUMPY[column.dtype]), nulls)


def staged_table(view: View) -> str:
    """Quoted name of the table that `stage` made."""
    return _table(view)


__all__: Sequence[str] = ("EVENT_US", "SQL_TYPES", "DuckDBOffline", "OfflineOptions", "quoted", "staged_table")
