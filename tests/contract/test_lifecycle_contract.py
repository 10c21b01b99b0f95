"""A service from start to exit, as a process, on both servers: ready when warm, drained without loss, gone on time."""

import asyncio
import contextlib
import json
import os
import signal
import socket
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import grpc
import pytest
from google.protobuf.wrappers_pb2 import StringValue
from grpc import aio
from grpc_health.v1 import health_pb2, health_pb2_grpc

from chassis.errors import Unavailable
from chassis.rpc.channel import Channel, StaticAddresses
from tests.contract.servers import KINDS, Kind
from tests.fakes.echo import SAY

ROOT = Path(__file__).resolve().parents[2]
pytestmark = pytest.mark.parametrize("kind", KINDS)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass
class Child:
    """A running service and its ports."""

    process: asyncio.subprocess.Process
    grpc: int
    http: int
    ops: int
    lines: list[dict[str, object]] = field(default_factory=list)
    reader: asyncio.Task[None] | None = None

    async def get(self, port: int, path: str, keep: bool = False) -> tuple[int, str]:
        """Status and whole text of one HTTP exchange; status 0 when refused."""
        try:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
        except OSError:
            return 0, ""
        with contextlib.closing(writer):
            connection = "keep-alive" if keep else "close"
            writer.write(f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: {connection}\r\n\r\n".encode())
            text = (await asyncio.wait_for(reader.read(), 20)).decode()
        return (int(text.split()[1]) if text else 0), text

    async def state(self) -> str:
        return (await self.get(self.ops, "/readyz"))[1].rpartition("\r\n\r\n")[2].strip()

    async def until(self, state: str, timeout_s: float = 10) -> None:
        await until(self.state, lambda now: now == state, timeout_s)

    async def log(self) -> None:
        assert self.process.stdout is not None
        async for line in self.process.stdout:
            self.lines.append(json.loads(line))

    async def ended(self, timeout_s: float = 10) -> int:
        code = await asyncio.wait_for(self.process.wait(), timeout_s)
        assert self.reader is not None
        await self.reader
        return code

    def events(self) -> list[object]:
        return [line["event"] for line in self.lines]


async def until(ask: Callable[[], object], right: Callable[[object], bool], timeout_s: float = 10) -> None:
    deadline = time.monotonic() + timeout_s
    while True:
        answer = ask()
        answer = await answer if asyncio.iscoroutine(answer) else answer
        if right(answer):
            return
        assert time.monotonic() < deadline, f"still {answer!r}"
        await asyncio.sleep(0.01)


@asynccontextmanager
async def child(
    kind: Kind, state: Path, *, ports: tuple[int, int, int] | None = None, **env: str
) -> AsyncIterator[Child]:
    grpc, http, ops = ports or (free_port(), free_port(), free_port())
    settings = {
        "MIZZEN_STATE": str(state),
        "MIZZEN_SERVER": kind,
        "MIZZEN_ECHO_PORT": str(grpc),
        "MIZZEN_ECHO_OPS_PORT": str(ops),
        "ECHO_HTTP_PORT": str(http),
        "PYTHONPATH": str(ROOT),
        "PYTHONWARNINGS": "error",
    }
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "tests.fakes.service_process",
        env=os.environ | settings | env,
        cwd=state,
        stdout=asyncio.subprocess.PIPE,
    )
    one = Child(process, grpc, http, ops)
    one.reader = asyncio.create_task(one.log())
    try:
        yield one
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
        await one.reader


@asynccontextmanager
async def channel_to(one: Child) -> AsyncIterator[Channel]:
    channel = Channel("echo", StaticAddresses(f"127.0.0.1:{one.grpc}"))
    try:
        yield channel
    finally:
        await channel.close()


async def say(channel: Channel, seconds: str = "0", timeout_s: float = 15) -> str:
    return (await channel.unary(SAY, StringValue(value=seconds), StringValue, timeout_s)).value


async def health(one: Child) -> str:
    """UNREACHABLE while the port is not open: the ops port, which says that the process starts, opens before it."""
    async with aio.insecure_channel(f"127.0.0.1:{one.grpc}") as channel:
        try:
            answer = await health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(), timeout=5)
        except aio.AioRpcError as error:
            if error.code() is not grpc.StatusCode.UNAVAILABLE:
                raise
            return "UNREACHABLE"
        return str(health_pb2.HealthCheckResponse.ServingStatus.Name(answer.status))


@pytest.mark.parametrize(("given", "policy"), [("true", os.SCHED_BATCH), ("false", os.SCHED_OTHER)])
async def test_how_a_service_is_scheduled_is_a_setting(kind: Kind, tmp_path: Path, given: str, policy: int) -> None:
    async with child(kind, tmp_path, MIZZEN_BATCH_SCHEDULING=given) as one:
        await one.until("ready")
        assert os.sched_getscheduler(one.process.pid) == policy


async def test_ready_only_when_warm(kind: Kind, tmp_path: Path) -> None:
    async with child(kind, tmp_path, ECHO_WAITS_FOR=str(tmp_path / "dependency"), ECHO_FAILS="1") as one:
        await one.until("starting")
        assert (await one.get(one.ops, "/healthz"))[0] == 200
        await until(lambda: health(one), lambda now: now == "NOT_SERVING")
        assert (await one.get(one.ops, "/readyz"))[0] == 503
        (tmp_path / "dependency").touch()
        await one.until("ready", 3)
        assert await health(one) == "SERVING"
        metrics = (await one.get(one.ops, "/metrics"))[1]
        assert "mizzen_chassis_ready 1.0" in metrics
        assert 'mizzen_chassis_background_restarts_total{name="failing"}' in metrics
        one.process.terminate()
        assert await one.ended() == 0
    waiting = [line for line in one.lines if line["event"] == "waiting for a dependency"]
    assert waiting[0]["error"] == "the file is not there yet"
    assert all(line["service"] == "echo" for line in one.lines)


async def test_sigterm_loses_nothing(kind: Kind, tmp_path: Path) -> None:
    """In flight finishes, new work is taken while draining, watchers know at once, exit is 0."""
    async with child(kind, tmp_path, MIZZEN_DRAIN_S="1") as one, channel_to(one) as channel:
        await one.until("ready")
        in_flight = [asyncio.create_task(say(channel, "2")) for _ in range(50)]
        in_flight_http = [asyncio.create_task(one.get(one.http, "/2")) for _ in range(50)]
        await asyncio.sleep(0.5)
        one.process.terminate()
        told = time.monotonic()
        await one.until("draining", 1)
        assert time.monotonic() - told < 0.25
        assert await health(one) == "NOT_SERVING"
        taken = 0
        while time.monotonic() - told < 0.7:
            assert await say(channel) == "0"
            status, text = await one.get(one.http, "/0", keep=True)
            assert status == 200
            assert "connection: close" in text.lower()
            taken += 1
        assert taken > 5
        assert await asyncio.gather(*in_flight) == ["2"] * 50
        assert {status for status, _ in await asyncio.gather(*in_flight_http)} == {200}
        assert await one.ended() == 0
        assert time.monotonic() - told < 5
    assert one.events()[-3:] == ["draining", "closed", "stopped"]


async def test_idle_connections_do_not_hold_up_the_drain(kind: Kind, tmp_path: Path) -> None:
    async with child(kind, tmp_path, MIZZEN_DRAIN_S="0") as one, channel_to(one) as channel:
        await one.until("ready")
        await say(channel)
        _, http = await asyncio.open_connection("127.0.0.1", one.http)
        _, ops = await asyncio.open_connection("127.0.0.1", one.ops)
        async with aio.insecure_channel(f"127.0.0.1:{one.grpc}") as watching:
            watch = health_pb2_grpc.HealthStub(watching).Watch(health_pb2.HealthCheckRequest(), timeout=30)
            await watch.read()
            started = time.monotonic()
            one.process.terminate()
            assert await one.ended() == 0
            assert time.monotonic() - started < 2
        http.close()
        ops.close()


async def test_a_second_sigterm_exits_at_once(kind: Kind, tmp_path: Path) -> None:
    async with child(kind, tmp_path, MIZZEN_DRAIN_S="30") as one:
        await one.until("ready")
        one.process.terminate()
        await one.until("draining")
        started = time.monotonic()
        one.process.terminate()
        assert await one.ended() == 128 + signal.SIGTERM
        assert time.monotonic() - started < 1


async def test_sigterm_before_ready_ends_it(kind: Kind, tmp_path: Path) -> None:
    async with child(kind, tmp_path, ECHO_WAITS_FOR=str(tmp_path / "never"), MIZZEN_DRAIN_S="30") as one:
        await one.until("starting")
        await until(lambda: health(one), lambda now: now == "NOT_SERVING")
        one.process.terminate()
        assert await one.ended(5) == 0


async def test_a_taken_port_is_named(kind: Kind, tmp_path: Path) -> None:
    with socket.socket() as owner:
        owner.bind(("127.0.0.1", 0))
        owner.listen()
        port = int(owner.getsockname()[1])
        async with child(kind, tmp_path, ports=(port, free_port(), free_port())) as one:
            assert await one.ended() == 1
    errors = [line for line in one.lines if line["event"] == "cannot start"]
    assert str(port) in str(errors[0]["error"])


@pytest.fixture
def short_path() -> Iterator[Path]:
    """A directory whose path leaves room for the 107 bytes of a Unix socket's."""
    with tempfile.TemporaryDirectory(prefix="mz") as directory:
        yield Path(directory)


async def test_callers_find_a_killed_service_again(kind: Kind, short_path: Path) -> None:
    async with child(kind, short_path) as one, channel_to(one) as channel:
        await one.until("ready")
        assert len(list(short_path.rglob("*.sock"))) == (kind == "native")
        await say(channel)
        in_flight = asyncio.create_task(say(channel, "10"))
        await asyncio.sleep(0.2)
        one.process.kill()
        killed = time.monotonic()
        with pytest.raises(Unavailable):
            await in_flight
        assert time.monotonic() - killed < 1
        await one.process.wait()
        async with child(kind, short_path, ports=(one.grpc, one.http, one.ops)) as again:
            await again.until("ready")
            ready = time.monotonic()
            while True:
                with contextlib.suppress(Unavailable):
                    await say(channel)
                    break
                assert time.monotonic() - ready < 1
                await asyncio.sleep(0.01)
            assert len(list(short_path.rglob("*.sock"))) == (kind == "native"), "the dead one's is still there"
            again.process.terminate()
            assert await again.ended() == 0
    assert not list(short_path.rglob("*.sock"))


async def test_the_ops_port_stands_nonsense(kind: Kind, tmp_path: Path) -> None:
    async with child(kind, tmp_path) as one:
        await one.until("ready")
        for nonsense in (b"\x00\xff\r\n\r\n", b"GET\r\n\r\n", b"POST /metrics HTTP/1.1\r\n\r\n", b"x" * 40_000, b""):
            reader, writer = await asyncio.open_connection("127.0.0.1", one.ops)
            writer.write(nonsense)
            writer.write_eof()
            with contextlib.suppress(ConnectionError):
                await asyncio.wait_for(reader.read(), 5)
            writer.close()
        assert (await one.get(one.ops, "/nothing"))[0] == 404
        assert (await one.get(one.ops, "/readyz?verbose"))[0] == 200


async def test_probes_are_answered_while_the_loop_is_busy(kind: Kind, tmp_path: Path) -> None:
    async with child(kind, tmp_path) as one:
        await one.until("ready")
        blocked = asyncio.create_task(one.get(one.http, "/blocked"))
        answered = 0
        while not blocked.done():
            assert (await one.get(one.ops, "/healthz"))[0] == 200
            assert (await one.get(one.ops, "/readyz"))[0] == 200
            assert "mizzen_chassis_ready 1.0" in (await one.get(one.ops, "/metrics"))[1]
            answered += 1
        assert answered > 3, "probes waited for the loop"
        assert (await blocked)[0] == 200


async def test_a_service_that_cannot_be_built_says_why(kind: Kind, tmp_path: Path) -> None:
    async with child(kind, tmp_path, ECHO_HTTP_PORT="nonsense") as one:
        assert await one.ended() == 1
    assert [line["event"] for line in one.lines if line["level"] == "error"] == ["cannot start"]
    assert "nonsense" in str(one.lines[0]["error"])
