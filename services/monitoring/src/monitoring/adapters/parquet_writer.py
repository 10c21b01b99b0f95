"""RecordWriter on Parquet files: hive-partitioned, durable before it returns, small files merged."""

import asyncio
import logging
import os
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
from google.protobuf.message import DecodeError

from chassis.errors import Unavailable
from mizzen.monitoring.v1 import record_pb2
from monitoring.adapters.record_checks import UNREADABLE, check, named
from monitoring.adapters.record_files import Ledger, RecordFiles, date_of, sync_directory
from monitoring.adapters.record_schema import BadRecordError, Prepared, RecordTable, prepare
from monitoring.domain.model import Appended, Delivery, Span

_log = logging.getLogger(__name__)
T = TypeVar("T")
_REMEMBERED = 200_000
_LATEST_US = 4_102_444_800_000_000
_MERGE_FROM = 8
_SMALL_BYTES = 32 * 1024 * 1024
# In memory and uncompressed, about; sorting needs it three times.
_MERGE_BYTES = 64 * 1024 * 1024
_Key = tuple[str, str, str, tuple[tuple[str, int, int], ...]]


class ParquetWriter:
    """Writes the entries of the record stream into the record log."""

    def __init__(self, files: RecordFiles, consumer: str) -> None:
        self._files = files
        self._consumer = consumer
        self._executor = ThreadPoolExecutor(1, "records")
        self._known: set[str] | None = None
        self._order: deque[str] = deque()

    async def append(self, deliveries: Sequence[Delivery]) -> Appended:
        """See RecordWriter. Raises Unavailable (RECORD_LOG_UNWRITABLE) when the disk refuses; nothing is half-written then."""
        return await self._run(lambda: self._append(deliveries))

    async def compact(self) -> int:
        return await self._run(self._compact)

    async def close(self) -> None:
        """Waits for the write under way."""
        await asyncio.to_thread(self._executor.shutdown, wait=True)

    async def _run(self, work: Callable[[], T]) -> T:
        try:
            return await asyncio.get_running_loop().run_in_executor(self._executor, work)
        except (OSError, pa.ArrowException, duckdb.Error) as error:
            raise Unavailable(
                f"the record log can't be written: {type(error).__name__}", reason="RECORD_LOG_UNWRITABLE"
            ) from error

    def _append(self, deliveries: Sequence[Delivery]) -> Appended:
        if self._known is None or any(delivery.again for delivery in deliveries):
            self._recover()
        tables: dict[_Key, RecordTable] = {}
        spans: list[Span] = []
        entries: list[str] = []
        duplicates = rejected = 0
        for delivery in deliveries:
            batch = self._parse(delivery)
            if batch is None:
                rejected += 1
                continue
            span = Span(batch.writer, batch.first_sequence, len(batch.records))
            if not self._remember(delivery.entry_id, span):
                duplicates += 1
                continue
            entries.append(delivery.entry_id)
            spans.append(span)
            rejected += _sort_in(batch, tables)
        try:
            if entries:
                self._commit(entries, spans, tables)
        except BaseException:
            self._known = None  # what is on disk decides, read it again before the next attempt
            raise
        written = sum(len(table.records) for table in tables.values())
        return Appended(written, rejected, duplicates, tuple(spans))

    def _parse(self, delivery: Delivery) -> Any:
        try:
            return record_pb2.RecordBatch.FromString(delivery.payload)
        except DecodeError:
            _log.warning("stream entry %s holds no RecordBatch", delivery.entry_id)
            self._files.keep_rejected(delivery.entry_id, delivery.payload)
            return None

    def _commit(self, entries: list[str], spans: list[Span], tables: dict[_Key, RecordTable]) -> None:
        name = f"{entries[0]}_{entries[-1]}_{self._consumer}"
        ledger = Ledger(entries, spans)
        made: list[Path] = []
        try:
            for index, ((tenant, endpoint, date, _), table) in enumerate(tables.items()):
                directory = self._files.partition(tenant, endpoint, date)
                directory.mkdir(parents=True, exist_ok=True)
                hidden, final = directory / f".{name}_{index}.parquet", directory / f"{name}_{index}.parquet"
                made.append(hidden)
                written = _write(hidden, table.table())
                ledger.files[self._files.relative(hidden)] = self._files.relative(named(final, written))
            self._files.write_ledger(name, ledger)
        except BaseException:
            for path in made:
                path.unlink(missing_ok=True)
            raise
        self._files.finish(ledger)

    def _recover(self) -> None:
        self._known, self._order = set(), deque()
        for ledger in self._files.ledgers():
            self._files.finish(ledger)
            for entry in ledger.entries:
                self._remember(entry, None)
            for span in ledger.spans:
                self._remember(f"{span.writer}#{span.first}", None)

    def _remember(self, entry_id: str, span: Span | None) -> bool:
        """False when the entry, or another one with the same records, has been written."""
        if self._known is None:
            raise RuntimeError("recover first")
        names = [entry_id] if span is None else [entry_id, f"{span.writer}#{span.first}"]
        if any(name in self._known for name in names):
            return False
        for name in names:
            self._known.add(name)
            self._order.append(name)
        while len(self._order) > _REMEMBERED:
            self._known.discard(self._order.popleft())
        return True

    def _compact(self) -> int:
        self._files.prune()
        gone = 0
        for directory in self._files.partitions():
            try:
                gone += self._compact_day(directory)
            except UNREADABLE:
                # One damaged file keeps no other day, and the next pass not this one, from being merged.
                if not self._files.set_aside_damaged(directory.glob("[!.]*.parquet")):
                    raise
        return gone

    def _compact_day(self, directory: Path) -> int:
        gone = 0
        _drop_replaced(directory, self._files)
        small = [path for path in sorted(directory.glob("[!.]*.parquet")) if path.stat().st_size < _SMALL_BYTES]
        for some in _mergeable(small):
            self._merge(directory, some)
            gone += len(some) - 1
        return gone

    def _merge(self, directory: Path, small: list[Path]) -> None:
        first, last = small[0].stem.partition("_")[0], small[-1].stem.partition("_")[0]
        final = directory / f"{first}_{last}_merged{len(small)}.parquet"
        hidden = final.with_name(f".{final.name}")
        schema = pa.unify_schemas([pq.read_schema(path) for path in small], promote_options="permissive")
        replaced = "\n".join(path.name for path in small)
        metadata = {**(schema.metadata or {}), b"mizzen.replaces": replaced.encode()}
        for path in small:
            check(path)
        tables = [pq.read_table(path, partitioning=None, page_checksum_verification=True) for path in small]
        merged = pa.concat_tables(tables, promote_options="permissive").sort_by(
            [("request_id", "ascending"), ("row", "ascending")]
        )
        written = _write(hidden, merged.replace_schema_metadata(metadata))
        with self._files.lock:
            hidden.rename(named(final, written))
            sync_directory(directory)
            _drop_replaced(directory, self._files)


def _mergeable(small: list[Path]) -> Iterator[list[Path]]:
    """Neighbours that may be merged in one go: many enough, and together no larger in memory than one merge may be."""
    run: list[Path] = []
    total = 0
    for path in small:
        footer = pq.read_metadata(path)
        size = footer.num_rows * footer.num_columns * 8
        if total + size > _MERGE_BYTES:
            if len(run) >= _MERGE_FROM:
                yield run
            run, total = [], 0
        if size < _MERGE_BYTES // 2:
            run.append(path)
            total += size
    if len(run) >= _MERGE_FROM:
        yield run


def _sort_in(batch: Any, tables: dict[_Key, RecordTable]) -> int:
    """Puts a batch's records into the tables they belong to; how many were refused."""
    rejected = 0
    for offset, record in enumerate(batch.records):
        try:
            if not 0 <= record.event_time_us < _LATEST_US:
                raise BadRecordError("event_time outside 1970 to 2100")
            prepared: Prepared = prepare(record)
        except BadRecordError as error:
            rejected += 1
            _log.warning("record %s refused: %s", record.request_id, error)
            continue
        key = (record.tenant, record.endpoint, date_of(record.event_time_us), prepared.layout)
        tables.setdefault(key, RecordTable()).add(record, prepared, batch.writer, batch.first_sequence + offset)
    return rejected


def _write(path: Path, table: pa.Table) -> pa.Buffer:
    """Writes the table and makes it durable; the bytes of the file."""
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink, compression="zstd", row_group_size=122_880, write_page_checksum=True)
    content = sink.getvalue()
    with path.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    return content


def _drop_replaced(directory: Path, files: RecordFiles) -> None:
    """Removes files that a merged one replaces: also what a crash between its rename and the removal left."""
    for merged in directory.glob("[!.]*_merged*.parquet"):
        replaces = (pq.read_schema(merged).metadata or {}).get(b"mizzen.replaces", b"").decode()
        for name in replaces.splitlines():
            with files.lock:
                (directory / name).unlink(missing_ok=True)
                files.forget(directory / name)
