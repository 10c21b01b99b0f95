"""domain.ports.Metrics on the process's metrics."""

from chassis.telemetry.metrics import Metrics as Registry
from retrieval import metrics as declared
from retrieval.domain.model import Answer, AskEvent, SearchOutcome


class PrometheusMetrics:
    """Counts searches, answers and documents."""

    def __init__(self, registry: Registry) -> None:
        self._stages = registry.histogram(declared.STAGE_SECONDS)
        self._degraded = registry.counter(declared.DEGRADED)
        self._answers = registry.counter(declared.ANSWERS)
        self._upserted = registry.counter(declared.DOCUMENTS_UPSERTED)

    def searched(self, outcome: SearchOutcome) -> None:
        for stage, milliseconds in outcome.timings_ms.items():
            self._stages.labels(stage).observe(milliseconds / 1e3)
        if outcome.degraded_reason:
            self._degraded.labels("search").inc()

    def ask_event(self, event: AskEvent) -> None:
        if not isinstance(event, Answer):
            return
        for stage, milliseconds in event.timings_ms.items():
            self._stages.labels(stage).observe(milliseconds / 1e3)
        self._answers.labels("answered" if event.answerable else "not_found").inc()
        if event.degraded_reason:
            self._degraded.labels("ask").inc()

    def upserted(self, documents: int) -> None:
        self._upserted.inc(documents)
