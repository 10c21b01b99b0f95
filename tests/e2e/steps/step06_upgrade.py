"""Step 6."""

import json
import time
from typing import Any

from tests.e2e import install
from tests.e2e.load import Load, pause
from tests.e2e.world import RELEASE, StepFailed, World, until

TITLE = "Upgrade and rollback under load"
PROVES = (
    "A rolling upgrade of every service and predictor to other images, one after another, "
    "and the rollback, under mixed REST and gRPC load, lose no call."
)
BEFORE_S = 15
# Each component goes there and back, two revisions. Helm forgets those beyond its own limit of ten.
HISTORY = ("--history-max", "40")
ORDER = ("inference", "features", "retrieval", "monitoring", "control", "gateway")


def run(world: World) -> dict[str, Any]:
    address, key, settings = install.address(world), install.key(world), world.settings
    with Load(address, key, settings.rate) as quiet:
        pause(BEFORE_S)
    old = images(world)
    with Load(address, key, settings.rate) as load:
        began = time.monotonic()
        revisions = upgrade(world, load)
        upgrade_s = time.monotonic() - began
        until("every pod has the next version", lambda: all(install.NEXT in each for each in images(world)), 60)
        upgraded_at = load.seen.total()
        began = time.monotonic()
        for component, before in reversed(list(zip(ORDER, revisions, strict=True))):
            load.mark(f"{component} back")
            world.helm("rollback", RELEASE, str(before), *HISTORY, "--wait", "--timeout", "10m")
        rollback_s = time.monotonic() - began
        until("every pod has the old version", lambda: images(world) == old, 60)
        load.mark("nothing")
        load.at_least(settings.calls)
    figures = load.seen.figures()
    figures |= {
        "calls_until_upgraded": upgraded_at,
        "upgrade_s": round(upgrade_s, 1),
        "rollback_s": round(rollback_s, 1),
        "p99_ms_before": quiet.seen.figures()["p99_ms"],
    }
    if figures["failed"] or figures["calls"] < settings.calls:
        raise StepFailed(f"{figures}")
    return figures


def upgrade(world: World, load: Load) -> list[int]:
    """One component after another, callees before callers; answers the revision before each."""
    values, revisions = install.flights_values(world), []
    for component in ORDER:
        load.mark(component)
        revisions.append(int(json.loads(world.helm("history", RELEASE, "--max", "1", "-o", "json"))[0]["revision"]))
        values = install.merged(values, install.tagged(component, install.NEXT))
        world.upgrade(values, *HISTORY)
    return revisions


def images(world: World) -> set[str]:
    """Images of our running services and predictors."""
    found = world.items(
        "pods", "-l", "app.kubernetes.io/component in (gateway,features,retrieval,monitoring,control,inference)"
    )
    return {pod["spec"]["containers"][0]["image"] for pod in found if pod["status"]["phase"] == "Running"}
