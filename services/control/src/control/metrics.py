"""The metrics of control."""

from chassis.telemetry.metrics import CounterSpec, GaugeSpec

CHANGES = CounterSpec(
    "mizzen_control_changes_total", "Changes that admins asked for, by what became of them.", ("action", "outcome")
)
REFUSED = CounterSpec(
    "mizzen_control_refused_calls_total", "Calls of the admin API without the right to it.", ("reason",)
)
KEY_READS = CounterSpec(
    "mizzen_control_key_reads_total",
    "Times that a gateway asked for API keys: told, or unchanged since it asked.",
    ("result",),
)
KEYS = GaugeSpec("mizzen_control_api_keys", "API keys of the database that are not revoked.")
