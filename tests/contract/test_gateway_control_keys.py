"""API keys of control at a running gateway: taken, refused when revoked or over, and going on while control is away."""

import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx2
import pytest

from tests.contract.test_gateway_access import write_api_keys
from tests.contract.test_gateway_keys import within
from tests.engines import free_ports
from tests.fakes.control_service import running_control
from tests.fakes.gateway_rig import gateway_rig

pytestmark = pytest.mark.engines
COUNTS_WITHIN_S = 5.0


async def test_keys_of_control_count_beside_the_file_and_outlive_control(postgres: str, tmp_path: Path) -> None:
    path = write_api_keys(tmp_path)
    (port,) = free_ports(1)
    settings = {"api_keys_file": path, "control_addresses": f"static:127.0.0.1:{port}"}
    async with (
        gateway_rig(tmp_path, settings=settings) as rig,
        httpx2.AsyncClient(base_url=rig.url) as http,
        httpx2.AsyncClient(base_url=rig.ops) as ops,
    ):

        async def answer(key: str) -> tuple[int, str]:
            found = await http.get("/v1/endpoints", headers={"x-api-key": key})
            return found.status_code, found.json().get("reason", "") if found.status_code != 200 else ""

        async def is_taken() -> bool:
            return await answer(shop["key"]) == (200, "")

        assert await answer("key-read") == (200, ""), "the file's keys need no control"
        assert await answer("mzn_guess") == (503, "KEYS_UNREADABLE"), (
            "it may be one of control's, which nobody has told"
        )
        assert "none of its keys is known yet" in (await ops.get("/readyz")).text

        async with running_control(postgres, tmp_path, port=port) as control:
            shop = await control.ok("POST", "keys", 201, json={"name": "shop", "tenant": "acme", "scopes": ["read"]})
            await control.ok("POST", "keys", 201, json={"name": "ops", "scopes": ["admin"]})
            soon = datetime.now(UTC) + timedelta(seconds=3)
            short = await control.ok("POST", "keys", 201, json={"name": "short", "expires": soon.isoformat()})
            gone = await control.ok("POST", "keys", 201, json={"name": "gone"})
            await within(COUNTS_WITHIN_S, is_taken)
            assert await answer("mzn_guess") == (401, "API_KEY_INVALID")
            assert await answer(short["key"]) == (200, "")
            refused = await http.post("/v1/endpoints/late:predict", json={}, headers={"x-api-key": shop["key"]})
            assert (refused.status_code, refused.json()["reason"]) == (403, "SCOPE_MISSING")
            await control.ok("DELETE", f"keys/{gone['about']['id']}")

            async def is_refused() -> bool:
                return await answer(gone["key"]) == (401, "API_KEY_INVALID")

            await within(COUNTS_WITHIN_S, is_refused)
            async with gateway_rig(tmp_path, settings=settings) as late:
                found = await http.get(f"{late.url}/v1/endpoints", headers={"x-api-key": "mzn_guess"})
                assert found.status_code == 401, "a gateway that starts beside control is ready when it knows the keys"
            metrics = (await ops.get("/metrics")).text.splitlines()
            assert "mizzen_gateway_control_keys 3.0" in metrics
            assert (await ops.get("/readyz")).text == "ready\n"

        # Control is away: what it told goes on, and ends when it is over.
        async def has_expired() -> bool:
            return await answer(short["key"]) == (401, "API_KEY_EXPIRED")

        await within(COUNTS_WITHIN_S, has_expired)
        assert await answer(shop["key"]) == (200, "")
        assert await answer(gone["key"]) == (401, "API_KEY_INVALID")

        async def is_told() -> bool:
            return "control does not tell its keys (those it told go on)" in (await ops.get("/readyz")).text

        await within(10.0, is_told)
        async with running_control(postgres, tmp_path, port=port) as control:
            await control.ok("DELETE", f"keys/{shop['about']['id']}")
            started = time.monotonic()
            while (await answer(shop["key"]))[0] == 200:
                assert time.monotonic() - started < 10
