"""A wrong definition under a running gateway: it is counted, and what served before goes on."""

import re
from pathlib import Path

import httpx2

from tests.fakes.clusters import until
from tests.fakes.gateway_rig import gateway_rig

BODY = {"entities": {"tailnum": ["N14228"]}, "inputs": {"distance": [1400.0]}}


async def test_what_is_refused_is_counted_and_its_predecessor_answers(tmp_path: Path) -> None:
    async with gateway_rig(tmp_path) as rig, httpx2.AsyncClient(base_url=rig.url, timeout=10) as client:

        async def refused() -> float:
            text = (await client.get(f"{rig.ops}/metrics")).text
            found = re.search(r"^mizzen_gateway_definitions_refused (\S+)$", text, re.MULTILINE)
            assert found is not None, "the alert has no series"
            return float(found[1])

        async def one_is_refused() -> bool:
            return await refused() == 1

        async def none_is_refused() -> bool:
            return await refused() == 0

        assert await refused() == 0
        file = rig.state / "definitions/all.yaml"
        right = file.read_text()
        # Only the examination of all definitions together finds it: features would refuse it, and the gateway would not.
        on_demand = "  onDemand: [{name: big, dtype: BOOL, sql: seats ** 2 > 9}]\n"
        file.write_text(right.replace("  ttl: 6h\n", "  ttl: 6h\n" + on_demand))
        await until(one_is_refused)
        assert (await client.post("/v1/endpoints/late:predict", json=BODY)).status_code == 200
        file.write_text(right)
        await until(none_is_refused)
