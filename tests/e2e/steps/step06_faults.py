"""Step 6."""

import time
from typing import Any

from tests.e2e import install
from tests.e2e.load import Load, pause
from tests.e2e.world import Object, StepFailed, World, is_ready, until

TITLE = "Drain and killed pods under load"
PROVES = (
    "A node is drained through the PodDisruptionBudgets without a lost call; each pod killed at once (grace 0) in turn loses at "
    "most what it held, and stores that are away leave predictions answered, marked as degraded (R1, R3, R4)."
)
SERVICES = ("gateway", "features", "retrieval", "monitoring", "inference")
STORES = ("valkey", "postgresql")
# Calls that a killed pod may take along: what it held in flight, of thousands.
MOST_LOST_SHARE = 0.002


def run(world: World) -> dict[str, Any]:
    address, key, rate = install.address(world), install.key(world), world.settings.rate
    figures: dict[str, Any] = {}
    node = without_stores(world)
    if node:
        with Load(address, key, rate) as load:
            pause(3)
            began = time.monotonic()
            try:
                drain(world, node)
                drained_s = time.monotonic() - began
                pause(3)
            finally:
                world.command("kubectl", "uncordon", node)
        figures["drain"] = {"drained_s": round(drained_s, 1), **load.seen.figures()}
        until("all are ready again", lambda: all_ready(world), 240)
    for component in SERVICES:
        figures[f"{component}_killed"] = killed(world, component, address, key)
    for store in STORES:
        figures[f"{store}_killed"] = killed(world, store, address, key)
    judge(figures)
    return figures


def without_stores(world: World) -> str:
    """A node whose drain takes no store along: their volumes can't follow. Empty when there is none."""
    held = {pod["spec"]["nodeName"] for store in STORES for pod in world.pods(store)}
    nodes = {pod["spec"]["nodeName"] for pod in world.pods("gateway")}
    return next(iter(sorted(nodes - held)), "")


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
    """Every pod of a component, one after another, each killed at once when all are ready."""
    pods = [pod["metadata"]["name"] for pod in world.pods(component)]
    away = []
    with Load(address, key, world.settings.rate) as load:
        pause(2)
        for name in pods:
            began = time.monotonic()
            world.kubectl("delete", "pod", name, "--grace-period=0", "--force")
            until(f"another {component} is ready", lambda: replaced(world, component, len(pods), name), 240, 0.5)  # noqa: B023
            away.append(round(time.monotonic() - began, 1))
        pause(5)
    return {"pods": len(pods), "ready_again_s": away, **load.seen.figures()}


def replaced(world: World, component: str, count: int, gone: str) -> bool:
    found: list[Object] = world.items("pods", "-l", f"app.kubernetes.io/component={component}")
    ready = [pod for pod in found if is_ready(pod)]
    uids = {pod["metadata"]["name"] for pod in ready}
    # A StatefulSet's next pod has the same name, and is another one once it is ready again.
    return len(ready) >= count and (gone not in uids or component in STORES)


def judge(figures: dict[str, Any]) -> None:
    """StepFailed when more was lost than promised."""
    if figures.get("drain", {}).get("failed"):
        raise StepFailed(f"the drain lost calls: {figures['drain']}")
    for component in SERVICES:
        seen = figures[f"{component}_killed"]
        if seen["failed"] > max(4, seen["calls"] * MOST_LOST_SHARE):
            raise StepFailed(f"{component} killed: {seen}")
    predictions = figures["valkey_killed"]["failed_by_kind"]
    if any("predict" in kind for kind in predictions):
        raise StepFailed(f"predictions failed without Valkey: {figures['valkey_killed']}")
    if any("predict" in kind for kind in figures["postgresql_killed"]["failed_by_kind"]):
        raise StepFailed(f"predictions failed without PostgreSQL: {figures['postgresql_killed']}")
