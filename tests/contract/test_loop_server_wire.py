"""The loop's server on the wire: what HTTP/2 allows a client is understood, what it forbids ends that client's connection alone."""

import asyncio
import random
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import grpc
import hpack
import pytest
from google.protobuf.wrappers_pb2 import StringValue
from grpc import aio

from chassis import http2_server
from chassis.http2_frames import frame
from tests.contract.servers import Running, running
from tests.fakes.echo import CHAT, COUNT, SAY

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, _, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = range(10)
END_STREAM, END_HEADERS, PADDED, HAS_PRIORITY = 0x1, 0x4, 0x8, 0x20
REQUEST = [
    (":method", "POST"),
    (":scheme", "http"),
    (":path", SAY),
    (":authority", "x"),
    ("content-type", "application/grpc"),
    ("te", "trailers"),
    ("user-agent", "test"),
]


class Client:
    """Frames by hand on one connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer
        self.encoder, self.decoder = hpack.Encoder(), hpack.Decoder()

    def send(self, *frames: bytes) -> None:
        self.writer.write(b"".join(frames))

    async def frame(self) -> tuple[int, int, int, bytes]:
        head = await asyncio.wait_for(self.reader.readexactly(9), 5)
        payload = await self.reader.readexactly(int.from_bytes(head[:3], "big"))
        return head[3], head[4], int.from_bytes(head[5:], "big"), payload

    async def answer(self, stream: int) -> tuple[dict[str, str], bytes]:
        """(all fields, body) of a stream."""
        fields: dict[str, str] = {}
        body = b""
        while True:
            kind, flags, number, payload = await self.frame()
            if kind == HEADERS:
                found = dict(self.decoder.decode(payload))
                if number == stream:
                    fields |= found  # type: ignore[arg-type]
            elif kind == DATA and number == stream:
                body += payload
            assert kind != GOAWAY, payload
            if number == stream and (flags & END_STREAM or kind == RST_STREAM):
                return fields, body

    async def ended(self) -> int:
        """The code with which the server ended the connection; -1 without one."""
        code = -1
        try:
            while True:
                kind, _, _, payload = await self.frame()
                if kind == GOAWAY:
                    code = int.from_bytes(payload[4:8], "big")
        except (asyncio.IncompleteReadError, ConnectionError):
            return code


@asynccontextmanager
async def connected(run: Running, *, greet: bool = True) -> AsyncIterator[Client]:
    reader, writer = await asyncio.open_connection(*run.address.rsplit(":", 1))
    client = Client(reader, writer)
    if greet:
        client.send(PREFACE, frame(SETTINGS, 0, 0))
    try:
        yield client
    finally:
        writer.close()


def message(value: str) -> bytes:
    data = StringValue(value=value).SerializeToString()
    return b"\0" + len(data).to_bytes(4, "big") + data


def said(answer: tuple[dict[str, str], bytes]) -> str:
    assert answer[0][":status"] == "200", answer
    assert answer[0]["grpc-status"] == "0", answer
    return str(StringValue.FromString(answer[1][5:]).value)


async def test_what_a_client_may_do_is_understood() -> None:
    async with running("loop") as run, connected(run) as client:
        block = client.encoder.encode(REQUEST)
        client.send(  # a block in three parts, a body with padding in two
            frame(HEADERS, 0, 1, block[:5]),
            frame(CONTINUATION, 0, 1, block[5:9]),
            frame(CONTINUATION, END_HEADERS, 1, block[9:]),
            frame(DATA, PADDED, 1, b"\x03" + message("one")[:4] + bytes(3)),
            frame(DATA, END_STREAM, 1, message("one")[4:]),
        )
        assert said(await client.answer(1)) == "one"
        block = client.encoder.encode(REQUEST)  # by now out of the dynamic table
        client.send(
            frame(PRIORITY, 0, 3, bytes(5)),
            frame(0x77, 0, 0, b"unknown"),
            frame(HEADERS, END_HEADERS | HAS_PRIORITY, 3, bytes(5) + block),
            frame(DATA, 0, 3, message("two")),
            frame(HEADERS, END_HEADERS | END_STREAM, 3, client.encoder.encode([("trailer", "x")])),
        )
        assert said(await client.answer(3)) == "two"
        client.send(frame(PING, 0, 0, b"12345678"))
        assert await client.frame() == (PING, 1, 0, b"12345678")


async def test_headers_mean_what_the_table_says() -> None:
    """Blocks are remembered only while the table of the connection stays the same."""
    async with running("loop") as run, connected(run) as client:
        seen: list[dict[str, Any]] = []
        run.echo.observe = lambda context: seen.append(dict(context.invocation_metadata()))
        chance = random.Random(1)
        for call in range(300):
            wanted = {"x-a": chance.choice("abc"), "x-b": str(chance.randrange(40)) * chance.choice([1, 60])}
            if chance.random() < 0.1:
                client.encoder.header_table_size = chance.choice([0, 200, 4096])
            huffman = chance.random() < 0.5
            fields = [*REQUEST, *wanted.items()]
            if chance.random() < 0.5:
                fields.append(("grpc-timeout", f"{chance.randrange(1000, 9999)}m"))
            block = client.encoder.encode(fields, huffman=huffman)
            number = 2 * call + 1
            client.send(frame(HEADERS, END_HEADERS, number, block), frame(DATA, END_STREAM, number, message("x")))
            assert said(await client.answer(number)) == "x"
            assert {name: seen[-1][name] for name in wanted} == wanted


async def test_no_user_is_taken_for_another() -> None:
    """Users with keys of all sizes share a connection, as behind a proxy, and an ordinary encoder indexes whatever it can."""
    async with running("loop") as run, connected(run) as client:
        seen: list[str] = []
        run.echo.observe = lambda context: seen.append(dict(context.invocation_metadata())["authorization"])
        chance = random.Random(3)
        keys = [f"{user:04}" + "y" * chance.choice((400, 1000, 1400, 1900, 3000)) for user in range(1000)]
        sent: list[str] = []
        for number in range(1, 4001, 2):
            key = chance.choice([*keys, *sent[-1:] * 1000])
            sent.append(key)
            more = [(f"x-{place}", key) for place in range(chance.choice((0, 1, 1, 2)))]
            plain = (hpack.NeverIndexedHeaderTuple(*field) for field in REQUEST)
            fields: list[Any] = [*plain, *more, ("authorization", key)]
            if chance.random() < 0.3:
                fields.append(("grpc-timeout", f"{chance.randrange(10, 50)}S"))
            block = client.encoder.encode(fields, huffman=False)
            client.send(frame(HEADERS, END_HEADERS, number, block), frame(DATA, END_STREAM, number, message("x")))
            assert said(await client.answer(number)) == "x"
        assert seen == sent


@pytest.mark.parametrize(
    ("fields", "status"),
    [({":method": "GET"}, "405"), ({"content-type": "application/json"}, "415"), ({":path": "/x/Y"}, "200")],
)
async def test_what_is_no_call_is_refused(fields: dict[str, str], status: str) -> None:
    async with running("loop") as run, connected(run) as client:
        block = client.encoder.encode(list((dict(REQUEST) | fields).items()))
        client.send(frame(HEADERS, END_HEADERS | END_STREAM, 1, block))
        answer, _ = await client.answer(1)
        assert answer[":status"] == status
        assert answer.get("grpc-status") == ("12" if status == "200" else None)


@pytest.mark.parametrize(
    ("body", "code"), [(b"", "13"), (b"\0\0\0\0\x09x", "13"), (b"\x01\0\0\0\0", "12"), (message("a") * 2, "13")]
)
async def test_a_body_that_is_no_message(body: bytes, code: str) -> None:
    async with running("loop") as run, connected(run) as client:
        client.send(frame(HEADERS, END_HEADERS, 1, client.encoder.encode(REQUEST)), frame(DATA, END_STREAM, 1, body))
        assert (await client.answer(1))[0]["grpc-status"] == code


@pytest.mark.parametrize(
    "frames",
    [
        [b"GET / HTTP/1.1\r\nhost: x\r\n\r\n"],
        [PREFACE, frame(DATA, 0, 1, b"x")],
        [PREFACE, frame(RST_STREAM, 0, 7, bytes(4))],
        [PREFACE, frame(HEADERS, END_HEADERS, 2, b"\x82")],
        [PREFACE, frame(HEADERS, END_HEADERS, 1, b"\xff\xff\xff\xff\xff")],
        [PREFACE, frame(HEADERS, 0, 1, b"\x82"), frame(PING, 0, 0, bytes(8))],
        [PREFACE, frame(CONTINUATION, END_HEADERS, 1, b"\x82")],
        [PREFACE, frame(HEADERS, 0, 1, b"\x82"), *[frame(CONTINUATION, 0, 1, bytes(60_000))] * 2],
        [PREFACE, frame(HEADERS, END_HEADERS | PADDED, 1, b"\x09x")],
        [PREFACE, frame(PING, 0, 0, b"short")],
        [PREFACE, frame(WINDOW_UPDATE, 0, 0, struct.pack(">I", 2**31 - 1))],
        [PREFACE, frame(SETTINGS, 0, 0, struct.pack(">HI", 4, 2**31))],
        [PREFACE, frame(SETTINGS, 0, 0, struct.pack(">HI", 5, 1))],
        [PREFACE, frame(SETTINGS, 0, 0, b"odd")],
        [PREFACE, b"\xff\xff\xff" + bytes(6)],
    ],
)
async def test_faults_end_that_connection_alone(frames: list[bytes]) -> None:
    async with running("loop") as run, connected(run, greet=False) as client, connected(run) as other:
        client.send(*frames)
        await client.ended()
        other.send(
            frame(HEADERS, END_HEADERS, 1, other.encoder.encode(REQUEST)), frame(DATA, END_STREAM, 1, message("x"))
        )
        assert said(await other.answer(1)) == "x"


async def test_a_client_that_only_resets_is_sent_away() -> None:
    async with running("loop") as run, connected(run) as client:
        run.echo.behaviour = lambda _: asyncio.sleep(30)
        for number in range(1, 4001, 2):
            head = frame(HEADERS, END_HEADERS, number, client.encoder.encode(REQUEST))
            client.send(head, frame(DATA, END_STREAM, number, message("x")), frame(RST_STREAM, 0, number, bytes(4)))
        assert await client.ended() in (0xB, -1)  # what is on its way to a closed socket may overtake the reason


async def test_a_client_that_ends_no_request_is_sent_away(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http2_server, "_MOST_HELD", 300_000)
    large = message("x" * 50_000)
    async with running("loop") as run, connected(run) as honest, connected(run) as client:
        honest.send(frame(WINDOW_UPDATE, 0, 0, (2**24).to_bytes(4, "big")))
        for number in range(1, 41, 2):  # what was whole or given up counts no more
            head = frame(HEADERS, END_HEADERS, number, honest.encoder.encode(REQUEST))
            honest.send(head, frame(DATA, 0, number, large[:25_000]))
            if number % 4 == 1:
                honest.send(frame(DATA, END_STREAM, number, large[25_000:]))
                assert said(await honest.answer(number)) == "x" * 50_000
            else:
                honest.send(frame(RST_STREAM, 0, number, bytes(4)))
        for number in range(1, 41, 2):
            head = frame(HEADERS, END_HEADERS, number, client.encoder.encode(REQUEST))
            client.send(head, frame(DATA, 0, number, large[:25_000]))
        assert await client.ended() in (0xB, -1)


async def test_nonsense_does_no_harm() -> None:
    chance = random.Random(7)
    async with running("loop") as run, connected(run) as honest:
        for attempt in range(150):
            async with connected(run, greet=chance.random() < 0.9) as client:
                block = client.encoder.encode(REQUEST)
                for _ in range(chance.randrange(1, 12)):
                    payload = chance.choice([block, message("x"), chance.randbytes(chance.randrange(40)), bytes(4)])
                    number = chance.choice([0, 1, 1, 3, 5, 2**31 - 1])
                    client.send(frame(chance.randrange(11), chance.randrange(256), number, payload))
                if chance.random() < 0.5:
                    client.writer.write_eof()
                await client.writer.drain()
            number = 2 * attempt + 1
            head = frame(HEADERS, END_HEADERS, number, honest.encoder.encode(REQUEST))
            honest.send(head, frame(DATA, END_STREAM, number, message("x")))
            assert said(await honest.answer(number)) == "x"


async def test_small_windows_are_kept() -> None:
    async with running("loop") as run, connected(run, greet=False) as client:
        client.send(PREFACE, frame(SETTINGS, 0, 0, struct.pack(">HI", 4, 10)))
        head = frame(HEADERS, END_HEADERS, 1, client.encoder.encode(REQUEST))
        client.send(head, frame(DATA, END_STREAM, 1, message("x" * 95)))
        body = b""
        while len(body) < 102:
            kind, _, number, payload = await client.frame()
            if kind == DATA:
                assert len(payload) <= 10
                body += payload
                client.send(frame(WINDOW_UPDATE, 0, number, (len(payload)).to_bytes(4, "big")))
        fields, _ = await client.answer(1)
        assert fields["grpc-status"] == "0"


async def test_large_messages_both_ways() -> None:
    limit = 32 * 1024 * 1024
    async with running("loop", max_message_bytes=limit) as run:
        options = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]
        async with aio.insecure_channel(run.address, options=options) as raw:
            parse, serialize = StringValue.FromString, StringValue.SerializeToString
            value = "x" * (20 * 1024 * 1024)
            assert (await raw.unary_unary(SAY, serialize, parse)(StringValue(value=value), timeout=30)).value == value
            chat = raw.stream_stream(CHAT, serialize, parse)(
                iter([StringValue(value=value[: 1 << size]) for size in (3, 20, 23, 10)]), timeout=30
            )
            assert [len(answer.value) async for answer in chat] == [1 << 3, 1 << 20, 1 << 23, 1 << 10]
            many = raw.stream_stream(CHAT, serialize, parse)(
                iter([StringValue(value=value[:100_000])] * 400), timeout=30
            )
            assert len([1 async for _ in many]) == 400


async def test_a_reader_that_stops_is_waited_for() -> None:
    async with running("loop") as run, connected(run) as client:
        run.echo.padding = "x" * 10_000
        fields = list((dict(REQUEST) | {":path": COUNT}).items())
        client.send(
            frame(HEADERS, END_HEADERS, 1, client.encoder.encode(fields)), frame(DATA, END_STREAM, 1, message("100000"))
        )
        await asyncio.sleep(0.3)
        before = run.echo.counted
        await asyncio.sleep(0.2)
        assert run.echo.counted == before < 20
        client.send(frame(RST_STREAM, 0, 1, (8).to_bytes(4, "big")))
        async with asyncio.timeout(5):
            while run.metrics.registry.get_sample_value("mizzen_chassis_server_in_flight"):
                await asyncio.sleep(0.01)


async def test_metadata_of_any_kind_arrives() -> None:
    async with running("loop") as run, aio.insecure_channel(run.address) as raw:
        seen: list[Any] = []
        run.echo.observe = lambda context: seen.append(context.invocation_metadata())
        sent = (("x-bytes-bin", b"\0\xff\x01"), ("x-text", "plain, with a comma"))
        say = raw.unary_unary(SAY, StringValue.SerializeToString, StringValue.FromString)
        for _ in range(2):
            await say(StringValue(value="x"), timeout=5, metadata=sent)
            assert set(sent) <= set(seen[-1])
            assert not [name for name, _ in seen[-1] if name.startswith((":", "grpc-"))]
        with pytest.raises(aio.AioRpcError) as caught:
            await say(StringValue(value="x"), timeout=5, metadata=(("x-big", "y" * 70_000),))
        assert caught.value.code() in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.RESOURCE_EXHAUSTED)
