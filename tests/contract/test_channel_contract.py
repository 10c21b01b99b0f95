"""What a chassis channel promises against either server: balance, quick reconnection, only MizzenErrors."""

import asyncio
import random
import time
from collections import Counter
from contextlib import AsyncExitStack
from typing import Literal

import pytest
from google.protobuf.wrappers_pb2 import StringValue

from chassis import metrics as chassis_metrics
from chassis.errors import DeadlineExceeded, MizzenError, NotFound, Unavailable
from chassis.rpc.channel import Channel, StaticAddresses
from chassis.telemetry.metrics import Metrics
from tests.contract.servers import KINDS, Kind, running
from tests.fakes.echo import COUNT, SAY

pytestmark = pytest.mark.parametrize("kind", KINDS)


async def say(channel: Channel, value: str = "x", timeout_s: float = 5) -> str:
    return (await channel.unary(SAY, StringValue(value=value), StringValue, timeout_s)).value


async def said(channel: Channel, timeout_s: float) -> float:
    """Seconds until a call succeeds again."""
    started = time.monotonic()
    while True:
        try:
            await say(channel)
            return time.monotonic() - started
        except Unavailable:
            assert time.monotonic() - started < timeout_s, "the channel did not come back"
            await asyncio.sleep(0.01)


async def test_calls_are_spread_over_all_addresses(kind: Kind) -> None:
    async with AsyncExitStack() as stack:
        runs = [await stack.enter_async_context(running(kind)) for _ in range(3)]
        metrics = Metrics()
        channel = Channel("echo", StaticAddresses(*(run.address for run in runs)), metrics=metrics)
        await channel.ready(5)
        random.seed(7)
        for _ in range(30):
            await asyncio.gather(*(say(channel) for _ in range(10)))
        calls = [run.echo.calls for run in runs]
        assert sum(calls) == 300
        assert min(calls) > 50
        labels = {"upstream": "echo", "method": SAY, "code": "OK"}
        assert metrics.registry.get_sample_value(f"{chassis_metrics.CHANNEL_SECONDS.name}_count", labels) == 300
        await channel.close()


async def test_a_slow_replica_gets_less(kind: Kind) -> None:
    async with running(kind) as slow, running(kind) as quick:
        slow.echo.behaviour = lambda _: asyncio.sleep(0.05)
        channel = Channel("echo", StaticAddresses(slow.address, quick.address))
        await asyncio.gather(*(say(channel) for _ in range(4)))
        for _ in range(40):
            await asyncio.gather(*(say(channel) for _ in range(8)))
        assert quick.echo.calls >= slow.echo.calls
        await channel.close()


async def test_a_dead_replica_costs_little(kind: Kind) -> None:
    async with running(kind) as alive:
        async with running(kind) as dying:
            channel = Channel("echo", StaticAddresses(alive.address, dying.address))
            await asyncio.gather(*(say(channel) for _ in range(20)))
            await dying.server.stop(0)
        outcomes = Counter[str]()
        for _ in range(100):
            try:
                await say(channel)
                outcomes["answered"] += 1
            except Unavailable as error:
                assert error.reason == "UPSTREAM_UNAVAILABLE"
                outcomes["failed"] += 1
        assert outcomes["failed"] <= 2
        await channel.close()


async def test_a_restarted_server_is_found_again_at_once(kind: Kind) -> None:
    async with running(kind) as first:
        channel, port = Channel("echo", StaticAddresses(first.address)), first.server.port
        await say(channel)
    for _ in range(30):  # long enough away for the backoff to have grown
        with pytest.raises(Unavailable):
            await say(channel)
        await asyncio.sleep(0.05)
    async with running(kind, port=port):
        assert await said(channel, 5) < 1.0
    await channel.close()


async def test_a_channel_may_be_older_than_its_server(kind: Kind) -> None:
    async with running(kind) as run:
        port = run.server.port
    channel = Channel("echo", StaticAddresses(f"127.0.0.1:{port}"))
    with pytest.raises(Unavailable) as caught:
        await channel.ready(0.2)
    assert "127.0.0.1" not in caught.value.message
    async with running(kind, port=port):
        await channel.ready(2)
        assert await say(channel) == "x"
    await channel.close()


async def test_addresses_come_and_go(kind: Kind) -> None:
    async with running(kind) as old, running(kind) as new:
        addresses = StaticAddresses(old.address)
        channel = Channel("echo", addresses)
        gate = asyncio.Event()
        old.echo.behaviour = lambda _: gate.wait()
        held = asyncio.create_task(say(channel, "held"))
        await asyncio.wait_for(old.echo.started.wait(), 5)
        addresses.replace(new.address)
        await say(channel)
        assert new.echo.calls == 1
        gate.set()
        assert await held == "held"
        addresses.replace()
        with pytest.raises(Unavailable):
            await say(channel)
        await channel.close()


async def test_a_server_that_stalls_costs_the_deadline_and_no_more(kind: Kind) -> None:
    async with running(kind) as run:
        run.echo.behaviour = lambda _: asyncio.sleep(30)
        started = time.monotonic()
        results = await asyncio.gather(*(say(run.channel, timeout_s=0.3) for _ in range(50)), return_exceptions=True)
        assert all(isinstance(result, DeadlineExceeded) for result in results)
        assert time.monotonic() - started < 2
        with pytest.raises(DeadlineExceeded):
            _ = [one async for one in run.channel.stream(COUNT, StringValue(value="1"), StringValue, 0.2)]


async def test_bytes_pass_as_they_are(kind: Kind) -> None:
    async with running(kind) as run:
        sent = StringValue(value="raw").SerializeToString()
        assert await run.channel.unary(SAY, sent, bytes, 5) == sent


async def test_a_thousand_cancelled_calls_leave_nothing(kind: Kind) -> None:
    async with running(kind) as run:
        random.seed(3)
        run.echo.behaviour = lambda value: asyncio.sleep(float(value))

        async def one(index: int) -> None:
            call = asyncio.create_task(say(run.channel, f"0.00{index % 10}{index:04d}"))
            await asyncio.sleep(random.random() * 0.006)
            call.cancel()
            (result,) = await asyncio.gather(call, return_exceptions=True)
            assert isinstance(result, asyncio.CancelledError) or result == f"0.00{index % 10}{index:04d}"

        for start in range(0, 1000, 50):
            await asyncio.gather(*(one(index) for index in range(start, start + 50)))
        run.echo.behaviour = None
        assert await say(run.channel) == "x"
        deadline = time.monotonic() + 2
        while run.metrics.registry.get_sample_value(chassis_metrics.SERVER_IN_FLIGHT.name) != 0:
            assert time.monotonic() < deadline, "work goes on for callers that are gone"
            await asyncio.sleep(0.01)


async def test_only_mizzen_errors_come_out(kind: Kind) -> None:
    async with running(kind) as run:

        def refuse(_: str) -> None:
            raise NotFound("no such thing", ids={"thing": "x"})

        run.echo.behaviour = refuse
        with pytest.raises(MizzenError) as caught:
            await say(run.channel)
        assert (caught.value.message, dict(caught.value.ids)) == ("no such thing", {"thing": "x"})


async def test_closing_ends_calls_in_flight_with_an_error(kind: Kind) -> None:
    """grpc.aio cancels them, which would look to their tasks as if somebody had cancelled these."""
    async with running(kind) as run:
        run.echo.behaviour = lambda _: asyncio.sleep(30)
        channel = Channel("echo", StaticAddresses(run.address))

        async def count() -> None:
            async for _ in channel.stream(COUNT, StringValue(value="1"), StringValue, 30):
                pass

        calls = [asyncio.create_task(say(channel, timeout_s=30)), asyncio.create_task(count())]
        while run.echo.calls < 2:
            await asyncio.sleep(0.01)
        await channel.close()
        results = await asyncio.wait_for(asyncio.gather(*calls, return_exceptions=True), 5)
        assert [type(result) for result in results] == [Unavailable, Unavailable]
        with pytest.raises(Unavailable):
            await say(channel)


@pytest.mark.parametrize("client", ["loop", "grpcio"])
async def test_either_client_carries_the_same_calls(kind: Kind, client: Literal["loop", "grpcio"]) -> None:
    async with running(kind) as run:
        channel = Channel("echo", StaticAddresses(run.address), client=client)
        long = "x" * 900_000  # beyond the windows and frames that either side starts with
        assert await asyncio.gather(*(say(channel, value) for value in ("", "é", long))) == ["", "é", long]
        run.echo.behaviour = lambda _: asyncio.sleep(30)
        with pytest.raises(DeadlineExceeded):
            await say(channel, timeout_s=0.1)
        await channel.close()
