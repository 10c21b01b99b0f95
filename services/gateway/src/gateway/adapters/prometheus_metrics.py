"""What the gateway measures of itself."""

from collections.abc import Callable
from typing import Any

from chassis import metrics as chassis_metrics
from chassis.telemetry.metrics import Metrics, TenantLabels
from gateway import metrics as declared


class AdmissionMetrics:
    """What admission refused and learnt."""

    def __init__(self, metrics: Metrics) -> None:
        self._shed = metrics.counter(declared.SHED)
        self._limit = metrics.gauge(declared.LIMIT)
        self._children: dict[tuple[str, str], Any] = {}
        self.in_flight = metrics.gauge(declared.IN_FLIGHT)
        self.lagged = metrics.histogram(declared.LAG_SECONDS).observe

    def refused(self, reason: str, name: str) -> None:
        child = self._children.get((reason, name))
        if child is None:
            child = self._children[reason, name] = self._shed.labels(reason, name)
        child.inc()

    def learnt(self, name: str, limit: int) -> None:
        self._limit.labels(name).set(limit)

    def forgotten(self, name: str) -> None:
        self._limit.remove(name)


class PrometheusMetrics:
    """Callables that the domain and the adapters count with."""

    def __init__(self, metrics: Metrics, tenants: TenantLabels) -> None:
        self._tenants, self._metrics = tenants, metrics
        self.admission = AdmissionMetrics(metrics)
        self._seconds = metrics.histogram(declared.REQUEST_SECONDS)
        self._requests = metrics.counter(declared.REQUESTS)
        dropped = metrics.counter(declared.RECORDS_DROPPED)
        self._queue_full = dropped.labels("queue_full")
        self._stream_full = dropped.labels("stream_full")
        self._records = metrics.counter(declared.RECORDS)
        self.record_queue = metrics.gauge(declared.RECORD_QUEUE)
        self._refused = metrics.gauge(declared.DEFINITIONS_REFUSED)
        self._shadows = metrics.counter(declared.SHADOWS_DROPPED)
        self._unprotected = metrics.counter(declared.UNPROTECTED_WRITES)
        coalesced = metrics.histogram(chassis_metrics.COALESCED_ITEMS)
        self.coalesced_reads = coalesced.labels("features").observe
        self.coalesced_infers = coalesced.labels("inference").observe
        self._children: dict[tuple[str, str, int], Any] = {}
        self._by_tenant: dict[str, Any] = {}

    def api_keys(self, count: Callable[[], int], faults: Callable[[], int], age_s: Callable[[], float]) -> None:
        """Where the numbers of API keys come from."""
        self._metrics.gauge(declared.API_KEYS).set_function(count)
        self._metrics.gauge(declared.API_KEY_FAULTS).set_function(faults)
        self._metrics.gauge(declared.API_KEYS_AGE).set_function(age_s)

    def definitions_refused(self, count: int) -> None:
        """Definitions that are wrong now."""
        self._refused.set(count)

    def control_keys(self, count: Callable[[], int], age_s: Callable[[], float]) -> None:
        """Where the numbers of control's API keys come from."""
        self._metrics.gauge(declared.CONTROL_KEYS).set_function(count)
        self._metrics.gauge(declared.CONTROL_KEYS_AGE).set_function(age_s)

    def request(self, method: str, path: str, status: int, seconds: float) -> None:
        """A REST request was answered."""
        key = (method, path, status)
        child = self._children.get(key)
        if child is None:
            child = self._children[key] = self._seconds.labels(method, path, str(status))
        child.observe(seconds)

    def tenant(self, tenant: str) -> None:
        """A tenant sent a request."""
        label = self._tenants.label(tenant)
        child = self._by_tenant.get(label)
        if child is None:
            child = self._by_tenant[label] = self._requests.labels(label)
        child.inc()

    def queue_full(self) -> None:
        """A record found no room in the queue."""
        self._queue_full.inc()

    def stream_full(self, records: int) -> None:
        """Records were dropped because nobody reads the stream."""
        self._stream_full.inc(records)

    def appended(self, records: int) -> None:
        """Records reached the stream."""
        self._records.inc(records)

    def shadow_dropped(self) -> None:
        """A shadow request found no room."""
        self._shadows.inc()

    def unprotected_write(self) -> None:
        """A write went through without its key."""
        self._unprotected.inc()
