"""Recording rules and alerts, made from the metric names that services measure by."""

from typing import Any

from chassis import metrics as chassis_metrics
from features import metrics as features_metrics
from gateway import metrics as gateway_metrics
from monitoring import metrics as monitoring_metrics

OBJECTIVE = 0.999
CUT_A_SECOND = 0.1  # one client that connects again at once after each cut for a body or an answer of 15 s stays below
FAILED_CODES = "INTERNAL|UNKNOWN|UNAVAILABLE|DATA_LOSS|DEADLINE_EXCEEDED"
WINDOWS = ("5m", "30m", "1h", "6h")
RUNBOOKS = "docs/runbooks/"
# (severity, times too fast, long window, short window, what it means for the month's budget)
BURNS = (
    ("page", 14.4, "1h", "5m", "2 % of the month's budget went in the last hour"),
    ("ticket", 6, "6h", "30m", "5 % of the month's budget went in the last six hours"),
)
_REST = f"{gateway_metrics.REQUEST_SECONDS.name}_count"
_GRPC = f"{chassis_metrics.SERVER_SECONDS.name}_count"
Rule = dict[str, Any]


def failures(window: str) -> str:
    """Share of requests at the gateway that failed; no number where none came."""
    rest = f'rate({_REST}{{status=~"5.."}}[{window}])'
    grpc = f'rate({_GRPC}{{job="gateway",code=~"{FAILED_CODES}",method!~"/?grpc[.].*"}}[{window}])'
    return f"sum by (namespace) ({rest} or {grpc}) / {requests(window)}"


def requests(window: str) -> str:
    """Requests a second at the gateway, over REST and gRPC."""
    every = f'rate({_REST}[{window}]) or rate({_GRPC}{{job="gateway",method!~"/?grpc[.].*"}}[{window}])'
    return f"sum by (namespace) ({every})"


def shed(window: str) -> str:
    """Share of requests that admission refused."""
    return f"sum by (namespace) (rate({gateway_metrics.SHED.name}[{window}])) / {requests(window)}"


def record(window: str) -> str:
    """Name of the recorded share."""
    return f"mizzen:gateway_failures:ratio_rate{window}"


def burn_alert(severity: str, factor: float, long: str, short: str, meaning: str) -> Rule:
    """Fires when the budget burns `factor` times too fast over both windows."""
    limit = round(factor * (1 - OBJECTIVE), 6)
    expression = " and ".join(f"{record(window)} > {limit}" for window in (long, short))
    return alert(
        f"MizzenErrorBudgetBurns{'Fast' if severity == 'page' else 'Slowly'}",
        expression,
        severity,
        f"{{{{ $value | humanizePercentage }}}} of requests in {{{{ $labels.namespace }}}} fail: {meaning}.",
        "error-budget.md",
    )


def alert(name: str, expression: str, severity: str, summary: str, runbook: str, wait: str = "") -> Rule:
    """One alerting rule; every one has a runbook."""
    return {
        "alert": name,
        "expr": expression,
        **({"for": wait} if wait else {}),
        "labels": {"severity": severity},
        "annotations": {"summary": summary, "runbook_url": f"{RUNBOOKS}{runbook}"},
    }


def rules() -> dict[str, Any]:
    """All groups, as Prometheus reads them."""
    dropped, refused = gateway_metrics.RECORDS_DROPPED.name, gateway_metrics.DEFINITIONS_REFUSED.name
    rows_read, set_aside = features_metrics.ROWS_READ.name, monitoring_metrics.SET_ASIDE.name
    return {
        "groups": [
            {
                "name": "mizzen-gateway-failures",
                "rules": [{"record": record(window), "expr": failures(window)} for window in WINDOWS],
            },
            {"name": "mizzen-gateway-burn", "rules": [burn_alert(*burn) for burn in BURNS]},
            {
                "name": "mizzen-state",
                "rules": [
                    alert(
                        "MizzenNotReady",
                        f"min by (namespace, job, pod) ({chassis_metrics.READY.name}) == 0",
                        "ticket",
                        "{{ $labels.job }} ({{ $labels.pod }}) takes no work for ten minutes.",
                        "not-ready.md",
                        "10m",
                    ),
                    alert(
                        "MizzenShedsLoad",
                        f"{shed('5m')} > 0.01",
                        "ticket",
                        "{{ $value | humanizePercentage }} of requests in {{ $labels.namespace }} are refused as OVERLOADED.",
                        "overloaded.md",
                        "10m",
                    ),
                    alert(
                        "MizzenConnectionsCut",
                        f"sum by (namespace, reason) (rate({chassis_metrics.PUBLIC_CUT.name}[5m])) > {CUT_A_SECOND}",
                        "ticket",
                        "{{ $value | humanize }} clients' connections a second are cut at the public gRPC port of "
                        "{{ $labels.namespace }} ({{ $labels.reason }}).",
                        "connections-cut.md",
                        "5m",
                    ),
                    alert(
                        "MizzenRecordsDropped",
                        f"sum by (namespace, reason) (rate({dropped}[10m])) > 0",
                        "ticket",
                        "Prediction records are dropped ({{ $labels.reason }}): reports of this time will have gaps.",
                        "records-dropped.md",
                        "5m",
                    ),
                    alert(
                        "MizzenFeatureRowsDamaged",
                        f'sum by (namespace, view) (increase({rows_read}{{found="damaged"}}[1h])) > 0',
                        "ticket",
                        "Stored rows of feature view {{ $labels.view }} are damaged: predictions use defaults or fail.",
                        "feature-rows-damaged.md",
                        "0m",
                    ),
                    alert(
                        "MizzenRecordFilesSetAside",
                        f"max by (namespace, kind) ({set_aside}) > 0",
                        "ticket",
                        "{{ $value }} files ({{ $labels.kind }}) can't be read: reports go on without them.",
                        "record-files-set-aside.md",
                        "0m",
                    ),
                    alert(
                        "MizzenDefinitionsRefused",
                        f"max by (namespace) ({refused}) > 0",
                        "ticket",
                        "{{ $value }} definitions are wrong; what served before goes on serving.",
                        "definitions-refused.md",
                        "5m",
                    ),
                    alert(
                        "MizzenApiKeyLineWrong",
                        f"max by (namespace) ({gateway_metrics.API_KEY_FAULTS.name}) > 0",
                        "ticket",
                        "{{ $value }} lines of the API key file are wrong; keys on such lines are refused.",
                        "api-keys.md",
                        "1m",
                    ),
                    alert(
                        "MizzenApiKeysUnreadable",
                        f"max by (namespace) ({gateway_metrics.API_KEYS_AGE.name}) > 30",
                        "page",
                        "A gateway cannot read its API key file since {{ $value | humanizeDuration }}: no key can be revoked, "
                        "and after five minutes all are refused.",
                        "api-keys.md",
                    ),
                    alert(
                        "MizzenControlKeysOld",
                        f"max by (namespace) ({gateway_metrics.CONTROL_KEYS_AGE.name}) > 60",
                        "ticket",
                        "A gateway heard nothing of control for {{ $value | humanizeDuration }}: keys that it knows go on, and "
                        "no change of control's keys counts.",
                        "api-keys.md",
                    ),
                ],
            },
        ]
    }
