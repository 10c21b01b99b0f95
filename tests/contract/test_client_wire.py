"""Our client on the wire: a server that breaks the rules or floods loses the connection, and calls end with an error at once."""

import asyncio
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from google.protobuf.wrappers_pb2 import StringValue

from chassis.errors import MizzenError, Unavailable
from chassis.rpc.channel import Channel, StaticAddresses
from chassis.wire.frames import frame
from tests.contract.http2_peer import (
    ACK,
    CONTINUATION,
    DATA,
    END_HEADERS,
    END_STREAM,
    GOAWAY,
    HEADERS,
    PADDED,
    PING,
    PREFACE,
    PRIORITY,
    PUSH_PROMISE,
    RST_STREAM,
    SETTINGS,
    WINDOW_UPDATE,
    block,
    code_name,
    message,
)
from tests.fakes.echo import SAY

HELLO = frame(SETTINGS, 0, 0)
HEAD = frame(HEADERS, END_HEADERS, 1, block([(":status", "200"), ("content-type", "application/grpc")]))
TRAILERS = frame(HEADERS, END_HEADERS | END_STREAM, 1, block([("grpc-status", "0")]))
ANSWER = HEAD + frame(DATA, 0, 1, message("x")) + TRAILERS


class Server:
    """A server by hand: it sends `bytes` for each request and notes how the client ended its connections."""

    def __init__(self, answer: Callable[[int], bytes]) -> None:
        self.answer = answer
        self.requests = 0
        self.resets: list[str] = []
        self.ended: asyncio.Queue[str] = asyncio.Queue()

    async def talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(HELLO)
        said = "nothing said"
        try:
            assert await reader.readexactly(len(PREFACE)) == PREFACE
            while True:
                head = await reader.readexactly(9)
                payload = await reader.readexactly(int.from_bytes(head[:3], "big"))
                if head[3] == GOAWAY:
                    said = code_name(payload[4:8])
                elif head[3] == RST_STREAM:
                    self.resets.append(code_name(payload))
                elif head[3] == DATA and head[4] & END_STREAM:
                    self.requests += 1
                    writer.write(self.answer(self.requests))
        except (asyncio.IncompleteReadError, ConnectionError):
            self.ended.put_nowait(said)
        finally:
            writer.close()


@asynccontextmanager
async def served(answer: Callable[[int], bytes]) -> AsyncIterator[tuple[Server, Channel]]:
    server = Server(answer)
    listening = await asyncio.start_server(server.talk, "127.0.0.1", 0)
    channel = Channel("raw", StaticAddresses("{}:{}".format(*listening.sockets[0].getsockname())))
    try:
        await channel.ready(5)
        yield server, channel
    finally:
        await channel.close()
        listening.close()


def say(channel: Channel, value: str = "x", timeout_s: float = 20) -> Awaitable[Any]:
    return channel.unary(SAY, StringValue(value=value), StringValue, timeout_s)


def setting(name: int, value: int) -> bytes:
    return frame(SETTINGS, 0, 0, struct.pack(">HI", name, value))


_BROKEN = {
    "a frame of 16 MB": (b"\xff\xff\xff\0\0\0\0\0\1", "FRAME_SIZE_ERROR"),
    "settings of 5 bytes": (frame(SETTINGS, 0, 0, bytes(5)), "FRAME_SIZE_ERROR"),
    "an acknowledgement with settings": (frame(SETTINGS, ACK, 0, bytes(6)), "FRAME_SIZE_ERROR"),
    "a ping of 7 bytes": (frame(PING, 0, 0, bytes(7)), "FRAME_SIZE_ERROR"),
    "a goodbye of 7 bytes": (frame(GOAWAY, 0, 0, bytes(7)), "FRAME_SIZE_ERROR"),
    "a reset of 3 bytes": (frame(RST_STREAM, 0, 1, bytes(3)), "FRAME_SIZE_ERROR"),
    "settings of a stream": (frame(SETTINGS, 0, 1), "PROTOCOL_ERROR"),
    "data of the connection": (frame(DATA, 0, 0, b"x"), "PROTOCOL_ERROR"),
    "headers of the connection": (frame(HEADERS, END_HEADERS, 0), "PROTOCOL_ERROR"),
    "a promise": (frame(PUSH_PROMISE, END_HEADERS, 1, b"\0\0\0\2"), "PROTOCOL_ERROR"),
    "data of a stream that never began": (frame(DATA, 0, 9, b"x"), "PROTOCOL_ERROR"),
    "headers of a stream that never began": (HEAD[:5] + b"\0\0\0\x09" + HEAD[9:], "PROTOCOL_ERROR"),
    "a reset of a stream that never began": (frame(RST_STREAM, 0, 9, bytes(4)), "PROTOCOL_ERROR"),
    "data with more padding than bytes": (HEAD + frame(DATA, PADDED, 1, b"\x09x"), "PROTOCOL_ERROR"),
    "a continuation of nothing": (frame(CONTINUATION, END_HEADERS, 1), "PROTOCOL_ERROR"),
    "headers that are interrupted": (frame(HEADERS, 0, 1) + frame(PING, 0, 0, bytes(8)), "PROTOCOL_ERROR"),
    "headers that cannot be read": (frame(HEADERS, END_HEADERS, 1, b"\x80"), "COMPRESSION_ERROR"),
    "a window that does not grow": (frame(WINDOW_UPDATE, 0, 0, bytes(4)), "PROTOCOL_ERROR"),
    "a window over the limit": (frame(WINDOW_UPDATE, 0, 0, (2**31 - 1).to_bytes(4, "big")), "FLOW_CONTROL_ERROR"),
    "an initial window over the limit": (setting(4, 2**31), "FLOW_CONTROL_ERROR"),
    "a frame setting of 1": (setting(5, 1), "PROTOCOL_ERROR"),
    "a flood of pings": (frame(PING, 0, 0, bytes(8)) * 5000, "ENHANCE_YOUR_CALM"),
    "a flood of settings": (HELLO * 5000, "ENHANCE_YOUR_CALM"),
    "a flood of windows": (frame(WINDOW_UPDATE, 0, 0, (1).to_bytes(4, "big")) * 5000, "ENHANCE_YOUR_CALM"),
    "a flood of priorities": (frame(PRIORITY, 0, 7, bytes(5)) * 5000, "ENHANCE_YOUR_CALM"),
    "a flood of empty data": (HEAD + frame(DATA, 0, 1) * 5000, "ENHANCE_YOUR_CALM"),
    "a flood of continuations": (frame(HEADERS, 0, 1) + frame(CONTINUATION, 0, 1) * 5000, "ENHANCE_YOUR_CALM"),
}


@pytest.mark.parametrize("name", _BROKEN)
async def test_a_server_that_breaks_the_rules_loses_the_connection(name: str) -> None:
    sent, code = _BROKEN[name]
    async with served(lambda request: sent if request == 1 else ANSWER) as (server, channel):
        with pytest.raises(Unavailable):
            await say(channel)
        heard = await asyncio.wait_for(server.ended.get(), 5)
        assert heard == code or (name.startswith("a flood") and heard == "nothing said")  # a goodbye may be overtaken
        await channel.ready(5)
        assert (await say(channel)).value == "x"


_MALFORMED = {
    "data before all": [],
    "no status": [("content-type", "application/grpc")],
    "two statuses": [(":status", "200"), (":status", "200")],
    "a status of two digits": [(":status", "20")],
    "a late status": [("a", "b"), (":status", "200")],
    "a path": [(":status", "200"), (":path", "/")],
    "a name in capitals": [(":status", "200"), ("X-A", "b")],
    "a value with a line break": [(":status", "200"), ("x-a", "b\nc")],
    "a field of HTTP/1.1": [(":status", "200"), ("connection", "close")],
}


@pytest.mark.parametrize("name", _MALFORMED)
async def test_an_answer_that_is_none_ends_the_call_alone(name: str) -> None:
    head = frame(HEADERS, END_HEADERS, 1, block(_MALFORMED[name])) if _MALFORMED[name] else b""
    sent = head + frame(DATA, 0, 1, message("x")) + TRAILERS
    second = ANSWER.replace(b"\0\0\0\1", b"\0\0\0\3")
    async with served(lambda request: sent if request == 1 else second) as (server, channel):
        with pytest.raises(MizzenError):
            await say(channel)
        assert (await say(channel)).value == "x"
        assert server.ended.empty()


async def test_an_answer_of_many_heads_is_given_up() -> None:
    head = frame(HEADERS, END_HEADERS, 1, block([(":status", "103")]))
    async with served(lambda _: head * 5000) as (server, channel):
        with pytest.raises(MizzenError):
            await say(channel)
        async with asyncio.timeout(5):
            while not server.resets:
                await asyncio.sleep(0)
        assert server.resets == ["PROTOCOL_ERROR"]


async def test_what_a_goodbye_leaves_out_is_sent_again() -> None:
    leaving = frame(GOAWAY, 0, 0, bytes(8))
    async with served(lambda request: leaving if request == 1 else ANSWER) as (server, channel):
        assert (await say(channel)).value == "x"
        assert server.requests == 2


async def test_what_a_goodbye_lets_finish_finishes() -> None:
    leaving = frame(GOAWAY, 0, 0, struct.pack(">II", 1, 0))
    async with served(lambda _: leaving + ANSWER) as (server, channel):
        assert (await say(channel)).value == "x"
        assert await asyncio.wait_for(server.ended.get(), 5) == "nothing said"
        assert server.requests == 1


async def test_a_large_request_is_linear() -> None:
    """Sixteen times the bytes, let through by small windows, take about sixteen times as long (not 256)."""
    loop = asyncio.get_running_loop()

    async def grant(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(HELLO + frame(WINDOW_UPDATE, 0, 0, (2**30).to_bytes(4, "big")))
        try:
            await reader.readexactly(len(PREFACE))
            while True:
                head = await reader.readexactly(9)
                size, number = int.from_bytes(head[:3], "big"), int.from_bytes(head[5:], "big")
                await reader.readexactly(size)
                if head[3] == DATA and head[4] & END_STREAM:
                    writer.write(ANSWER.replace(b"\0\0\0\1", head[5:]))
                elif head[3] == DATA:
                    writer.write(frame(WINDOW_UPDATE, 0, number, size.to_bytes(4, "big")))
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    listening = await asyncio.start_server(grant, "127.0.0.1", 0)
    channel = Channel("raw", StaticAddresses("{}:{}".format(*listening.sockets[0].getsockname())))

    async def taken_s(size: int) -> float:
        started = loop.time()
        assert (await say(channel, "x" * size, 100)).value == "x"
        return loop.time() - started

    await channel.ready(5)
    small_s = min([await taken_s(3_900_000) for _ in range(3)])
    assert await taken_s(62_000_000) < 80 * small_s
    await channel.close()
    listening.close()
