"""The record queue: bounded, numbered, drained off the path."""

from collections import deque
from collections.abc import Callable

from gateway.domain.model import Record


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
