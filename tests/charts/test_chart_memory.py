"""What the gateway's ports and queues may hold fits into its pod: nobody who fills them has it killed."""

import pytest

from gateway.settings import Settings
from tests.charts.rendering import PRESETS, containers, named, objects

MIB = 1024 * 1024
IDLE = 120 * MIB
# Both ports filled took 366 MB, of which 107 were there before (ADR 0017): no more than they are told to hold.
COPIES = 1.1
# The largest JSON body that is read: 500,000 objects of one field, or 16 MiB of short texts.
ONE_BODY = 120 * MIB


@pytest.mark.parametrize("preset", PRESETS)
def test_the_gateways_bounds_fit_its_limit(preset: str) -> None:
    (container,) = containers(named(objects(preset), "Deployment", "mizzen-gateway")["spec"]["template"])
    limit = container["resources"]["limits"]["memory"]
    assert limit.endswith("Mi"), limit
    given = {entry["name"]: entry.get("value") for entry in container["env"]}
    held = int(given.get("MIZZEN_GATEWAY_MAX_HELD_BYTES") or Settings.model_fields["max_held_bytes"].default)
    records = int(given.get("MIZZEN_GATEWAY_RECORD_QUEUE_BYTES") or Settings.model_fields["record_queue_bytes"].default)
    assert IDLE + 2 * held * COPIES + records + ONE_BODY <= int(limit[:-2]) * MIB
