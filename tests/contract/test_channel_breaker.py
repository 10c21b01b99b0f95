"""A channel's breakers against real processes that are stopped and continued: who hangs gets no calls, the others all of them."""

import asyncio
import os
import signal
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Literal

import pytest
from google.protobuf.wrappers_pb2 import StringValue

from chassis import metrics as chassis_metrics
from chassis.errors import DeadlineExceeded, MizzenError, Unavailable
from chassis.rpc.channel import Channel, StaticAddresses
from chassis.telemetry.metrics import Metrics
from tests.contract.servers import KINDS, Kind, running
from tests.fakes.echo import SAY

Client = Literal["loop", "grpcio"]
CLIENTS: tuple[Client, ...] = ("loop", "grpcio")
ECHO = """
import asyncio, sys
from tests.contract.servers import running

async def main():
    async with running(sys.argv[1]) as run:
        print(run.address, flush=True)
        await asyncio.Event().wait()

asyncio.run(main())
"""


@asynccontextmanager
async def echo_process(kind: Kind = "loop") -> AsyncIterator[tuple[str, int]]:
    """The echo server in a process of its own: its address and process id."""
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", ECHO, kind, stdout=asyncio.subprocess.PIPE)
    assert process.stdout is not None
    try:
        yield (await asyncio.wait_for(process.stdout.readline(), 60)).decode().strip(), process.pid
    finally:
        process.kill()
        await process.wait()


def states(metrics: Metrics) -> dict[str, float | None]:
    name = chassis_metrics.CHANNEL_BREAKERS.name
    return {
        state: metrics.registry.get_sample_value(name, {"upstream": "echo", "state": state})
        for state in ("closed", "suspect", "open")
    }


async def said(channel: Channel, timeout_s: float = 0.2) -> str:
    """How a call ended."""
    try:
        return (await channel.unary(SAY, StringValue(value="x"), StringValue, timeout_s)).value
    except MizzenError as error:
        return error.code.value


async def until(channel: Channel, wanted: str, within_s: float) -> float:
    """Seconds until a call ends as wanted."""
    started = time.monotonic()
    while (ended := await said(channel)) != wanted:
        assert time.monotonic() - started < within_s, f"still {ended}"
        await asyncio.sleep(0.01)
    return time.monotonic() - started


@pytest.mark.parametrize("client", CLIENTS)
async def test_a_stopped_replica_gets_no_calls_until_it_is_continued(client: Client) -> None:
    async with echo_process() as (hung, pid), running("loop") as healthy:
        metrics = Metrics()
        channel = Channel("echo", StaticAddresses(hung, healthy.address), metrics=metrics, client=client)
        try:
            await channel.ready(5)
            assert set(await asyncio.gather(*(said(channel, 5) for _ in range(20)))) == {"x"}
            os.kill(pid, signal.SIGSTOP)
            ended = await asyncio.gather(*(said(channel) for _ in range(60)))
            assert "DEADLINE_EXCEEDED" in ended, "nobody asked the replica that hangs"
            deadline = time.monotonic() + 3
            while states(metrics)["open"] != 1:
                await said(channel)
                assert time.monotonic() < deadline, f"it did not open: {states(metrics)}"
            assert {await said(channel, 5) for _ in range(200)} == {"x"}
            assert states(metrics) == {"closed": 1, "suspect": 0, "open": 1}
            os.kill(pid, signal.SIGCONT)
            deadline = time.monotonic() + 3
            while states(metrics)["open"]:
                assert time.monotonic() < deadline, "it did not close"
                await asyncio.sleep(0.02)
        finally:
            os.kill(pid, signal.SIGCONT)
            await channel.close()


async def test_a_stopped_service_is_unavailable_at_once_instead_of_late() -> None:
    async with echo_process() as (hung, pid):
        channel = Channel("echo", StaticAddresses(hung))
        try:
            await channel.ready(5)
            os.kill(pid, signal.SIGSTOP)
            await asyncio.gather(*(said(channel) for _ in range(5)))
            await until(channel, "UNAVAILABLE", 3)
            started = time.monotonic()
            ended = await asyncio.gather(*(said(channel, 30) for _ in range(50)))
            assert set(ended) == {"UNAVAILABLE"}
            assert time.monotonic() - started < 5, "calls waited for a service that answers nothing"
            os.kill(pid, signal.SIGCONT)
            await until(channel, "x", 3)
        finally:
            os.kill(pid, signal.SIGCONT)
            await channel.close()


@pytest.mark.parametrize("kind", KINDS)
async def test_a_method_that_hangs_does_not_shut_out_the_others(kind: Kind) -> None:
    async with running(kind) as run:
        gate = asyncio.Event()

        async def hang(value: str) -> None:
            if value == "hang":
                await gate.wait()

        run.echo.behaviour = hang
        metrics = Metrics()
        channel = Channel("echo", StaticAddresses(run.address), metrics=metrics)
        for _ in range(3):
            hung = await asyncio.gather(
                *(channel.unary(SAY, StringValue(value="hang"), StringValue, 0.1) for _ in range(20)),
                return_exceptions=True,
            )
            assert {type(one) for one in hung} == {DeadlineExceeded}
            assert {await said(channel, 5) for _ in range(5)} == {"x"}
        assert not states(metrics)["open"]
        gate.set()
        await channel.close()


async def test_a_dead_service_is_found_again_as_soon_as_it_is_back() -> None:
    async with running("loop") as run:
        port = run.server.port
    metrics = Metrics()
    channel = Channel("echo", StaticAddresses(f"127.0.0.1:{port}"), metrics=metrics)
    for _ in range(20):
        with pytest.raises(Unavailable):
            await channel.unary(SAY, StringValue(value="x"), StringValue, 1)
    await asyncio.sleep(0)
    assert states(metrics)["open"] == 1
    async with running("loop", port=port):
        await until(channel, "x", 2)
    await channel.close()
