"""A whole control service in this process: real PostgreSQL and a directory of definitions, on free ports."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2

from chassis.lifecycle import Lifecycle, make_runtime
from chassis.rpc.addresses import parse_addresses
from chassis.rpc.channel import Channel
from chassis.rpc.identity import CallerTokens, write_keys
from chassis.telemetry.metrics import Metrics
from control.main import build
from control.settings import Settings
from mizzen.control.v1 import control_pb2 as pb

ADMIN_KEY = "mzn_of-the-installation"


@dataclass
class RunningControl:
    """http shows the installation's admin key."""

    settings: Settings
    lifecycle: Lifecycle[Settings]
    http: httpx2.AsyncClient
    channel: Channel
    metrics: Metrics

    @property
    def definitions(self) -> Path:
        return Path(self.settings.definitions)

    @property
    def address(self) -> str:
        return f"static:127.0.0.1:{self.lifecycle.port}"

    async def ok(self, method: str, path: str, status: int = 200, **more: Any) -> Any:
        """The answer's body."""
        answer = await self.http.request(method, f"/admin/v1/{path}", **more)
        assert answer.status_code == status, answer.text
        return answer.json()

    async def wrong(self, method: str, path: str, **more: Any) -> tuple[int, str, str]:
        """Status, reason and detail of a refusal."""
        answer = await self.http.request(method, f"/admin/v1/{path}", **more)
        assert answer.headers["content-type"] == "application/problem+json", answer.text
        body = answer.json()
        assert body["request_id"] == answer.headers["x-request-id"]
        assert body["status"] == answer.status_code
        return answer.status_code, body["reason"], body["detail"]

    async def read_keys(self, version: str = "") -> pb.ReadKeysResponse:
        """As the gateway asks."""
        request = pb.ReadKeysRequest(version=version)
        return await self.channel.unary("/mizzen.control.v1.ControlService/ReadKeys", request, pb.ReadKeysResponse, 5.0)


@asynccontextmanager
async def running_control(
    postgres: str, state: Path, *, keyless: bool = False, port: int = 0, **more: Any
) -> AsyncIterator[RunningControl]:
    """Started until ready; ended at the end."""
    keys = state / "keys"
    write_keys(keys)
    (keys / "admin").write_text(f"{ADMIN_KEY}\n")
    settings = Settings(
        state=state, port=port, admin_port=0, ops_port=0, postgres_url=postgres, drain_s=0, grace_s=1,
        admin_key_file=None if keyless else keys / "admin", **more,
    )  # fmt: skip
    runtime = make_runtime(settings)
    lifecycle = Lifecycle(runtime, build)
    await lifecycle.start()
    callers = CallerTokens(settings.service_secret_file, "gateway", runtime.clock)
    channel = Channel("control", parse_addresses(f"static:127.0.0.1:{lifecycle.port}", "control"), callers=callers)
    headers = {} if keyless else {"authorization": f"Bearer {ADMIN_KEY}"}
    address = f"http://127.0.0.1:{lifecycle.public_port}"
    async with httpx2.AsyncClient(base_url=address, headers=headers, timeout=15) as http:
        yield RunningControl(settings, lifecycle, http, channel, runtime.metrics)
    await channel.close()
    await lifecycle.stop()
