"""Long calls under the default policy of foreign servers, and peers that vanish. All times are a hundredth of the real ones."""

import asyncio
import socket
import struct
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, Literal

import pytest
from google.protobuf.wrappers_pb2 import StringValue
from grpc import aio

from chassis.errors import DeadlineExceeded, Unavailable
from chassis.rpc import channel as channels
from chassis.rpc.channel import Channel, StaticAddresses
from chassis.wire import keepalive
from chassis.wire.frames import ENHANCE_YOUR_CALM, GOAWAY, PING, PREFACE, SETTINGS, frame
from tests.fakes.echo import COUNT, SAY, Echo, add_echo

_SCALE = 100
# What grpc-core does unless told otherwise, scaled: two strikes, a ping in five minutes.
_POLICY = [
    ("grpc.http2.min_ping_interval_without_data_ms", 300_000 // _SCALE),
    ("grpc.http2.max_ping_strikes", 2),
]
_CALL_S = 100 / _SCALE


@pytest.fixture
def scaled(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("_SILENT_S", "ANSWER_S", "_NEXT_PING_S"):
        monkeypatch.setattr(keepalive, name, getattr(keepalive, name) / _SCALE)
    options = [
        (name, value // _SCALE if name == "grpc.keepalive_time_ms" else value) for name, value in channels._OPTIONS
    ]
    monkeypatch.setattr(channels, "_OPTIONS", options)


@asynccontextmanager
async def foreign() -> AsyncIterator[tuple[Echo, str]]:
    """A server of grpcio itself, as Triton has one, and its address."""
    echo, server = Echo(), aio.server(options=_POLICY)
    add_echo(echo, server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        yield echo, f"127.0.0.1:{port}"
    finally:
        await server.stop(None)


@asynccontextmanager
async def raw(talk: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Any]) -> AsyncIterator[str]:
    """A peer by hand."""
    server = await asyncio.start_server(talk, "127.0.0.1", 0)
    try:
        yield "{}:{}".format(*server.sockets[0].getsockname())
    finally:
        server.close()


async def say(channel: Channel, value: str, timeout_s: float) -> str:
    return (await channel.unary(SAY, StringValue(value=value), StringValue, timeout_s)).value


@pytest.mark.usefixtures("scaled")
@pytest.mark.parametrize("client", ["loop", "grpcio"])
async def test_a_long_call_is_answered(client: Literal["loop", "grpcio"]) -> None:
    async with foreign() as (echo, address):
        channel = Channel("foreign", StaticAddresses(address), client=client)
        echo.behaviour = lambda value: asyncio.sleep(_CALL_S if value == "long" else 0)
        for _ in range(2):
            assert await say(channel, "short", 5) == "short"
            assert await say(channel, "long", 10) == "long"
        echo.behaviour = lambda _: asyncio.sleep(_CALL_S)
        answers = [answer.value async for answer in channel.stream(COUNT, StringValue(value="1"), StringValue, 10)]
        assert answers == ["0"]
        await channel.close()


@pytest.mark.usefixtures("scaled")
async def test_a_peer_that_hangs_is_given_up_before_the_deadline() -> None:
    async def hang(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(frame(SETTINGS, 0, 0))
        while await reader.read(65536):
            pass
        writer.close()

    async with raw(hang) as address:
        channel = Channel("hung", StaticAddresses(address))
        started = time.monotonic()
        with pytest.raises(Unavailable):
            await say(channel, "x", 30)
        assert time.monotonic() - started < 10
        await channel.close()


async def test_a_peer_whose_kernel_takes_nothing_is_given_up_before_the_deadline(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Bytes that nobody acknowledges, as of a host that vanished; no ping is due yet."""
    monkeypatch.setattr(keepalive, "_UNACKNOWLEDGED_MS", 20_000 // _SCALE)
    done = asyncio.Event()

    async def stop_reading(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        window = struct.pack(">HI", 4, 2**31 - 1)
        writer.write(frame(SETTINGS, 0, 0, window) + frame(8, 0, 0, (2**30).to_bytes(4, "big")))
        writer.transport.pause_reading()  # type: ignore[attr-defined]
        await done.wait()
        writer.transport.abort()

    async with raw(stop_reading) as address:
        channel = Channel("gone", StaticAddresses(address))
        started = time.monotonic()
        with pytest.raises(Unavailable):
            await say(channel, "x" * 30_000_000, 30)
        assert time.monotonic() - started < 8
        await channel.close()
        done.set()


@pytest.mark.usefixtures("scaled")
async def test_a_peer_that_complains_of_pings_gets_no_more() -> None:
    pings: list[int] = []
    connections = 0

    async def complain(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal connections
        connections += 1
        pings.append(0)
        writer.write(frame(SETTINGS, 0, 0))
        await reader.readexactly(len(PREFACE))
        try:
            while head := await reader.readexactly(9):
                await reader.readexactly(int.from_bytes(head[:3], "big"))
                if head[3] == PING:
                    pings[-1] += 1
                    calm = struct.pack(">II", 2**31 - 1, ENHANCE_YOUR_CALM) + b"too_many_pings"
                    writer.write(frame(GOAWAY, 0, 0, calm))
                    break
        except asyncio.IncompleteReadError:
            pass
        writer.close()

    async with raw(complain) as address:
        channel = Channel("strict", StaticAddresses(address))
        with pytest.raises(Unavailable):
            await say(channel, "x", 30)
        await channel.ready(5)
        with pytest.raises(DeadlineExceeded):
            await say(channel, "x", 1)
        assert (pings, connections) == ([1, 0], 2)
        await channel.close()
