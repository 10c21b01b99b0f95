"""The metrics of monitoring."""

from chassis.telemetry.metrics import CounterSpec, GaugeSpec

RECORDS = CounterSpec(
    "mizzen_monitoring_records_total", "Records taken from the stream, by what became of them.", ("result",)
)
GAPS = CounterSpec("mizzen_monitoring_gap_records_total", "Records that writers numbered and that never arrived.")
LAG = GaugeSpec("mizzen_monitoring_stream_lag_entries", "Stream entries waiting or unacknowledged.", ("state",))
LABELS = CounterSpec("mizzen_monitoring_labels_total", "Late labels, by what became of them.", ("tenant", "result"))
LABELS_WAITING = GaugeSpec("mizzen_monitoring_labels_waiting", "Labels that wait for their prediction.")
FAILURES = CounterSpec(
    "mizzen_monitoring_task_failures_total", "Background steps that failed and are tried again.", ("task",)
)
SET_ASIDE = GaugeSpec(
    "mizzen_monitoring_set_aside_files",
    "Damaged files: of the record log, set aside, and reference profiles.",
    ("kind",),
)
DRIFT = GaugeSpec(
    "mizzen_monitoring_drift_score",
    "Distance of the newest judged window from the reference (test: psi or ks).",
    ("tenant", "endpoint", "feature", "test"),
)
DRIFTED = GaugeSpec(
    "mizzen_monitoring_drifted_columns", "Columns with the verdict drift in the newest window.", ("tenant", "endpoint")
)
QUALITY = GaugeSpec(
    "mizzen_monitoring_quality", "Quality from late labels.", ("tenant", "endpoint", "output", "measure")
)
UNANSWERABLE = GaugeSpec(
    "mizzen_monitoring_unanswerable_ratio",
    "Share of questions that the documents don't answer.",
    ("tenant", "collection"),
)
