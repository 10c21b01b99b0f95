"""Everything monitoring does by itself, as background tasks."""

from collections.abc import Awaitable, Callable
from functools import partial

from monitoring.domain.consume import Consume
from monitoring.domain.evaluate import Evaluate
from monitoring.domain.match import MatchLabels
from monitoring.domain.ports import Metrics, RecordWriter
from monitoring.domain.schedule import repeat

_PURGE_EVERY_S = 3600.0


class Watch:
    """Consuming, joining, evaluating, merging, purging: each goes on when the others can't."""

    def __init__(
        self, consume: Consume, match: MatchLabels, evaluate: Evaluate, writer: RecordWriter, metrics: Metrics
    ) -> None:
        self._consume = consume
        self._match = match
        self._evaluate = evaluate
        self._writer = writer
        self._metrics = metrics

    def tasks(
        self, match_every_s: float, evaluate_every_s: float, compact_every_s: float
    ) -> list[tuple[str, Callable[[], Awaitable[None]]]]:
        """(name, coroutine function) of each; they run until cancelled."""
        steps: list[tuple[str, Callable[[], Awaitable[object]], float]] = [
            ("consume", self._consume.once, 0.0),
            ("match", self._match.once, match_every_s),
            ("evaluate", self._evaluate_all, evaluate_every_s),
            ("compact", self._writer.compact, compact_every_s),
            ("purge", self._match.purge, _PURGE_EVERY_S),
        ]
        return [(name, partial(repeat, name, step, every_s, self._metrics)) for name, step, every_s in steps]

    async def _evaluate_all(self) -> None:
        for report in await self._evaluate.everything():
            self._metrics.report(report)
        self._metrics.set_aside(*await self._evaluate.unreadable())
