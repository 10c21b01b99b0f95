"""Step 4."""

import json
import re
from typing import Any
from urllib.parse import quote

from tests.e2e import install
from tests.e2e.load import Load, pause
from tests.e2e.settings import ROOT
from tests.e2e.world import StepFailed, World, until

TITLE = "Prometheus"
PROVES = (
    "A real Prometheus scrapes every service and predictor and loads every rule without error; "
    "every query of every dashboard has data."
)
JOBS = {"gateway", "features", "retrieval", "monitoring", "control", "inference"}
WITHOUT_HARDWARE = "Only with a GPU"
LOAD_S = 40


def run(world: World) -> dict[str, Any]:
    targets = until("all pods are scraped", lambda: scraped(world), 180, 3)
    with Load(install.address(world), install.key(world), 20):
        pause(LOAD_S)
    rules = until("all rules were evaluated", lambda: evaluated(world), 120, 3)
    asked, exempt = queries(world)
    empty = [title for title, query in asked if not answered(world, query)]
    if empty:
        raise StepFailed(f"without data: {empty}")
    cost = cpu_ms_per_call(world)
    return {
        "cpu_ms_per_call": cost,
        "targets_up": targets,
        "rules": rules,
        "queries_with_data": len(asked),
        "panels_exempt_without_gpu": exempt,
    }


def scraped(world: World) -> dict[str, int] | None:
    """Targets up by job, when each job has as many as it has pods."""
    found: dict[str, int] = {}
    for target in world.prometheus("targets?state=active")["activeTargets"]:
        labels = target["labels"]
        if labels.get("namespace") == world.namespace and target["health"] == "up":
            found[labels["job"]] = found.get(labels["job"], 0) + 1
    expected = {job: len(world.pods(job)) for job in JOBS}
    return found if all(found.get(job) == count and count for job, count in expected.items()) else None


def evaluated(world: World) -> dict[str, int] | None:
    """Counts of rules of our namespace, when all were evaluated; StepFailed on an evaluation's error."""
    ours = [group for group in world.prometheus("rules")["groups"] if world.namespace in group["file"]]
    rules = [rule for group in ours for rule in group["rules"]]
    broken = [f"{rule['name']}: {rule['lastError']}" for rule in rules if rule.get("lastError")]
    if broken:
        raise StepFailed("; ".join(broken))
    if not rules or any(rule["health"] != "ok" for rule in rules):
        return None
    alerting = sum(rule["type"] == "alerting" for rule in rules)
    return {"alerting": alerting, "recording": len(rules) - alerting}


def queries(world: World) -> tuple[list[tuple[str, str]], int]:
    """(panel, query) of every installed dashboard with its variables filled in, and how many panels need a GPU."""
    asked, exempt = [], 0
    for found in world.items("configmaps", "-l", "grafana_dashboard=1"):
        for text in found["data"].values():
            for panel in flat(json.loads(text)["panels"]):
                if WITHOUT_HARDWARE in panel.get("description", ""):
                    exempt += 1
                    continue
                asked += [(panel["title"], filled(world, target["expr"])) for target in panel.get("targets", [])]
    if not asked:
        raise StepFailed(f"no dashboard is installed from {ROOT / 'charts'}")
    return asked, exempt


def flat(panels: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [each for panel in panels for each in (panel, *flat(panel.get("panels", [])))]


def filled(world: World, query: str) -> str:
    known = {"namespace": world.namespace, "__rate_interval": "5m", "__interval": "15s", "__range": "1h"}
    return re.sub(r"\$\{?(\w+)\}?", lambda found: known[found[1]], query)


def answered(world: World, query: str) -> bool:
    return bool(world.prometheus(f"query?query={quote(query)}")["result"])


def cpu_ms_per_call(world: World) -> dict[str, float]:
    """CPU of each service over the public calls of the same time (half predictions, half searches), for docs/scaling.md."""
    of = f'namespace="{world.namespace}"'
    rest = f"sum(increase(mizzen_gateway_request_seconds_count{{{of}}}[1m]))"
    grpc = f'sum(increase(mizzen_chassis_server_seconds_count{{{of},job="gateway",method!~"/?grpc[.].*"}}[1m]))'
    used = {
        job: f'sum(increase(process_cpu_seconds_total{{{of},job="{job}"}}[1m]))' for job in sorted(JOBS - {"inference"})
    }
    used["inference"] = f"sum(increase(nv_inference_compute_infer_duration_us{{{of}}}[1m])) / 1e6"
    made = {}
    for job, query in used.items():
        found = world.prometheus(f"query?query={quote(f'1000 * ({query}) / ({rest} + {grpc})')}")["result"]
        if found:
            made[job] = round(float(found[0]["value"][1]), 2)
    return made
