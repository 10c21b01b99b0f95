"""Names and constructors of everything that is measured, logged or traced.

Every metric of every room is declared here, once, as a constant; a room asks `Metrics` for the live object. Names are
``mizzen_<room>_<what>_<unit>``; counters end in ``_total``. Label sets are fixed here; a tenant label goes through
`TenantLabels`, so that tenants cannot grow the series without end.
"""

from dataclasses import dataclass

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

OTHER = "other"


@dataclass(frozen=True, slots=True)
class CounterSpec:
    """A metric that only grows. The name ends in ``_total``."""

    name: str
    help: str
    labels: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class GaugeSpec:
    """A metric that is at a level."""

    name: str
    help: str
    labels: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class HistogramSpec:
    """A metric of a distribution, counted into `buckets` (upper bounds, in the unit of the name)."""

    name: str
    help: str
    labels: tuple[str, ...] = ()
    buckets: tuple[float, ...] = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


COUNTS = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0, 1024.0)

# chassis: every service has these
SERVER_SECONDS = HistogramSpec(
    "mizzen_chassis_server_seconds", "Time to answer an RPC, by method and status code.", ("method", "code")
)
SERVER_IN_FLIGHT = GaugeSpec("mizzen_chassis_server_in_flight", "RPCs being answered now.")
CHANNEL_SECONDS = HistogramSpec(
    "mizzen_chassis_channel_seconds", "Time of an RPC to another service.", ("upstream", "method", "code")
)
CHANNEL_IN_FLIGHT = GaugeSpec("mizzen_chassis_channel_in_flight", "RPCs to another service under way.", ("upstream",))
CHANNEL_CONNECTIONS = GaugeSpec(
    "mizzen_chassis_channel_connections", "Addresses of another service that are connected to.", ("upstream",)
)
CHANNEL_BREAKERS = GaugeSpec(
    "mizzen_chassis_channel_breakers",
    "Addresses of another service by the state of their breaker: closed, suspect or open.",
    ("upstream", "state"),
)
COALESCED_ITEMS = HistogramSpec(
    "mizzen_chassis_coalesced_items", "Items that travelled in one message.", ("name",), COUNTS
)
PUBLIC_CUT = CounterSpec(
    "mizzen_chassis_public_connections_cut_total",
    "Connections of clients to the public gRPC port that were ended: flood, slow_body, unread_answer, held or connections.",
    ("reason",),
)
BACKGROUND_RESTARTS = CounterSpec(
    "mizzen_chassis_background_restarts_total", "Background work that failed and was started again.", ("name",)
)
READY = GaugeSpec("mizzen_chassis_ready", "1 while this process takes work, else 0.")
BUILD = GaugeSpec("mizzen_chassis_build_info", "Always 1; the labels say what runs.", ("service", "version"))

# features
FEATURES_STORE_SECONDS = HistogramSpec(
    "mizzen_features_store_seconds", "Time of one question to the online store, by outcome.", ("outcome",)
)
FEATURES_STORE_KEYS = CounterSpec("mizzen_features_store_keys_total", "Row keys asked from the online store.")
FEATURES_ROWS_READ = CounterSpec(
    "mizzen_features_rows_read_total",
    "Rows read, by view and what was found: present, not_found, outside_max_age, other_layout or damaged.",
    ("view", "found"),
)
FEATURES_ROWS_WRITTEN = CounterSpec(
    "mizzen_features_rows_written_total", "Rows written, or left out as older than the stored one.", ("view", "outcome")
)
FEATURES_DEFINITIONS = GaugeSpec(
    "mizzen_features_definitions", "Feature views served, and definitions refused at the last load.", ("state",)
)

# retrieval
RETRIEVAL_STAGE_SECONDS = HistogramSpec(
    "mizzen_retrieval_stage_seconds", "Time of a stage of a search or an answer.", ("stage",)
)
RETRIEVAL_DEGRADED = CounterSpec(
    "mizzen_retrieval_degraded_total", "Answers given without a declared part, by verb.", ("verb",)
)
RETRIEVAL_ANSWERS = CounterSpec(
    "mizzen_retrieval_answers_total", "Questions, by whether the documents hold an answer.", ("result",)
)
RETRIEVAL_DOCUMENTS_UPSERTED = CounterSpec(
    "mizzen_retrieval_documents_upserted_total", "Documents that an upsert was acknowledged for."
)

# monitoring
MONITORING_RECORDS = CounterSpec(
    "mizzen_monitoring_records_total", "Records taken from the stream, by what became of them.", ("result",)
)
MONITORING_GAPS = CounterSpec(
    "mizzen_monitoring_gap_records_total", "Records that writers numbered and that never arrived."
)
MONITORING_LAG = GaugeSpec(
    "mizzen_monitoring_stream_lag_entries", "Stream entries waiting or unacknowledged.", ("state",)
)
MONITORING_LABELS = CounterSpec(
    "mizzen_monitoring_labels_total", "Late labels, by what became of them.", ("tenant", "result")
)
MONITORING_LABELS_WAITING = GaugeSpec("mizzen_monitoring_labels_waiting", "Labels that wait for their prediction.")
MONITORING_FAILURES = CounterSpec(
    "mizzen_monitoring_task_failures_total", "Background steps that failed and are tried again.", ("task",)
)
MONITORING_SET_ASIDE = GaugeSpec(
    "mizzen_monitoring_set_aside_files",
    "Damaged files: of the record log, set aside, and reference profiles.",
    ("kind",),
)
MONITORING_DRIFT = GaugeSpec(
    "mizzen_monitoring_drift_score",
    "Distance of the newest judged window from the reference (test: psi or ks).",
    ("tenant", "endpoint", "feature", "test"),
)
MONITORING_DRIFTED = GaugeSpec(
    "mizzen_monitoring_drifted_columns", "Columns with the verdict drift in the newest window.", ("tenant", "endpoint")
)
MONITORING_QUALITY = GaugeSpec(
    "mizzen_monitoring_quality", "Quality from late labels.", ("tenant", "endpoint", "output", "measure")
)
MONITORING_UNANSWERABLE = GaugeSpec(
    "mizzen_monitoring_unanswerable_ratio",
    "Share of questions that the documents don't answer.",
    ("tenant", "collection"),
)

# gateway
GATEWAY_REQUEST_SECONDS = HistogramSpec(
    "mizzen_gateway_request_seconds", "Time to answer a REST request, by path and status.", ("method", "path", "status")
)
GATEWAY_REQUESTS = CounterSpec("mizzen_gateway_requests_total", "Authenticated requests, by tenant.", ("tenant",))
GATEWAY_SHED = CounterSpec(
    "mizzen_gateway_shed_total",
    "Calls refused as OVERLOADED, by whose limit was reached (endpoint or process) and what they asked.",
    ("reason", "endpoint"),
)
GATEWAY_IN_FLIGHT = GaugeSpec("mizzen_gateway_in_flight", "Calls under way.")
GATEWAY_LIMIT = GaugeSpec(
    "mizzen_gateway_limit", "Calls that may be under way at once, as admission has learnt it.", ("endpoint",)
)
GATEWAY_LAG_SECONDS = HistogramSpec("mizzen_gateway_lag_seconds", "How late the event loop comes to what is due.")
GATEWAY_RECORDS = CounterSpec("mizzen_gateway_records_total", "Records appended to the stream.")
GATEWAY_RECORDS_DROPPED = CounterSpec(
    "mizzen_gateway_records_dropped_total", "Records that were not appended: queue_full or stream_full.", ("reason",)
)
GATEWAY_RECORD_QUEUE = GaugeSpec("mizzen_gateway_record_queue", "Records that wait for the stream.")
GATEWAY_SHADOWS_DROPPED = CounterSpec(
    "mizzen_gateway_shadows_dropped_total", "Shadow requests that found no room and were not sent."
)
GATEWAY_UNPROTECTED_WRITES = CounterSpec(
    "mizzen_gateway_unprotected_writes_total", "Writes done without their Idempotency-Key because its store was down."
)
GATEWAY_API_KEYS = GaugeSpec("mizzen_gateway_api_keys", "API keys that are taken now.")
GATEWAY_API_KEY_FAULTS = GaugeSpec(
    "mizzen_gateway_api_key_faults", "Lines of the API key file that are wrong now; a key on such a line is refused."
)
GATEWAY_API_KEYS_AGE = GaugeSpec(
    "mizzen_gateway_api_keys_age_seconds", "Time since the API key file was last read: it is read every second."
)
GATEWAY_DEFINITIONS_REFUSED = GaugeSpec(
    "mizzen_gateway_definitions_refused", "Definitions that are wrong now; what served before goes on serving."
)


class Level:
    """A gauge that one thread counts up and down, with a plain number instead of a lock: read when somebody scrapes."""

    __slots__ = ("now",)

    def __init__(self) -> None:
        self.now = 0


class Metrics:
    """The live metrics of one process, made when first asked for."""

    def __init__(self, registry: CollectorRegistry | None = None) -> None:
        self.registry = registry or CollectorRegistry()
        self._made: dict[str, Counter | Gauge | Histogram] = {}
        self._levels: dict[tuple[str, tuple[str, ...]], Level] = {}

    def counter(self, spec: CounterSpec) -> Counter:
        """The counter of `spec`; the same object each time."""
        made = self._made.get(spec.name)
        if not isinstance(made, Counter):
            made = self._made[spec.name] = Counter(spec.name, spec.help, spec.labels, registry=self.registry)
        return made

    def gauge(self, spec: GaugeSpec) -> Gauge:
        """The gauge of `spec`; the same object each time."""
        made = self._made.get(spec.name)
        if not isinstance(made, Gauge):
            made = self._made[spec.name] = Gauge(spec.name, spec.help, spec.labels, registry=self.registry)
        return made

    def level(self, spec: GaugeSpec, *labels: str) -> Level:
        """The level behind the gauge of `spec` (with `labels`); the same object each time."""
        level = self._levels.get((spec.name, labels))
        if level is None:
            gauge = self.gauge(spec).labels(*labels) if labels else self.gauge(spec)
            level = made = self._levels[spec.name, labels] = Level()
            gauge.set_function(lambda: made.now)
        return level

    def histogram(self, spec: HistogramSpec) -> Histogram:
        """The histogram of `spec`; the same object each time."""
        made = self._made.get(spec.name)
        if not isinstance(made, Histogram):
            made = Histogram(spec.name, spec.help, spec.labels, buckets=spec.buckets, registry=self.registry)
            self._made[spec.name] = made
        return made


class TenantLabels:
    """Which tenants metrics name."""

    def __init__(self, allowed: str) -> None:
        """allowed: comma-separated tenants (setting MIZZEN_TENANT_LABELS)."""
        self._allowed = frozenset(name.strip() for name in allowed.split(",") if name.strip())

    def label(self, tenant: str) -> str:
        """`tenant` when it is on the list, else "other"."""
        return tenant if tenant in self._allowed else OTHER
