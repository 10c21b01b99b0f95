"""The verb behind the record stream: read, make durable, acknowledge; count what is missing."""

from monitoring.domain.ports import Clock, Metrics, RecordStream, RecordWriter
from monitoring.domain.sequences import SequenceLedger

_LAG_EVERY_S = 1.0


class Consume:
    """One consumer of the record stream. Entries are acknowledged only after their records are on disk."""

    def __init__(self, stream: RecordStream, writer: RecordWriter, metrics: Metrics, clock: Clock) -> None:
        self._stream = stream
        self._writer = writer
        self._metrics = metrics
        self._clock = clock
        self._ledger = SequenceLedger()
        self._lag_at_s = 0.0

    async def once(self) -> int:
        """One read, append and acknowledgement; how many entries it took. Raises what the ports raise: nothing is lost by it."""
        deliveries = await self._stream.read()
        now_s = self._clock.monotonic_s()
        if deliveries:
            appended = await self._writer.append(deliveries)
            for span in appended.spans:
                self._ledger.add(span, now_s)
            self._metrics.consumed(appended)
            await self._stream.ack([delivery.entry_id for delivery in deliveries])
        if now_s - self._lag_at_s >= _LAG_EVERY_S:
            self._lag_at_s = now_s
            self._metrics.gap(self._ledger.settle(now_s))
            self._metrics.lag(*await self._stream.lag())
        return len(deliveries)
