"""Counts what never arrived, by the sequence numbers that each writer gives its records."""

from dataclasses import dataclass, field

from monitoring.domain.model import Span

_HOLES = 1000


@dataclass(slots=True)
class _Writer:
    expected: int
    seen_at_s: float
    # first → (end, when noticed): ranges that were jumped over and may still come (a reclaimed entry arrives late).
    holes: dict[int, tuple[int, float]] = field(default_factory=dict)


class SequenceLedger:
    """Notices gaps per writer. A hole counts as lost when nothing filled it within `settle_s` seconds."""

    def __init__(self, settle_s: float = 60.0, forget_s: float = 3600.0) -> None:
        self._settle_s = settle_s
        self._forget_s = forget_s
        self._writers: dict[str, _Writer] = {}

    def add(self, span: Span, now_s: float) -> None:
        """Notes an arrived span. The first span of an unknown writer sets where counting starts."""
        end = span.first + span.count
        writer = self._writers.get(span.writer)
        if writer is None:
            self._writers[span.writer] = _Writer(end, now_s)
            return
        writer.seen_at_s = now_s
        if span.first > writer.expected:
            writer.holes[writer.expected] = (span.first, now_s)
        elif writer.holes:
            _fill(writer.holes, span.first, end)
        writer.expected = max(writer.expected, end)

    def settle(self, now_s: float) -> int:
        """Records that are lost for good since the last call; forgets writers that have been silent for long."""
        lost = 0
        for name, writer in list(self._writers.items()):
            crowded = len(writer.holes) > _HOLES
            for first, (end, noticed_s) in list(writer.holes.items()):
                if crowded or now_s - noticed_s >= self._settle_s:
                    lost += end - first
                    del writer.holes[first]
            if not writer.holes and now_s - writer.seen_at_s > self._forget_s:
                del self._writers[name]
        return lost


def _fill(holes: dict[int, tuple[int, float]], first: int, end: int) -> None:
    for start, (stop, noticed_s) in list(holes.items()):
        if end <= start or first >= stop:
            continue
        del holes[start]
        if start < first:
            holes[start] = (first, noticed_s)
        if end < stop:
            holes[end] = (stop, noticed_s)
