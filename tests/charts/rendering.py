"""Renders the chart with Helm's own library, so that no binary is needed."""

import copy
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import helm_python
import yaml

ROOT = Path(__file__).resolve().parents[2]
CHART = ROOT / "charts/mizzen"
Object = dict[str, Any]
EVERYTHING = {
    "telemetry": {
        "otlpEndpoint": "http://collector:4317",
        "serviceMonitors": {"enabled": True},
        "rules": {"enabled": True},
        "dashboards": {"enabled": True},
    },
    "serviceDefaults": {"autoscaling": {"enabled": True}},
    "features": {"autoscaling": {"metric": "keda"}},
    "retrieval": {"autoscaling": {"metric": "inFlight"}, "llm": {"url": "http://llm:8000/v1", "secret": "llm"}},
    "networking": {
        "gatewayApi": {"enabled": True, "createGateway": True, "className": "any"},
        "ingress": {"enabled": True, "className": "any"},
        "tls": {"secret": "tls", "certManager": {"enabled": True, "issuer": "any"}},
    },
    "jobs": {
        "run": [
            {"name": "materialize", "args": ["materialize"], "schedule": "*/15 * * * *"},
            {"name": "ingest", "args": ["ingest"], "env": {"DEPTH": 3}},
        ]
    },
}


def merged(*layers: Object) -> Object:
    """Values over values, as several `-f`."""
    made: Object = {}
    for layer in layers:
        for key, value in layer.items():
            both = isinstance(value, dict) and isinstance(made.get(key), dict)
            made[key] = merged(made[key], value) if both else copy.deepcopy(value)
    return made


def preset(path: str) -> Object:
    """A values file, by its path in the repository."""
    return dict(yaml.safe_load((ROOT / path).read_text()))


GPU, PROD = preset("charts/mizzen/values-gpu.yaml"), preset("charts/mizzen/values-prod.yaml")
FLIGHTS = preset("examples/flights/helm.values")
PRESETS: dict[str, Object] = {
    "default": {},
    "kserve": {"inference": {"mode": "kserve"}},
    "gpu": GPU,
    "prod": PROD,
    "prod-gpu": merged(PROD, GPU),
    "flights": FLIGHTS,
    "everything": EVERYTHING,
    "air-gapped": {"image": {"registry": "registry.internal:5000", "pullSecrets": ["key"]}},
}


@cache
def chart() -> helm_python.Chart:
    return helm_python.Chart.load(str(CHART))


def render(values: Object, name: str = "mizzen", namespace: str = "ml") -> list[Object]:
    """Every object, hooks included."""
    rendered = chart().render(values, name=name, namespace=namespace)
    return [
        found
        for path, text in sorted(rendered.items())
        if path.endswith(".yaml")
        for found in yaml.safe_load_all(text)
        if found
    ]


@cache
def objects(name: str) -> tuple[Object, ...]:
    """What a preset renders; not to be changed."""
    return tuple(render(PRESETS[name]))


def of_kind(found: tuple[Object, ...] | list[Object], *kinds: str) -> list[Object]:
    return [each for each in found if each["kind"] in kinds]


def named(found: tuple[Object, ...] | list[Object], kind: str, name: str) -> Object:
    """The one object of this kind and name."""
    (only,) = [each for each in of_kind(found, kind) if each["metadata"]["name"] == name]
    return only


def pods(found: tuple[Object, ...] | list[Object]) -> Iterator[tuple[str, Object]]:
    """(name, pod template) of whatever makes pods; a ServingRuntime counts as one whose pod level is KServe's."""
    for each in found:
        name, spec = f"{each['kind']}/{each['metadata']['name']}", each.get("spec", {})
        if each["kind"] == "Pod":
            yield name, each
        elif each["kind"] in {"Deployment", "StatefulSet", "Job"}:
            yield name, spec["template"]
        elif each["kind"] == "CronJob":
            yield name, spec["jobTemplate"]["spec"]["template"]


def containers(pod: Object) -> list[Object]:
    return [*pod["spec"].get("initContainers", []), *pod["spec"]["containers"]]
