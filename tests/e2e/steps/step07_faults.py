"""Step 7."""

import signal
import time
from collections.abc import Iterable
from typing import Any

from tests.e2e import faults, install
from tests.e2e.load import Load, pause
from tests.e2e.world import Object, StepFailed, World, is_ready, until

TITLE = "Drain and killed pods under load"
PROVES = (
    "A node is drained through the PodDisruptionBudgets without a lost call (R1). Each pod killed by SIGKILL in turn loses no "
    "call, the gateway's only what reached a dead pod until Kubernetes took it out (R3). Stores killed, or stopped for ten "
    "seconds, lose no prediction: answers are marked as degraded (R4, R5)."
)
BEHIND = ("features", "retrieval", "monitoring", "inference")
SERVICES = ("gateway", *BEHIND)
STORES = ("valkey", "postgresql")
STALL_S = 10
# A kubelet sees an ended container within a second and its API server, route and proxies hear of it soon after.
NOTICED_S = 5


def run(world: World) -> dict[str, Any]:
    address, key, rate = install.address(world), install.key(world), world.settings.rate
    figures: dict[str, Any] = {}
    figures["drain"] = drained(world, to_drain(world), address, key, rate)
    until("all are ready again", lambda: all_ready(world), 240)
    with faults.senders(world):
        for component in (*SERVICES, *STORES):
            figures[f"{component}_killed"] = killed(world, component, address, key)
        for store in STORES:
            figures[f"{store}_stopped"] = stopped(world, store, address, key)
    judge(figures, rate)
    return figures


def to_drain(world: World) -> str:
    """A node with pods of ours, one without stores if there is: their volumes can't follow, so they stay where they are."""
    if len(nodes_of(world, SERVICES)) < 2:
        # An earlier drain left all pods on one node.
        world.kubectl("rollout", "restart", "deployments")
        for each in world.items("deployments"):
            world.kubectl("rollout", "status", f"deployment/{each['metadata']['name']}", "--timeout=240s")
    nodes = nodes_of(world, SERVICES)
    if len(nodes) < 2:
        raise StepFailed(f"all pods are on {sorted(nodes)}: a drain proves nothing")
    return min(nodes - nodes_of(world, STORES) or nodes)


def nodes_of(world: World, components: Iterable[str]) -> set[str]:
    return {pod["spec"]["nodeName"] for component in components for pod in world.pods(component)}


def drained(world: World, node: str, address: str, key: str, rate: int) -> dict[str, Any]:
    with Load(address, key, rate) as load:
        pause(3)
        began = time.monotonic()
        try:
            drain(world, node)
            drained_s = time.monotonic() - began
            pause(3)
        finally:
            world.command("kubectl", "uncordon", node)
    return {"drained_s": round(drained_s, 1), **load.seen.figures()}


def drain(world: World, node: str) -> None:
    """Of our pods alone: a cluster's own add-ons may be single, and aren't what is tried."""
    world.command("kubectl", "cordon", node)
    selector = f"--pod-selector=app.kubernetes.io/instance=mizzen,app.kubernetes.io/component in ({','.join(SERVICES)})"
    words = ("--ignore-daemonsets", "--delete-emptydir-data", "--timeout=300s")
    world.command("kubectl", "drain", node, selector, *words, timeout_s=330)


def all_ready(world: World) -> bool:
    wanted = dict.fromkeys(SERVICES, 2) | {"inference": 4} | dict.fromkeys(STORES, 1)
    return all(len(world.pods(name)) >= count for name, count in wanted.items())


def killed(world: World, component: str, address: str, key: str) -> dict[str, Any]:
    """Every pod of a component, one after another, each killed when all are ready; its kubelet starts it again."""
    pods = world.pods(component)
    away = []
    with Load(address, key, world.settings.rate) as load:
        pause(2)
        for pod in pods:
            name = pod["metadata"]["name"]
            load.mark(name)
            began = time.monotonic()
            faults.send(world, pod, signal.SIGKILL)
            until(f"{name} is ready again", lambda: started_again(world, pod), 240, 0.5)  # noqa: B023
            away.append(round(time.monotonic() - began, 1))
        pause(5)
    return {"pods": len(pods), "ready_again_s": away, **load.seen.figures()}


def started_again(world: World, before: Object) -> bool:
    """Ready, after one restart more."""
    now: Object = world.get("pod", before["metadata"]["name"])
    return is_ready(now) and restarts(now) > restarts(before)


def restarts(pod: Object) -> int:
    return sum(each["restartCount"] for each in pod["status"]["containerStatuses"])


def stopped(world: World, store: str, address: str, key: str) -> dict[str, Any]:
    """A store that hangs: connections stand and nothing is answered."""
    pod = world.pods(store)[0]
    with Load(address, key, world.settings.rate) as load:
        pause(2)
        load.mark("stopped")
        faults.send(world, pod, signal.SIGSTOP)
        try:
            pause(STALL_S)
        finally:
            faults.send(world, pod, signal.SIGCONT)
        load.mark("going on")
        pause(1)
        load.mark("a second later")
        pause(5)
    return load.seen.figures()


def judge(figures: dict[str, Any], rate: int) -> None:
    """StepFailed when more was lost than promised."""
    for name in ("drain", *(f"{component}_killed" for component in BEHIND)):
        if figures.get(name, {}).get("failed"):
            raise StepFailed(f"{name}: calls were lost: {figures[name]}")
    gateway = figures["gateway_killed"]
    if gateway["failed"] > NOTICED_S * rate:
        raise StepFailed(f"gateway killed: {gateway}")
    for name in (f"{store}_{what}" for store in STORES for what in ("killed", "stopped")):
        seen = figures[name]
        if any("predict" in kind for kind in seen["failed_by_kind"]):
            raise StepFailed(f"{name}: predictions were lost: {seen}")
        if seen.get("lost_during", {}).get("a second later"):
            raise StepFailed(f"{name}: calls were lost long after: {seen}")
