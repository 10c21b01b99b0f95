"""Metrics on prometheus-client. Tenants outside the allow-list count together; drift gauges are bounded per endpoint."""

from chassis.telemetry import metrics as telemetry
from chassis.telemetry.metrics import Metrics as Registry
from chassis.telemetry.metrics import TenantLabels
from monitoring import metrics as declared
from monitoring.domain.model import Appended, Quality, Report, Verdict, WindowReport

_FEATURES = 64
_MEASURES = ("roc_auc", "ece", "brier", "base_rate", "coverage", "mae", "rmse")


class PrometheusMetrics:
    """See the port."""

    def __init__(self, registry: Registry, tenants: TenantLabels) -> None:
        self._tenants = tenants
        self._records = registry.counter(declared.RECORDS)
        self._gaps = registry.counter(declared.GAPS)
        self._lag = registry.gauge(declared.LAG)
        self._labels = registry.counter(declared.LABELS)
        self._waiting = registry.gauge(declared.LABELS_WAITING)
        self._failures = registry.counter(declared.FAILURES)
        self._drift = registry.gauge(declared.DRIFT)
        self._drifted = registry.gauge(declared.DRIFTED)
        self._quality = registry.gauge(declared.QUALITY)
        self._unanswerable = registry.gauge(declared.UNANSWERABLE)
        self._set_aside = registry.gauge(declared.SET_ASIDE)
        for result in ("stored", "rejected", "duplicate"):
            self._records.labels(result)

    def consumed(self, appended: Appended) -> None:
        self._records.labels("stored").inc(appended.records)
        self._records.labels("rejected").inc(appended.rejected)
        self._records.labels("duplicate").inc(appended.duplicates)

    def gap(self, records: int) -> None:
        self._gaps.inc(records)

    def lag(self, waiting: int, pending: int) -> None:
        self._lag.labels("waiting").set(waiting)
        self._lag.labels("pending").set(pending)

    def labels(self, tenant: str, stored: int, older: int, refused: int) -> None:
        name = self._tenants.label(tenant)
        for result, count in (("stored", stored), ("older", older), ("refused", refused)):
            self._labels.labels(name, result).inc(count)

    def matched(self, joined: int, waiting: int) -> None:
        self._labels.labels(telemetry.OTHER, "joined").inc(joined)
        self._waiting.set(waiting)

    def purged(self, labels: int) -> None:
        self._labels.labels(telemetry.OTHER, "purged").inc(labels)

    def failed(self, task: str) -> None:
        self._failures.labels(task).inc()

    def set_aside(self, record_files: int, profiles: int) -> None:
        self._set_aside.labels("records").set(record_files)
        self._set_aside.labels("profile").set(profiles)

    def report(self, report: Report) -> None:
        tenant = self._tenants.label(report.tenant)
        if tenant == telemetry.OTHER or not report.windows:
            return  # several tenants would overwrite each other
        judged = [w for w in report.windows if w.verdict in (Verdict.DRIFT, Verdict.STABLE)]
        if judged:
            self._set_drift(tenant, report.endpoint, judged[-1])
        if report.quality is not None:
            self._set_quality(tenant, report.endpoint, report.label_output or "", report.quality)
        if report.retrieval is not None and report.retrieval.asks:
            share = report.retrieval.unanswerable / report.retrieval.asks
            self._unanswerable.labels(tenant, report.endpoint).set(share)

    def _set_drift(self, tenant: str, endpoint: str, window: WindowReport) -> None:
        named = [*window.features.items(), *((f"output:{name}", drift) for name, drift in window.outputs.items())]
        self._drifted.labels(tenant, endpoint).set(sum(drift.verdict is Verdict.DRIFT for _, drift in named))
        for name, drift in named[:_FEATURES]:
            if drift.score.psi is not None:
                self._drift.labels(tenant, endpoint, name, "psi").set(drift.score.psi)
            if drift.score.ks is not None:
                self._drift.labels(tenant, endpoint, name, "ks").set(drift.score.ks)

    def _set_quality(self, tenant: str, endpoint: str, output: str, quality: Quality) -> None:
        for measure in _MEASURES:
            value = getattr(quality, measure)
            if value is not None:
                self._quality.labels(tenant, endpoint, output, measure).set(value)
