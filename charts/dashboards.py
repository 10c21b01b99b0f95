"""The dashboards as code. A panel names its metrics by the constants of each room's metrics.py: asked is what is measured."""

import json
from dataclasses import dataclass
from typing import Any

from grafana_foundation_sdk.builders import dashboard, prometheus, timeseries
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.dashboard import DataSourceRef
from rules import failures, shed

from chassis import metrics as chassis_metrics
from chassis.telemetry import metrics as telemetry
from control import metrics as control_metrics
from features import metrics as features_metrics
from gateway import metrics as gateway_metrics
from monitoring import metrics as monitoring_metrics
from retrieval import metrics as retrieval_metrics

NO_HARDWARE = "Only with a GPU: no data elsewhere."
_SOURCE = DataSourceRef(type_val="prometheus", uid="${datasource}")
_WHERE = 'namespace=~"$namespace"'


@dataclass(frozen=True, slots=True)
class Panel:
    """One graph: (legend, query) pairs in one unit. `note` of NO_HARDWARE exempts it from checks for data."""

    title: str
    unit: str
    queries: tuple[tuple[str, str], ...]
    note: str = ""


def quantile(spec: telemetry.HistogramSpec, by: str, where: str = "", q: float = 0.99) -> str:
    """A quantile of a histogram over five minutes."""
    chosen = f"{_WHERE},{where}" if where else _WHERE
    return f"histogram_quantile({q}, sum by (le, {by}) (rate({spec.name}_bucket{{{chosen}}}[5m])))"


def per_second(name: str, by: str, where: str = "") -> str:
    """A counter's rate over five minutes."""
    chosen = f"{_WHERE},{where}" if where else _WHERE
    return f"sum by ({by}) (rate({name}{{{chosen}}}[5m]))"


def gauge(spec: telemetry.GaugeSpec, by: str, how: str = "sum") -> str:
    """A gauge over the pods."""
    return f"{how} by ({by}) ({spec.name}{{{_WHERE}}})"


_GRPC = 'job="gateway"'
OVERVIEW: tuple[tuple[str, tuple[Panel, ...]], ...] = (
    (
        "Gateway",
        (
            Panel(
                "Requests",
                "reqps",
                (
                    ("REST {{status}}", per_second(f"{gateway_metrics.REQUEST_SECONDS.name}_count", "status")),
                    ("gRPC {{code}}", per_second(f"{chassis_metrics.SERVER_SECONDS.name}_count", "code", _GRPC)),
                ),
            ),
            Panel(
                "Latency, 99 of 100 are faster",
                "s",
                (
                    ("REST {{path}}", quantile(gateway_metrics.REQUEST_SECONDS, "path")),
                    ("gRPC {{method}}", quantile(chassis_metrics.SERVER_SECONDS, "method", _GRPC)),
                ),
            ),
            Panel(
                "Failures, share of requests", "percentunit", (("{{namespace}}", f"({failures('5m')}) or vector(0)"),)
            ),
            Panel(
                "Refused as overloaded, share of requests",
                "percentunit",
                (("{{namespace}}", f"({shed('5m')}) or vector(0)"),),
            ),
            Panel(
                "Under way, and how much may be",
                "short",
                (
                    ("under way", gauge(gateway_metrics.IN_FLIGHT, "namespace")),
                    ("{{endpoint}} may", gauge(gateway_metrics.LIMIT, "endpoint")),
                ),
                "A limit shows once something of that name was answered.",
            ),
            Panel(
                "Clients' connections cut at the public gRPC port",
                "short",
                (("{{reason}}", f"({per_second(chassis_metrics.PUBLIC_CUT.name, 'reason')}) or vector(0)"),),
            ),
            Panel(
                "Lag of the gateway's event loop, 99 of 100 are shorter",
                "s",
                (("{{pod}}", quantile(gateway_metrics.LAG_SECONDS, "pod")),),
            ),
            Panel(
                "Calls to other services, 99 of 100 are faster",
                "s",
                (("{{upstream}}", quantile(chassis_metrics.CHANNEL_SECONDS, "upstream")),),
            ),
        ),
    ),
    (
        "Services",
        (
            Panel("Ready pods", "short", (("{{job}}", gauge(chassis_metrics.READY, "job")),)),
            Panel("In flight", "short", (("{{job}}", gauge(chassis_metrics.SERVER_IN_FLIGHT, "job")),)),
            Panel(
                "Connections to upstreams",
                "short",
                (("{{upstream}}", gauge(chassis_metrics.CHANNEL_CONNECTIONS, "upstream")),),
            ),
            Panel("RPCs, 99 of 100 are faster", "s", (("{{job}}", quantile(chassis_metrics.SERVER_SECONDS, "job")),)),
        ),
    ),
    (
        "Features and retrieval",
        (
            Panel(
                "Online store, 99 of 100 are faster",
                "s",
                (("{{outcome}}", quantile(features_metrics.STORE_SECONDS, "outcome")),),
            ),
            Panel("Rows read", "rowsps", (("{{found}}", per_second(features_metrics.ROWS_READ.name, "found")),)),
            Panel(
                "Retrieval stages, 99 of 100 are faster",
                "s",
                (("{{stage}}", quantile(retrieval_metrics.STAGE_SECONDS, "stage")),),
            ),
            Panel(
                "Definitions of features",
                "short",
                (("{{state}}", gauge(features_metrics.DEFINITIONS, "state", "max")),),
            ),
        ),
    ),
    (
        "Inference",
        (
            Panel(
                "Inferences",
                "reqps",
                (
                    ("{{model}}", per_second("nv_inference_request_success", "model")),
                    ("{{model}} failed", per_second("nv_inference_request_failure", "model")),
                ),
            ),
            Panel(
                "Mean time in Triton's queue",
                "µs",
                (
                    (
                        "{{model}}",
                        " / ".join(
                            per_second(f"nv_inference_{each}", "model")
                            for each in ("queue_duration_us", "request_success")
                        ),
                    ),
                ),
            ),
            Panel("GPU use", "percentunit", (("{{gpu_uuid}}", f"nv_gpu_utilization{{{_WHERE}}}"),), NO_HARDWARE),
            Panel("GPU memory", "bytes", (("{{gpu_uuid}}", f"nv_gpu_memory_used_bytes{{{_WHERE}}}"),), NO_HARDWARE),
        ),
    ),
    (
        "Monitoring",
        (
            Panel("Records", "short", (("{{result}}", per_second(monitoring_metrics.RECORDS.name, "result")),)),
            Panel("Stream entries that wait", "short", (("{{state}}", gauge(monitoring_metrics.LAG, "state", "max")),)),
            Panel(
                "Records that wait in gateways",
                "short",
                (("waiting", gauge(gateway_metrics.RECORD_QUEUE, "namespace")),),
            ),
            Panel(
                "Labels that wait for their prediction",
                "short",
                (("waiting", gauge(monitoring_metrics.LABELS_WAITING, "namespace", "max")),),
            ),
        ),
    ),
    (
        "Control",
        (
            Panel(
                "Changes by admins",
                "short",
                (("{{action}}: {{outcome}}", per_second(control_metrics.CHANGES.name, "action, outcome")),),
            ),
            Panel(
                "Calls without the right",
                "short",
                (("{{reason}}", per_second(control_metrics.REFUSED.name, "reason")),),
            ),
            Panel("API keys in force", "short", (("keys", gauge(control_metrics.KEYS, "namespace", "max")),)),
            Panel(
                "Since control told its keys",
                "s",
                (("longest", gauge(gateway_metrics.CONTROL_KEYS_AGE, "namespace", "max")),),
            ),
        ),
    ),
)


def overview() -> str:
    """The overview as Grafana's JSON."""
    made = (
        dashboard.Dashboard("Mizzen: overview")
        .uid("mizzen-overview")
        .tags(["mizzen"])
        .refresh("30s")
        .time("now-1h", "now")
        .with_variable(dashboard.DatasourceVariable("datasource").type("prometheus"))
        .with_variable(
            dashboard.QueryVariable("namespace")
            .datasource(_SOURCE)
            .query(f"label_values({chassis_metrics.BUILD.name}, namespace)")
            .multi(True)
            .include_all(True)
        )
    )
    for title, panels in OVERVIEW:
        made = made.with_row(dashboard.Row(title))
        for panel in panels:
            made = made.with_panel(_graph(panel))
    return json.dumps(made.build(), cls=JSONEncoder, indent=1, sort_keys=True) + "\n"


def _graph(panel: Panel) -> Any:
    made = (
        timeseries.Panel()
        .title(panel.title)
        .description(panel.note)
        .unit(panel.unit)
        .datasource(_SOURCE)
        .span(6)
        .height(7)
    )
    for legend, query in panel.queries:
        made = made.with_target(prometheus.Dataquery().expr(query).legend_format(legend))
    return made


def all_dashboards() -> dict[str, str]:
    """File name → content."""
    return {"overview.json": overview()}
