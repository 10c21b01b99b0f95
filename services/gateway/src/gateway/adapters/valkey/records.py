"""The record stream on Redis Streams: batches of records appended off the path."""

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from typing import Any

from redis.asyncio import Redis
from redis.exceptions import RedisError, ResponseError

from chassis.telemetry.logs import logger
from chassis.wire.protobuf import tag, varint
from gateway.adapters.columns import write_values
from gateway.adapters.valkey.record_wire import feature_bytes
from gateway.domain.inference import Tensor
from gateway.domain.model import Column
from gateway.domain.record import Record, RecordQueue
from gateway.domain.tensors import whole_column
from mizzen.monitoring.v1 import record_pb2

STREAM = "mizzen:records"
GROUP = "monitoring"
FIELD = "b"
SCHEMA_VERSION = 1
_AT_ONCE = 8
_RECORDS = tag(record_pb2.RecordBatch, "records")
_log = logger("gateway.records")


class ValkeyRecords:
    """Drains the queue into the stream. Down: records wait in the queue until it is full. Never affects an answer."""

    def __init__(
        self,
        redis: Redis,
        queue: RecordQueue,
        writer: str,
        *,
        max_lag: int,
        stream_full: Callable[[int], None] = lambda _: None,
        appended: Callable[[int], None] = lambda _: None,
        batch: int = 256,
        pause_s: float = 0.05,
    ) -> None:
        """`max_lag`: unread entries over which records are dropped; `batch`: most records of an entry."""
        self._redis = redis
        self._queue = queue
        self._writer = writer
        self._max_lag = max_lag
        self._stream_full = stream_full
        self._appended = appended
        self._batch = batch
        self._pause_s = pause_s
        self._full = False
        self._down = False

    async def run(self) -> None:
        """Appends until cancelled; on cancel `flush` empties the queue."""
        loop = asyncio.get_running_loop()
        checked_at = -1.0
        while True:
            await self._queue.filled()
            try:
                if loop.time() - checked_at >= 1:
                    self._full = await self._lag() > self._max_lag
                    checked_at = loop.time()
                while await self._append_one():
                    pass
                self._note_up()
            except (RedisError, OSError) as error:
                if not self._down:
                    _log.warning("record stream is down", error=type(error).__name__)
                self._down = True
                await asyncio.sleep(0.5)
            await asyncio.sleep(self._pause_s)

    async def flush(self) -> None:
        """Appends what is queued, for as long as the stream takes it."""
        with contextlib.suppress(RedisError, OSError, TimeoutError):
            async with asyncio.timeout(5):
                while await self._append_one():
                    pass

    def _note_up(self) -> None:
        if self._down:
            _log.info("record stream is back", queued=len(self._queue))
        self._down = False

    async def _lag(self) -> int:
        try:
            groups = await self._redis.xinfo_groups(STREAM)
        except ResponseError:
            # No stream yet: nobody has written.
            return 0
        for group in groups:
            if group["name"] in (GROUP, GROUP.encode()):
                return int(group["lag"] or 0) + int(group["pending"] or 0)
        return int(await self._redis.xlen(STREAM))

    async def _append_one(self) -> bool:
        first, records = self._queue.take(self._batch)
        if not records:
            return False
        if self._full:
            self._stream_full(len(records))
            return True
        try:
            # Entries hold many records; twice the bound is only the safety against a reader that died.
            entry: dict[Any, Any] = {FIELD: await self._encoded(first, records)}
            await self._redis.xadd(STREAM, entry, maxlen=2 * self._max_lag, approximate=True)
        except BaseException:
            self._queue.put_back(first, records)
            raise
        self._appended(len(records))
        return True

    async def _encoded(self, first: int, records: Sequence[Record]) -> bytes:
        parts = [record_pb2.RecordBatch(writer=self._writer, first_sequence=first).SerializeToString()]
        for index, record in enumerate(records):
            if index % _AT_ONCE == _AT_ONCE - 1:
                await asyncio.sleep(0)  # requests get their turns meanwhile
            try:
                target = record_pb2.Record()
                self._write(record, target)
                encoded = target.SerializeToString() + feature_bytes(record.features)
            except Exception as error:
                # One odd record must not stop the stream; its key and its kind still tell that it was there.
                _log.exception("a record could not be encoded", error=type(error).__name__)
                target = record_pb2.Record()
                self._write_head(record, target)
                encoded = target.SerializeToString()
            parts += (_RECORDS, varint(len(encoded)), encoded)
        return b"".join(parts)

    @staticmethod
    def _write_head(record: Record, target: record_pb2.Record) -> None:
        call = record.call
        target.schema_version = SCHEMA_VERSION
        target.request_id = call.request_id
        target.client_request_id = call.client_request_id
        target.kind = int(record.kind)  # type: ignore[assignment]
        target.tenant = call.caller.tenant
        target.subject = call.caller.subject
        target.endpoint = record.endpoint
        target.event_time_us = record.event_time_us
        target.received_at_us = call.received_at_us
        target.rows = record.rows
        target.error_code = record.error_code
        target.error_reason = record.error_reason
        target.degraded = record.degraded
        target.shadow = record.shadow
        target.schema_hash = record.schema_hash

    def _write(self, record: Record, target: record_pb2.Record) -> None:
        self._write_head(record, target)
        target.routes.extend(record.routes)
        target.model_versions.extend(record.model_versions)
        target.route_index = record.route_index
        for name, column in record.entities.items():
            write_values(column, target.entities[name])
        for name, column in record.inputs.items():
            write_values(column, target.inputs[name])
        for name, column in record.outputs.items():
            write_values(column, target.outputs[name])
        for name, column in self._tensor_columns(record.tensors_in):
            write_values(column, target.inputs[name])
        for name, column in self._tensor_columns(record.tensors_out):
            write_values(column, target.outputs[name])
        for stage, milliseconds in record.timings_ms.items():
            target.timings_ms[stage] = milliseconds
        if record.retrieved is not None:
            retrieved = target.retrieved
            retrieved.query = record.retrieved.query
            retrieved.document_ids.extend(record.retrieved.document_ids)
            retrieved.chunks.extend(record.retrieved.chunks)
            retrieved.scores.extend(record.retrieved.scores)
            retrieved.answerable = record.retrieved.answerable
            retrieved.cited.extend(record.retrieved.cited)

    @staticmethod
    def _tensor_columns(tensors: Sequence[Tensor]) -> list[tuple[str, Column]]:
        found = []
        for tensor in tensors:
            try:
                column = whole_column(tensor)
            except ValueError:
                continue
            if column is not None:
                found.append((tensor.name, column))
        return found
