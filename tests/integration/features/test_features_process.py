"""The service as a process: any start order, definitions reloaded while it runs, readiness, drain."""

import asyncio
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from chassis.clock import SystemClock
from chassis.errors import MizzenError
from chassis.rpc.channel import Channel, StaticAddresses
from chassis.rpc.identity import CallerTokens, Identity, Minter, write_keys
from chassis.values import encode
from mizzen.chassis.v1.envelope_pb2 import Envelope
from mizzen.features.v1 import features_pb2 as pb
from tests.engines import free_ports
from tests.fakes.features_service import DEFINITIONS

pytestmark = pytest.mark.engines


class Process:
    """`python -m features` with a state directory of its own."""

    def __init__(self, state: Path, online_url: str) -> None:
        self.state = state
        self.port, self.ops_port = free_ports(2)
        (state / "definitions").mkdir(parents=True)
        self.define(DEFINITIONS)
        write_keys(state / "keys")
        environment = os.environ | {
            "MIZZEN_STATE": str(state),
            "MIZZEN_ONLINE_URL": online_url,
            "MIZZEN_FEATURES_PORT": str(self.port),
            "MIZZEN_FEATURES_OPS_PORT": str(self.ops_port),
            "MIZZEN_DRAIN_S": "0.1",
        }
        with (state / "log").open("wb") as log:
            self.child = subprocess.Popen([sys.executable, "-m", "features"], env=environment, stdout=log, stderr=log)

    def define(self, text: str) -> None:
        (self.state / "definitions" / "views.yaml").write_text(text)

    def is_ready(self) -> bool:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.ops_port}/readyz", timeout=1) as response:
                return bool(response.status == 200)
        except (urllib.error.URLError, OSError):
            return False

    def metrics(self) -> str:
        with urllib.request.urlopen(f"http://127.0.0.1:{self.ops_port}/metrics", timeout=2) as response:
            return str(response.read().decode())


@pytest.fixture
def process(tmp_path: Path, valkey_server: Any, valkey: str) -> Iterator[Process]:
    """Started while its store is away."""
    valkey_server.kill()
    made = Process(tmp_path / "state", valkey)
    try:
        yield made
    finally:
        made.child.kill()
        made.child.wait()
        if valkey_server.child is None:
            valkey_server.start()


async def until(condition: Callable[[], Awaitable[bool]], within_s: float = 20.0) -> None:
    end = time.monotonic() + within_s
    while not await condition():
        assert time.monotonic() < end, "waited in vain"
        await asyncio.sleep(0.05)


async def test_start_reload_and_drain(process: Process, valkey_server: Any) -> None:
    clock, keys = SystemClock(), process.state / "keys"
    minter = Minter(keys / "identity.key", clock)
    callers = CallerTokens(keys / "service.secret", "gateway", clock)
    channel = Channel("features", StaticAddresses(f"127.0.0.1:{process.port}"), callers=callers)

    async def read(ref: str) -> pb.ReadResult | None:
        identity = minter.mint(Identity("default", "test", frozenset(), frozenset()))
        envelope = Envelope(request_id="1", identity=identity, remaining_us=1_000_000)
        item = pb.ReadItem(envelope=envelope, refs=[ref], default_when_down=True)
        item.entities["tailnum"].CopyFrom(encode(["N1"], "STRING"))
        method = "/mizzen.features.v1.FeaturesService/Read"
        try:
            response = await channel.unary(method, pb.ReadRequest(items=[item]), pb.ReadResponse, 2.0)
        except MizzenError:
            return None
        return response.results[0]

    async def has_status(status: int) -> bool:
        result = await read("plane:age")
        return result is not None and result.status.code == 0 and result.columns[0].statuses == bytes([status])

    async def is_ready() -> bool:
        return await asyncio.to_thread(process.is_ready)

    try:
        # Without its store the service answers declared defaults, and is not ready.
        await until(lambda: has_status(pb.FIELD_STATUS_UNAVAILABLE))
        assert not process.is_ready()
        valkey_server.start()
        await until(is_ready)
        await until(lambda: has_status(pb.FIELD_STATUS_NOT_FOUND))

        # Lost later, the store degrades answers and not readiness.
        valkey_server.kill()
        await until(lambda: has_status(pb.FIELD_STATUS_UNAVAILABLE))
        assert process.is_ready()
        valkey_server.start()
        await until(lambda: has_status(pb.FIELD_STATUS_NOT_FOUND), within_s=10)

        process.define(DEFINITIONS.replace("name: age_per_seat", "name: years_per_seat"))

        async def is_reloaded() -> bool:
            found = await read("plane:years_per_seat")
            return found is not None and found.status.code == 0

        await until(is_reloaded)
        process.define(DEFINITIONS.replace("age / seats", "age // seats"))

        async def is_refused() -> bool:
            return 'mizzen_features_definitions{state="refused"} 1.0' in await asyncio.to_thread(process.metrics)

        await until(is_refused)
        assert await is_reloaded(), "the old definition keeps serving"
        assert "on-demand SQL `//` is not in the allow-list" in (process.state / "log").read_text()

        process.child.send_signal(signal.SIGTERM)
        assert await asyncio.to_thread(process.child.wait, 10) == 0
    finally:
        await channel.close()
