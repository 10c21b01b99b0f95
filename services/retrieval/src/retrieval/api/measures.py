"""What the edge counts."""

from chassis.telemetry.metrics import Metrics
from retrieval import metrics as declared
from retrieval.domain.ask import AskEvent
from retrieval.domain.model import Answer, SearchOutcome


class Measures:
    """Retrieval's metrics."""

    def __init__(self, metrics: Metrics) -> None:
        self._stages = metrics.histogram(declared.STAGE_SECONDS)
        self._degraded = metrics.counter(declared.DEGRADED)
        self._answers = metrics.counter(declared.ANSWERS)
        self._upserted = metrics.counter(declared.DOCUMENTS_UPSERTED)

    def searched(self, outcome: SearchOutcome) -> None:
        """One search that was answered."""
        for stage, milliseconds in outcome.timings_ms.items():
            self._stages.labels(stage).observe(milliseconds / 1e3)
        if outcome.degraded_reason:
            self._degraded.labels("search").inc()

    def ask_event(self, event: AskEvent) -> None:
        """One event of an answer; only the last one counts."""
        if not isinstance(event, Answer):
            return
        for stage, milliseconds in event.timings_ms.items():
            self._stages.labels(stage).observe(milliseconds / 1e3)
        self._answers.labels("answered" if event.answerable else "not_found").inc()
        if event.degraded_reason:
            self._degraded.labels("ask").inc()

    def upserted(self, documents: int) -> None:
        """Documents that an upsert was acknowledged for, changed or not."""
        self._upserted.inc(documents)
