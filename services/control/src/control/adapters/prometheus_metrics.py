"""Metrics on prometheus-client."""

from chassis.telemetry.metrics import Metrics as Registry
from control import metrics as declared
from control.domain.model import Outcome


class PrometheusMetrics:
    """See ports.Metrics."""

    def __init__(self, registry: Registry) -> None:
        self._changes = registry.counter(declared.CHANGES)
        self._refused = registry.counter(declared.REFUSED)
        self._key_reads = registry.counter(declared.KEY_READS)
        self._keys = registry.gauge(declared.KEYS)
        # There from the start: a rate over a series that begins with its first event misses that event.
        for reason in ("API_KEY_MISSING", "API_KEY_INVALID", "API_KEY_EXPIRED", "SCOPE_MISSING"):
            self._refused.labels(reason)
        for action in ("key.create", "key.revoke", "definition.put", "definition.remove"):
            self._changes.labels(action, Outcome.DONE.value)

    def changed(self, action: str, outcome: Outcome) -> None:
        self._changes.labels(action, outcome.value).inc()

    def refused(self, reason: str) -> None:
        self._refused.labels(reason).inc()

    def keys_read(self, count: int | None) -> None:
        self._key_reads.labels("unchanged" if count is None else "told").inc()
        if count is not None:
            self._keys.set(count)
