"""What a request leaves behind, and the queue it waits in: bounded, numbered, drained off the path."""

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import IntEnum

from gateway.domain.inference import Tensor
from gateway.domain.model import Call, Column, FeatureRows


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


class RecordQueue:
    """Takes a record in constant time and numbers it; one that finds no room keeps its number, so that readers see the gap."""

    def __init__(self, capacity: int, queue_full: Callable[[], None] = lambda: None) -> None:
        """`capacity` in records; `queue_full` counts records that found no room."""
        self._capacity = capacity
        self._queue_full = queue_full
        self._queue: deque[tuple[int, Record]] = deque()
        self._next = 0

    def __len__(self) -> int:
        return len(self._queue)

    def offer(self, record: Record) -> None:
        """See ports.Recorder."""
        sequence = self._next
        self._next = sequence + 1
        if len(self._queue) >= self._capacity:
            self._queue_full()
            return
        self._queue.append((sequence, record))

    def take(self, size: int) -> tuple[int, list[Record]]:
        """Up to `size` records without a gap between them, and the number of the first."""
        queue = self._queue
        if not queue:
            return self._next, []
        first, record = queue.popleft()
        records = [record]
        while queue and len(records) < size and queue[0][0] == first + len(records):
            records.append(queue.popleft()[1])
        return first, records

    def put_back(self, first: int, records: list[Record]) -> None:
        """Returns a batch that could not be written to the front; what finds no room is counted."""
        room = max(0, self._capacity - len(self._queue))
        for index in range(len(records) - 1, -1, -1):
            if len(records) - 1 - index >= room:
                self._queue_full()
            else:
                self._queue.appendleft((first + index, records[index]))
