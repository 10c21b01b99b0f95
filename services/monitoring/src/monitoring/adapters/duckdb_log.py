"""RecordLog on DuckDB over the Parquet files of the record log."""
# ruff: noqa: S608 - paths and columns cannot be parameters; every one is quoted, numbers are ints

import asyncio
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import groupby
from pathlib import Path
from typing import Any, TypeVar

import duckdb
import numpy as np
import pyarrow as pa

from chassis.errors import Unavailable
from monitoring.adapters.record_checks import refused
from monitoring.adapters.record_files import RecordFile, RecordFiles
from monitoring.domain.model import Codes, Floats, Latency, Retrieval, Texts, Volume, Window, WindowCounts
from monitoring.domain.windows import ORIGIN_US

T = TypeVar("T")
_SAMPLE_ROWS = 400_000
_ANSWERED = "row IS NOT NULL AND error_code = '' AND NOT shadow"
_REQUEST = "(row IS NULL OR row = 0)"
_COLUMN_PREFIXES = {"entity": "entities", "input": "inputs", "output": "outputs"}


class DuckDBLog:
    """Reads the record log; queries run one after another on a thread of their own."""

    def __init__(self, files: RecordFiles, memory_limit: str = "1GB") -> None:
        """`memory_limit` is DuckDB's, e.g. 1GB; beyond it DuckDB refuses the query."""
        self._files = files
        self._executor = ThreadPoolExecutor(1, "duckdb")
        self._memory_limit = memory_limit
        self._connection = self._open()
        self._asked: Sequence[RecordFile] = ()
        self._counted: dict[tuple[str, str, int], tuple[Sequence[RecordFile], list[WindowCounts]]] = {}

    async def names(self) -> list[tuple[str, str]]:
        return await self._run(self._files.names)

    async def windows(self, tenant: str, endpoint: str, size_us: int) -> list[WindowCounts]:
        return await self._run(lambda: self._windows(tenant, endpoint, size_us))

    async def columns(
        self, tenant: str, endpoint: str, windows: Sequence[Window], kinds: Mapping[str, str]
    ) -> dict[Window, dict[str, Floats | Texts]]:
        return await self._run(lambda: self._columns(tenant, endpoint, windows, kinds))

    async def latency(self, tenant: str, endpoint: str, from_us: int, to_us: int) -> dict[str, Latency]:
        return await self._run(lambda: self._latency(tenant, endpoint, from_us, to_us))

    async def predictions(
        self, tenant: str, request_ids: Sequence[str], outputs: Sequence[str]
    ) -> list[tuple[str, int, str, str, float, int]]:
        return await self._run(lambda: self._predictions(tenant, request_ids, outputs))

    async def set_aside(self, tenant: str = "", endpoint: str = "") -> list[str]:
        return await self._run(lambda: self._files.aside(tenant, endpoint))

    async def close(self) -> None:
        """Stops the query under way and closes the database."""
        self._connection.interrupt()
        await asyncio.to_thread(self._executor.shutdown, wait=True)
        self._connection.close()

    async def _run(self, work: Callable[[], T]) -> T:
        def locked() -> T:
            with self._files.lock:
                return self._patiently(work)

        try:
            return await asyncio.get_running_loop().run_in_executor(self._executor, locked)
        except (OSError, pa.ArrowException, duckdb.Error) as error:
            raise Unavailable(
                f"the record log can't be read: {type(error).__name__}", reason="RECORD_LOG_UNREADABLE"
            ) from error

    def _patiently(self, work: Callable[[], T]) -> T:
        """Does `work` again without the files that turn out to be damaged."""
        while True:
            try:
                return work()
            except duckdb.InterruptException:
                raise
            except (OSError, pa.ArrowException, duckdb.Error) as error:
                paths = [Path(asked.path) for asked in self._asked]
                damaged = self._files.set_aside_damaged(paths)
                if isinstance(error, duckdb.Error):
                    # An internal error makes the database refuse whatever is asked next.
                    broken, self._connection = self._connection, self._open()
                    broken.close()
                    damaged = damaged or self._set_aside_refused(paths)
                if not damaged:
                    raise
                self._counted.clear()

    def _set_aside_refused(self, paths: Sequence[Path]) -> int:
        """Sets aside the files that DuckDB refuses one by one, though they pass their checks; how many."""
        damaged = 0
        for path in paths:
            with self._open() as connection:
                error = refused(connection, path)
            if error is not None:
                self._files.set_aside(path, error)
                damaged += 1
        return damaged

    def _open(self) -> duckdb.DuckDBPyConnection:
        opened = duckdb.connect(":memory:", config={"memory_limit": self._memory_limit, "threads": 2})
        opened.execute("SET TimeZone='UTC'")
        # Footers, of some 200 columns each, would stay in memory of every file that was ever read, merged ones too.
        opened.execute("SET parquet_metadata_cache=false")
        return opened

    def _windows(self, tenant: str, endpoint: str, size_us: int) -> list[WindowCounts]:
        files = self._files.files(tenant, endpoint)
        cached = self._counted.get((tenant, endpoint, size_us))
        if cached is not None and cached[0] == files:
            return cached[1]
        counts = self._count(files, size_us) if files else []
        self._counted[tenant, endpoint, size_us] = (files, counts)
        return counts

    def _count(self, files: Sequence[RecordFile], size_us: int) -> list[WindowCounts]:
        asked = _retrieval_sql() if "retrieved.query" in _names(files) else "0, 0, 0, 0, NULL, NULL"
        rows = self._fetch(
            f"""SELECT {_window_index(size_us)} AS w, error_code,
                count(*) FILTER ({_REQUEST} AND NOT shadow), count(*) FILTER ({_ANSWERED}),
                count(*) FILTER ({_REQUEST} AND NOT shadow AND degraded), count(*) FILTER ({_REQUEST} AND shadow),
                max(received_at_us), {asked}
            FROM {self._source(files)} GROUP BY w, error_code ORDER BY w"""
        )
        return [_counts(list(part), size_us) for _, part in groupby(rows, key=lambda row: row[0])]

    def _columns(
        self, tenant: str, endpoint: str, windows: Sequence[Window], kinds: Mapping[str, str]
    ) -> dict[Window, dict[str, Floats | Texts]]:
        if not windows:
            return {}
        size_us = windows[0].to_us - windows[0].from_us
        files = self._files.files(tenant, endpoint, windows[0].from_us, windows[-1].to_us)
        names = _names(files)
        found = {name: place for name in kinds if (place := _place(name)) in names}
        if not found:
            return {}
        by_index = {(window.from_us - ORIGIN_US) // size_us: window for window in windows}
        where = f"{_ANSWERED} AND {_window_index(size_us)} IN ({','.join(map(str, by_index))})"
        total = self._fetch(f"SELECT count(*) FROM {self._source(files)} WHERE {where}")[0][0]
        every = -(-total // _SAMPLE_ROWS)
        if every > 1:
            where += f" AND hash(request_id, row) % {every} = 0"
        casts = ", ".join(f"{_cast(kinds[name], place)} AS c{n}" for n, (name, place) in enumerate(found.items()))
        query = f"SELECT {_window_index(size_us)} AS w, {casts} FROM {self._source(files)} WHERE {where}"
        table = self._connection.sql(query).to_arrow_table()
        return _split(table, list(found), by_index)

    def _latency(self, tenant: str, endpoint: str, from_us: int, to_us: int) -> dict[str, Latency]:
        files = self._files.files(tenant, endpoint, from_us, to_us)
        stages = sorted(name for name in _names(files) if name.startswith("timings_ms."))
        if not stages:
            return {}
        asked = ", ".join(f"quantile_cont({_quoted(s)}, [.5, .9, .99]), count({_quoted(s)})" for s in stages)
        inside = f"event_time_us >= {from_us} AND event_time_us < {to_us}"
        row = self._fetch(
            f"SELECT {asked} FROM {self._source(files)} WHERE {_REQUEST} AND NOT shadow AND error_code = '' AND {inside}"
        )[0]
        return {
            stage.partition(".")[2]: Latency(row[2 * n][0], row[2 * n][1], row[2 * n][2], row[2 * n + 1])
            for n, stage in enumerate(stages)
            if row[2 * n + 1]
        }

    def _predictions(
        self, tenant: str, request_ids: Sequence[str], outputs: Sequence[str]
    ) -> list[tuple[str, int, str, str, float, int]]:
        if not request_ids:
            return []
        first, last = min(request_ids), max(request_ids)
        self._connection.register("asked", pa.table({"id": pa.array(sorted(set(request_ids)))}))
        found: list[tuple[str, int, str, str, float, int]] = []
        for endpoint in self._files.endpoints(tenant):
            files = [f for f in self._files.files(tenant, endpoint) if f.first_id <= last and f.last_id >= first]
            if not files:
                continue
            names = _names(files)
            for output in outputs:
                place = f"outputs.{output}"
                if place in names:
                    rows = self._fetch(
                        f"""SELECT request_id, row, TRY_CAST({_quoted(place)} AS DOUBLE) AS p, event_time_us
                        FROM {self._source(files)} WHERE {_ANSWERED} AND p IS NOT NULL
                        AND request_id IN (SELECT id FROM asked)"""
                    )
                    found.extend((i, r, output, endpoint, p, at) for i, r, p, at in rows)
        self._connection.unregister("asked")
        return found

    def _source(self, files: Sequence[RecordFile]) -> str:
        self._asked = files
        paths = ", ".join("'" + file.path.replace("'", "''") + "'" for file in files)
        return f"read_parquet([{paths}], union_by_name = true, hive_partitioning = false)"

    def _fetch(self, query: str) -> list[tuple[Any, ...]]:
        return self._connection.execute(query).fetchall()


def _counts(rows: Sequence[tuple[Any, ...]], size_us: int) -> WindowCounts:
    """Counts of one window from its rows by error code."""
    start = ORIGIN_US + int(rows[0][0]) * size_us
    errors = {row[1]: row[2] for row in rows if row[1] and row[2]}
    requests, answered, degraded, shadow = (sum(row[n] for row in rows) for n in range(2, 6))
    searches, asks, empty, unanswerable = (sum(row[n] for row in rows) for n in range(7, 11))
    # Means are of what was answered, which is one of the rows.
    results, top = (next((row[n] for row in rows if row[n] is not None), None) for n in (11, 12))
    retrieval = Retrieval(searches, asks, empty, unanswerable, results, top) if searches or asks else None
    volume = Volume(requests, answered, degraded, shadow, errors)
    stamp = f"{requests}.{answered}.{shadow}.{max(row[6] for row in rows)}"
    return WindowCounts(Window(start, start + size_us), volume, stamp, retrieval)


def _retrieval_sql() -> str:
    answered = f"{_REQUEST} AND error_code = ''"
    results = 'len("retrieved.scores")'
    return f"""count(*) FILTER ({answered} AND kind = 'SEARCH'), count(*) FILTER ({answered} AND kind = 'ASK'),
        count(*) FILTER ({answered} AND kind IN ('SEARCH', 'ASK') AND coalesce({results}, 0) = 0),
        count(*) FILTER ({answered} AND kind = 'ASK' AND NOT coalesce("retrieved.answerable", false)),
        avg({results}) FILTER ({answered}), avg(list_max("retrieved.scores")) FILTER ({answered})"""


def _split(
    table: pa.Table, names: Sequence[str], by_index: Mapping[int, Window]
) -> dict[Window, dict[str, Floats | Texts]]:
    places = table["w"].to_numpy()
    # Files come by date, so rows mostly do; sorting them here is far cheaper than DuckDB's sort of so many columns.
    order = None if (places[:-1] <= places[1:]).all() else np.argsort(places, kind="stable")
    if order is not None:
        places = places[order]
    columns = [_column(table[f"c{n}"].combine_chunks(), order) for n in range(len(names))]
    found: dict[Window, dict[str, Floats | Texts]] = {}
    for place, start in zip(*np.unique(places, return_index=True), strict=True):
        stop = int(np.searchsorted(places, place, "right"))
        part = {name: column(int(start), stop) for name, column in zip(names, columns, strict=True)}
        found[by_index[int(place)]] = part
    return found


def _column(array: pa.Array, order: Codes | None) -> Callable[[int, int], Floats | Texts]:
    """A stretch of the column, its rows in that order, by its first and last row."""
    if not pa.types.is_string(array.type):
        found = array.to_numpy(zero_copy_only=False)
        numbers = found if order is None else found[order]
        return lambda start, stop: numbers[start:stop]
    encoded = array.dictionary_encode()
    names = tuple(encoded.dictionary.to_pylist())
    codes = encoded.indices.fill_null(-1).to_numpy().astype(np.int64)
    codes = codes if order is None else codes[order]
    return lambda start, stop: Texts(names, codes[start:stop])


def _window_index(size_us: int) -> str:
    return f"CAST(floor((event_time_us - {ORIGIN_US}) / {size_us}) AS BIGINT)"


def _place(name: str) -> str:
    kind, _, rest = name.partition(":")
    prefix = _COLUMN_PREFIXES.get(kind)
    return f"{prefix}.{rest}" if prefix and rest else f"features.{name}"


def _cast(kind: str, place: str) -> str:
    if kind == "categorical":
        return f"CAST({_quoted(place)} AS VARCHAR)"
    return f"TRY_CAST({_quoted(place)} AS DOUBLE)"


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _names(files: Sequence[RecordFile]) -> set[str]:
    return {name for file in files for name in file.columns}
