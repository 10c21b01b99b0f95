"""What a request leaves behind, and the queue it waits in: bounded, numbered, drained off the path."""

import asyncio
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import IntEnum

from gateway.domain.inference import Tensor
from gateway.domain.model import Call, Column, FeatureRows

# What a record, a column and a text take beside their contents.
_RECORD_BYTES, _COLUMN_BYTES, _TEXT_BYTES = 1024, 128, 56


class RecordKind(IntEnum):
    """What a record is of; the numbers are those of the wire."""

    PREDICT = 1
    INFER = 2
    SEARCH = 3
    ASK = 4


@dataclass(slots=True)
class Retrieved:
    """What a search or an ask gave."""

    query: str
    document_ids: Sequence[str] = ()
    chunks: Sequence[int] = ()
    scores: Sequence[float] = ()
    answerable: bool = False
    cited: Sequence[int] = ()


@dataclass(slots=True)
class Record:
    """One a request; whatever was not reached stays empty. Holds references only: nothing is copied on the path."""

    call: Call
    kind: RecordKind
    endpoint: str
    event_time_us: int
    rows: int = 0
    routes: Sequence[str] = ()
    model_versions: Sequence[str] = ()
    route_index: bytes = b""
    schema_hash: str = ""
    entities: Mapping[str, Column] = field(default_factory=dict)
    inputs: Mapping[str, Column] = field(default_factory=dict)
    features: FeatureRows | None = None
    outputs: Mapping[str, Column] = field(default_factory=dict)
    # Tensors of a bare infer, turned into columns off the path.
    tensors_in: Sequence[Tensor] = ()
    tensors_out: Sequence[Tensor] = ()
    timings_ms: Mapping[str, float] = field(default_factory=dict)
    error_code: str = ""
    error_reason: str = ""
    retrieved: Retrieved | None = None
    degraded: bool = False
    shadow: bool = False


def size_of(record: Record) -> int:
    """About how many bytes a record keeps in memory."""
    size = _RECORD_BYTES
    for columns in (record.entities, record.inputs, record.outputs):
        for column in columns.values():
            size += _COLUMN_BYTES + len(column.raw)
            if column.strings is not None:
                size += sum(map(len, column.strings)) + _TEXT_BYTES * len(column.strings)
    if record.features is not None:
        size += record.features.size
    for tensors in (record.tensors_in, record.tensors_out):
        size += sum(_COLUMN_BYTES + len(tensor.raw) for tensor in tensors)
    return size


class RecordQueue:
    """Takes a record and numbers it; one that finds no room keeps its number, so that readers see the gap."""

    def __init__(
        self,
        capacity: int,
        queue_full: Callable[[], None] = lambda: None,
        *,
        max_bytes: int = 64 * 1024 * 1024,
        max_tensor_bytes: int = 65_536,
    ) -> None:
        """`capacity` in records, `max_bytes` of all of them; `queue_full` counts records that found no room. Tensors of bare
        inferences larger than `max_tensor_bytes` are left out of records."""
        self._capacity = capacity
        self._queue_full = queue_full
        self._max_bytes = max_bytes
        self._max_tensor_bytes = max_tensor_bytes
        self._queue: deque[tuple[int, Record, int]] = deque()
        self._next = 0
        self._arrived = asyncio.Event()
        self.bytes = 0

    def __len__(self) -> int:
        return len(self._queue)

    def offer(self, record: Record) -> None:
        sequence = self._next
        self._next = sequence + 1
        if record.kind is RecordKind.INFER:
            record.tensors_in = self._small(record.tensors_in)
            record.tensors_out = self._small(record.tensors_out)
        size = size_of(record)
        if len(self._queue) >= self._capacity or self.bytes + size > self._max_bytes:
            self._queue_full()
            return
        self._queue.append((sequence, record, size))
        self.bytes += size
        if not self._arrived.is_set():
            self._arrived.set()

    async def filled(self) -> None:
        """Returns once there is a record."""
        while not self._queue:
            self._arrived.clear()
            await self._arrived.wait()

    def _small(self, tensors: Sequence[Tensor]) -> Sequence[Tensor]:
        return [tensor for tensor in tensors if len(tensor.raw) <= self._max_tensor_bytes]

    def take(self, size: int, max_bytes: int = 1024 * 1024) -> tuple[int, list[Record]]:
        """Up to `size` records of `max_bytes` (one at least) without a gap between them, and the number of the first."""
        queue = self._queue
        if not queue:
            return self._next, []
        first, record, taken = queue.popleft()
        records = [record]
        while (
            queue and len(records) < size and queue[0][0] == first + len(records) and taken + queue[0][2] <= max_bytes
        ):
            _, record, more = queue.popleft()
            records.append(record)
            taken += more
        self.bytes -= taken
        return first, records

    def put_back(self, first: int, records: list[Record]) -> None:
        """Returns a batch that could not be written to the front; what finds no room is counted."""
        room = max(0, self._capacity - len(self._queue))
        for index in range(len(records) - 1, -1, -1):
            if len(records) - 1 - index >= room:
                self._queue_full()
            else:
                size = size_of(records[index])
                self._queue.appendleft((first + index, records[index], size))
                self.bytes += size
