"""The metrics of features."""

from chassis.telemetry.metrics import CounterSpec, GaugeSpec, HistogramSpec

STORE_SECONDS = HistogramSpec(
    "mizzen_features_store_seconds", "Time of one question to the online store, by outcome.", ("outcome",)
)
STORE_KEYS = CounterSpec("mizzen_features_store_keys_total", "Row keys asked from the online store.")
ROWS_READ = CounterSpec(
    "mizzen_features_rows_read_total",
    "Rows read, by view and what was found: present, not_found, outside_max_age, other_layout or damaged.",
    ("view", "found"),
)
ROWS_WRITTEN = CounterSpec(
    "mizzen_features_rows_written_total", "Rows written, or left out as older than the stored one.", ("view", "outcome")
)
DEFINITIONS = GaugeSpec(
    "mizzen_features_definitions", "Feature views served, and definitions refused at the last load.", ("state",)
)
