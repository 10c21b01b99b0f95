"""Step 9."""

from typing import Any

import yaml

from tests.e2e import client, install
from tests.e2e.settings import ROOT
from tests.e2e.world import CHART, RELEASE, StepFailed, World, until

TITLE = "Bad values, bad definitions"
PROVES = (
    "Bad values are refused with their path, bad definitions by the API server or with a condition in words; "
    "what served before goes on."
)
VALUES = {
    "gatway.replicas=2": "gatway",
    "gateway.replicas=two": "replicas",
    "image.tag=latest": "image",
    "image.pullPolicy=Sometimes": "pullPolicy",
    "gateway.service.type=Public": "type",
    "inference.mode=kubeflow": "mode",
    "serviceDefaults.autoscaling.metric=gpu": "metric",
    "valkey.mode=external": "valkey.external.",
    "postgresql.mode=none": "mode",
    "serviceDefaults.server=flask": "server",
    "networking.gatewayApi.grpcHost=mizzen.example.com": "grpcHost",
    "serviceDefaults.probes.readinessSeconds=0": "readinessSeconds",
}


def run(world: World) -> dict[str, Any]:
    address, key = install.address(world), install.key(world)
    rest = client.Rest(address, key)
    before = rest.predict()
    revision = world.helm("history", RELEASE, "--max", "1", "-o", "json")
    file = world.values_file("values", install.flights_values(world))
    for setting, path in VALUES.items():
        said = world.refused(
            "helm", "-n", world.namespace, "upgrade", RELEASE, str(CHART), "-f", file, "--set", setting
        )
        if path not in said:
            raise StepFailed(f"{setting}: refused without naming {path}: {said[-400:]}")
    if world.helm("history", RELEASE, "--max", "1", "-o", "json") != revision:
        raise StepFailed("a refused upgrade left a revision")
    refused = [at_admission(world, what, change) for what, change in ADMISSION.items()]
    words = with_a_condition(world)
    install.still_right(world, before)
    restarts = sum(
        each["restartCount"] for pod in world.items("pods") for each in pod["status"].get("containerStatuses", [])
    )
    return {
        "values_refused": len(VALUES),
        "definitions_refused_at_admission": len(refused),
        "definitions_with_condition": words,
        "prediction_unchanged": True,
        "restarts_so_far": restarts,
    }


def definition(name: str) -> dict[str, Any]:
    return dict(yaml.safe_load((ROOT / f"examples/flights/{name}.yaml").read_text()))


def _unknown_field(view: dict[str, Any]) -> None:
    view["spec"]["colour"] = "blue"


def _wrong_type(view: dict[str, Any]) -> None:
    view["spec"]["features"] = "all"


def _no_spec(view: dict[str, Any]) -> None:
    del view["spec"]


ADMISSION = {"a field that isn't known": _unknown_field, "a wrong type": _wrong_type, "no spec": _no_spec}


def at_admission(world: World, what: str, change: Any) -> str:
    """What the API server said; StepFailed when it took it."""
    view = definition("plane")
    change(view)
    said = world.refused(
        "kubectl", "-n", world.namespace, "apply", "--validate=strict", "-f", "-", stdin=yaml.safe_dump(view)
    )
    if not said:
        raise StepFailed(f"{what}: refused without a word")
    return said


def with_a_condition(world: World) -> dict[str, str]:
    """An Endpoint that asks a feature that isn't there: its condition, until the right one is applied again."""
    wrong = definition("endpoint")
    wrong["spec"]["model"]["tensors"][0]["features"][0] = "nowhere:nothing"
    world.kubectl("apply", "-f", "-", stdin=yaml.safe_dump(wrong))
    try:
        message = until("the wrong Endpoint has a condition", lambda: refusal(world), 60)
        client.Rest(install.address(world), install.key(world)).predict()
    finally:
        world.kubectl("apply", "-f", "-", stdin=yaml.safe_dump(definition("endpoint")))
    until("the right Endpoint is taken again", lambda: not refusal(world), 60)
    return {"Endpoint flight-delay": message}


def refusal(world: World) -> str:
    """Why the Endpoint isn't accepted, empty when it is."""
    status = world.get("endpoint.mizzen.dev", client.ENDPOINT).get("status", {})
    refused = (
        each for each in status.get("conditions", []) if each["type"] == "Accepted" and each["status"] == "False"
    )
    return next((each["message"] for each in refused), "")
