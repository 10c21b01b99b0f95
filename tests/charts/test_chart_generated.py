"""What is generated is committed as generated; rules and dashboards ask only for what is measured."""

import importlib
import json
import re
import subprocess
import sys

import yaml

from catalog.kinds.table import OURS
from chassis.telemetry.metrics import CounterSpec, GaugeSpec, HistogramSpec
from tests.charts.rendering import CHART, ROOT, named, render

ROOMS = ("chassis", "gateway", "features", "retrieval", "monitoring", "control")
MEASURED = {
    value.name
    for room in ROOMS
    for value in vars(importlib.import_module(f"{room}.metrics")).values()
    if isinstance(value, CounterSpec | GaugeSpec | HistogramSpec)
}


def names(query: str) -> set[str]:
    """Our metric names in a query, without a histogram's endings."""
    found = re.findall(r"\bmizzen_[a-z0-9_]+", query)
    return {re.sub(r"_(bucket|count|sum)$", "", name) if name not in MEASURED else name for name in found}


def test_generated_files_are_as_generated() -> None:
    done = subprocess.run(
        [sys.executable, "charts/generate.py", "--check"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, f"run `python charts/generate.py`\n{done.stdout}{done.stderr}"


def test_dashboards_and_rules_ask_for_what_is_measured() -> None:
    asked: set[str] = set()
    for path in (CHART / "files/dashboards").glob("*.json"):
        text = json.dumps(json.loads(path.read_text()))
        asked |= names(text)
    rules = yaml.safe_load((CHART / "files/alerts/rules.yaml").read_text())
    for group in rules["groups"]:
        for rule in group["rules"]:
            asked |= names(rule["expr"])
    assert len(asked) > 15
    assert asked - MEASURED == set()


def test_every_alert_has_a_runbook() -> None:
    rules = yaml.safe_load((CHART / "files/alerts/rules.yaml").read_text())
    alerts = [rule for group in rules["groups"] for rule in group["rules"] if "alert" in rule]
    assert len(alerts) >= 5
    for alert in alerts:
        assert (ROOT / alert["annotations"]["runbook_url"]).is_file(), alert["alert"]
        assert alert["labels"]["severity"] in {"page", "ticket"}


def test_who_owns_a_kind_may_write_its_status_and_no_other_service_may() -> None:
    objects = render({})
    for room in ("gateway", "features", "retrieval"):
        rules = named(objects, "Role", f"mizzen-{room}-definitions")["rules"]
        writable = {name for rule in rules if "patch" in rule["verbs"] for name in rule["resources"]}
        assert writable == {f"{kind.plural}/status" for kind in OURS if kind.owner == room}
