"""Keys of a running gateway: a revocation counts within five seconds, and what is wrong with the file is seen from outside."""

import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import grpc
import httpx2
import pytest
from grpc import aio

from mizzen.gateway.v1 import gateway_pb2 as pb
from mizzen.gateway.v1 import gateway_pb2_grpc
from tests.contract.test_gateway_access import write_api_keys
from tests.fakes.gateway_rig import gateway_rig

REVOKED_WITHIN_S = 5.0


async def within(limit_s: float, true: Callable[[], Awaitable[bool]]) -> float:
    started = time.monotonic()
    while not await true():
        assert time.monotonic() - started < limit_s, f"not within {limit_s} s"
    return time.monotonic() - started


async def test_a_key_is_revoked_within_five_seconds_and_a_typo_is_loud(tmp_path: Path) -> None:
    path = write_api_keys(tmp_path)
    all_line, reader_line = path.read_text().splitlines()
    async with (
        gateway_rig(tmp_path, settings={"api_keys_file": path}) as rig,
        httpx2.AsyncClient(base_url=rig.url) as http,
        httpx2.AsyncClient(base_url=rig.ops) as ops,
        aio.insecure_channel(rig.target) as channel,
    ):

        async def status(key: str) -> int:
            return (await http.get("/v1/endpoints", headers={"x-api-key": key})).status_code

        assert ((await ops.get("/readyz")).text, await status("key-read")) == ("ready\n", 200)

        # The line of the revoked key is mistyped, and so is what was meant to be there.
        path.write_text(f"{all_line}\nrevoked {reader_line}\n")

        async def refused() -> bool:
            return await status("key-read") == 401

        await within(REVOKED_WITHIN_S, refused)
        assert await status("key-all") == 200
        stub: Any = gateway_pb2_grpc.EndpointServiceStub(channel)
        with pytest.raises(aio.AioRpcError) as caught:
            await stub.ListEndpoints(pb.ListEndpointsRequest(), timeout=5, metadata=(("x-api-key", "key-read"),))
        assert caught.value.code() is grpc.StatusCode.UNAUTHENTICATED

        ready = await ops.get("/readyz")
        assert (ready.status_code, ready.text.splitlines()[0]) == (200, "ready")
        assert "API keys: api-keys line 2: the name is not" in ready.text
        metrics = (await ops.get("/metrics")).text.splitlines()
        assert {"mizzen_gateway_api_keys 1.0", "mizzen_gateway_api_key_faults 1.0"} <= set(metrics)

        path.write_text(f"{all_line}\n{reader_line}\n")

        async def back() -> bool:
            return await status("key-read") == 200

        await within(REVOKED_WITHIN_S, back)
        assert (await ops.get("/readyz")).text == "ready\n"


async def test_a_lost_key_file_is_seen_and_its_keys_end(tmp_path: Path) -> None:
    path = write_api_keys(tmp_path)
    async with (
        gateway_rig(tmp_path, settings={"api_keys_file": path, "api_keys_grace_s": 5.0}) as rig,
        httpx2.AsyncClient(base_url=rig.url, headers={"x-api-key": "key-all"}) as http,
        httpx2.AsyncClient(base_url=rig.ops) as ops,
    ):
        content = path.read_bytes()
        path.unlink()

        async def told() -> bool:
            return "API keys: api-keys cannot be read: No such file" in (await ops.get("/readyz")).text

        await within(5, told)
        assert (await http.get("/v1/endpoints")).status_code == 200

        async def ended() -> bool:
            answer = await http.get("/v1/endpoints")
            return (answer.status_code, answer.json().get("reason")) == (503, "KEYS_UNREADABLE")

        await within(10, ended)
        path.write_bytes(content)

        async def back() -> bool:
            return (await http.get("/v1/endpoints")).status_code == 200

        await within(REVOKED_WITHIN_S, back)
