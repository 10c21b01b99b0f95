"""Step 8."""

import json
import time
from typing import Any
from urllib.parse import quote

from tests.e2e import install
from tests.e2e.load import Load, pause
from tests.e2e.world import StepFailed, World, until

TITLE = "Autoscaling"
PROVES = (
    "The HorizontalPodAutoscaler takes the gateway out under load and back; "
    "each new pod soon serves at least half its fair share."
)
MOST, FEWEST = 4, 2
SETTLE_S = 30
FEW_A_SECOND = 2
# Set low so that a laptop's load shows it; production values are 70 % of a whole core.
SCALING = {
    "enabled": True,
    "minReplicas": FEWEST,
    "maxReplicas": MOST,
    "cpuPercent": 20,
    "scaleDownSeconds": 15,
}


def run(world: World) -> dict[str, Any]:
    address, key = install.address(world), install.key(world)
    values = install.merged(install.flights_values(world), {"gateway": {"autoscaling": SCALING}})
    with Load(address, key, FEW_A_SECOND) as switching:
        hand_over(world)
        world.upgrade(values)
        fewest = len(world.pods("gateway"))
    until(
        "metrics are there",
        lambda: "cpu" in str(world.get("hpa", "mizzen-gateway")["status"].get("currentMetrics", "")),
        180,
        3,
    )
    began = time.monotonic()
    with Load(address, key, world.settings.rate * 2) as load:
        until("scaled out", lambda: len(world.pods("gateway")) >= MOST, 240, 2)
        out_s = time.monotonic() - began
        pods = [pod["metadata"]["name"] for pod in world.pods("gateway")]
        pause(SETTLE_S)
        shares = share_of_fair(world, pods)
    began = time.monotonic()
    with Load(address, key, FEW_A_SECOND) as little:
        until("scaled back", lambda: len(world.pods("gateway")) == FEWEST, 420, 3)
        back_s = time.monotonic() - began
        pause(5)
    figures = {
        "out_s": round(out_s, 1),
        "back_s": round(back_s, 1),
        "pods_at_most": MOST,
        "share_of_fair_share": shares,
        **load.seen.figures(),
        "while_switched_on": switching.seen.figures(),
        "while_scaling_back": little.seen.figures(),
    }
    world.upgrade(install.flights_values(world))
    if (
        min(shares.values()) < 0.5
        or fewest < FEWEST
        or figures["failed"]
        or little.seen.failed
        or switching.seen.failed
    ):
        raise StepFailed(str(figures))
    return figures


def hand_over(world: World) -> None:
    """As docs/upgrade.md says: Helm lets go of `replicas`, which falls to one unless it is somebody's besides."""
    name = "mizzen-gateway"
    replicas = world.get("deployment", name)["spec"]["replicas"]
    given = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name},
        "spec": {"replicas": replicas},
    }
    world.kubectl("apply", "--server-side", "--field-manager=autoscaling", "-f", "-", stdin=json.dumps(given))


def share_of_fair(world: World, pods: list[str]) -> dict[str, float]:
    """Each pod's requests over the last seconds, REST and gRPC, over the mean of all."""
    window = f"[{SETTLE_S - 10}s]"
    of = f'{{namespace="{world.namespace}",job="gateway"}}'
    ours = of.replace("}", ',method!~"/?grpc[.].*"}')
    rest = f"sum by (pod) (rate(mizzen_gateway_request_seconds_count{of}{window}))"
    grpc = f"sum by (pod) (rate(mizzen_chassis_server_seconds_count{ours}{window}))"
    rate = f"({rest} + {grpc}) or {rest} or {grpc}"
    found = world.prometheus(f"query?query={quote(rate)}")["result"]
    rates = {each["metric"]["pod"]: float(each["value"][1]) for each in found}
    mean = sum(rates.get(pod, 0.0) for pod in pods) / len(pods)
    return {pod.rsplit("-", 1)[-1]: round(rates.get(pod, 0.0) / mean, 2) if mean else 0.0 for pod in pods}
