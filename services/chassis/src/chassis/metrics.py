"""Metrics that every service has."""

from chassis.telemetry.metrics import COUNTS, CounterSpec, GaugeSpec, HistogramSpec

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
