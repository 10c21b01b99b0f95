"""Step 1."""

import time
from typing import Any

from tests.e2e import install
from tests.e2e.world import StepFailed, World

TITLE = "Install"
PROVES = "`helm install` in a namespace that enforces Pod Security `restricted` becomes ready with no manual step."


def run(world: World) -> dict[str, Any]:
    began = time.monotonic()
    install.prepare(world)
    prepared_s = time.monotonic() - began
    began = time.monotonic()
    world.upgrade(install.first_values(world))
    ready_s = time.monotonic() - began
    pods = [pod for pod in world.items("pods") if pod["status"]["phase"] == "Running"]
    restarts = sum(each["restartCount"] for pod in pods for each in pod["status"].get("containerStatuses", []))
    if len(pods) < 11:
        raise StepFailed(f"only {len(pods)} pods run")
    return {
        "images_to_nodes_s": round(prepared_s, 1),
        "install_to_ready_s": round(ready_s, 1),
        "pods": len(pods),
        "restarts": restarts,
        "image_mb": {} if world.settings.nodes == "none" else install.sizes_mb(world),
    }
