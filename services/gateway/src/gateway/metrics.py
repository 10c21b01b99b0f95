"""The metrics of the gateway."""

from chassis.telemetry.metrics import CounterSpec, GaugeSpec, HistogramSpec

REQUEST_SECONDS = HistogramSpec(
    "mizzen_gateway_request_seconds", "Time to answer a REST request, by path and status.", ("method", "path", "status")
)
REQUESTS = CounterSpec("mizzen_gateway_requests_total", "Authenticated requests, by tenant.", ("tenant",))
SHED = CounterSpec(
    "mizzen_gateway_shed_total",
    "Calls refused as OVERLOADED, by whose limit was reached (endpoint or process) and what they asked.",
    ("reason", "endpoint"),
)
IN_FLIGHT = GaugeSpec("mizzen_gateway_in_flight", "Calls under way.")
LIMIT = GaugeSpec(
    "mizzen_gateway_limit", "Calls that may be under way at once, as admission has learnt it.", ("endpoint",)
)
LAG_SECONDS = HistogramSpec("mizzen_gateway_lag_seconds", "How late the event loop comes to what is due.")
RECORDS = CounterSpec("mizzen_gateway_records_total", "Records appended to the stream.")
RECORDS_DROPPED = CounterSpec(
    "mizzen_gateway_records_dropped_total", "Records that were not appended: queue_full or stream_full.", ("reason",)
)
RECORD_QUEUE = GaugeSpec("mizzen_gateway_record_queue", "Records that wait for the stream.")
SHADOWS_DROPPED = CounterSpec(
    "mizzen_gateway_shadows_dropped_total", "Shadow requests that found no room and were not sent."
)
UNPROTECTED_WRITES = CounterSpec(
    "mizzen_gateway_unprotected_writes_total", "Writes done without their Idempotency-Key because its store was down."
)
API_KEYS = GaugeSpec("mizzen_gateway_api_keys", "API keys that are taken now.")
API_KEY_FAULTS = GaugeSpec(
    "mizzen_gateway_api_key_faults", "Lines of the API key file that are wrong now; a key on such a line is refused."
)
API_KEYS_AGE = GaugeSpec(
    "mizzen_gateway_api_keys_age_seconds", "Time since the API key file was last read: it is read every second."
)
CONTROL_KEYS = GaugeSpec(
    "mizzen_gateway_control_keys", "API keys that control told, and that are taken beside the key file's."
)
CONTROL_KEYS_AGE = GaugeSpec(
    "mizzen_gateway_control_keys_age_seconds",
    "Time since control last told its API keys, or since the start: it is asked every second.",
)
DEFINITIONS_REFUSED = GaugeSpec(
    "mizzen_gateway_definitions_refused", "Definitions that are wrong now; what served before goes on serving."
)
