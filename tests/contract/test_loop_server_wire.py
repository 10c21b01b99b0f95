"""The loop's server on the wire: what HTTP/2 allows a client is understood, what it forbids ends that client's connection alone."""

import asyncio
import random
import socket
import statistics
import struct
import time
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import grpc
import hpack
import pytest
from google.protobuf.wrappers_pb2 import StringValue
from grpc import aio

from chassis.rpc import loop_call
from chassis.wire import server as http2_server
from chassis.wire import streams as http2_streams
from chassis.wire.frames import frame
from tests.contract.http2_peer import (
    CONTINUATION,
    DATA,
    END_HEADERS,
    END_STREAM,
    HAS_PRIORITY,
    HEADERS,
    PADDED,
    PING,
    PREFACE,
    PRIORITY,
    REQUEST,
    RST_STREAM,
    SETTINGS,
    WINDOW_UPDATE,
    Peer,
    message,
    peer,
    said,
)
from tests.contract.servers import Running, running
from tests.fakes.echo import CHAT, COUNT, SAY


def call(client: Peer, number: int, value: str, fields: Sequence[tuple[str, str]] = REQUEST) -> tuple[bytes, bytes]:
    """A unary call in two frames."""
    head = frame(HEADERS, END_HEADERS, number, client.encoder.encode(fields))
    return head, frame(DATA, END_STREAM, number, message(value))


CALM = ("ENHANCE_YOUR_CALM", "nothing said")  # what is on its way to a closed socket may overtake the reason


@asynccontextmanager
async def connected(run: Running, *, greet: bool = True) -> AsyncIterator[Peer]:
    async with peer(run.address, greet=greet) as client:
        yield client


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


async def test_a_client_that_only_resets_is_sent_away() -> None:
    async with running("loop") as run, connected(run) as client:
        run.echo.behaviour = lambda _: asyncio.sleep(30)
        for number in range(1, 4001, 2):
            head = frame(HEADERS, END_HEADERS, number, client.encoder.encode(REQUEST))
            client.send(head, frame(DATA, END_STREAM, number, message("x")), frame(RST_STREAM, 0, number, bytes(4)))
        assert await client.until_gone() in CALM


async def test_a_client_that_ends_no_request_loses_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """The bound is of the process: whoever holds most of it pays, others are served."""
    monkeypatch.setattr(http2_streams, "_MOST_UNFINISHED", 300_000)
    large = message("x" * 50_000)
    async with running("loop") as run, connected(run) as honest, connected(run) as client:
        honest.send(frame(WINDOW_UPDATE, 0, 0, (2**24).to_bytes(4, "big")))
        for number in range(1, 41, 2):
            head = frame(HEADERS, END_HEADERS, number, client.encoder.encode(REQUEST))
            client.send(head, frame(DATA, 0, number, large[:25_000]))
        for number in range(1, 41, 2):  # what was whole or given up counts no more
            head = frame(HEADERS, END_HEADERS, number, honest.encoder.encode(REQUEST))
            honest.send(head, frame(DATA, 0, number, large[:25_000]))
            if number % 4 == 1:
                honest.send(frame(DATA, END_STREAM, number, large[25_000:]))
                assert said(await honest.answer(number)) == "x" * 50_000
            else:
                honest.send(frame(RST_STREAM, 0, number, bytes(4)))
        await client.settle()
        refused = [one.fields["grpc-status"] for one in client.streams.values() if one.fields]
        assert set(refused) == {"8"}
        assert 8 <= len(refused) <= 10
        assert client.gone is None


async def test_answers_that_nobody_takes_are_bounded_and_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http2_streams, "_MOST_UNTAKEN", 300_000)
    async with running("loop") as run, peer(run.address, settings=struct.pack(">HI", 4, 0)) as client:
        for number in range(1, 41, 2):
            fields = [*REQUEST, ("grpc-timeout", "1S")]
            head = frame(HEADERS, END_HEADERS, number, client.encoder.encode(fields))
            client.send(head, frame(DATA, END_STREAM, number, message("x" * 50_000)))
        async with asyncio.timeout(20):
            while len([one for one in client.streams.values() if one.reset]) < 20:
                await client.hear()
        resets = Counter(one.reset for one in client.streams.values() if one.reset)
        assert resets["ENHANCE_YOUR_CALM"] >= 14  # over the bound at once
        assert resets["ENHANCE_YOUR_CALM"] + resets["CANCEL"] == 20  # the others with their deadlines


async def test_an_answer_that_nobody_takes_ends_without_a_deadline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http2_server, "_STALLED_S", 0.2)
    monkeypatch.setattr(http2_server, "_LOOK_S", 0.1)
    async with running("loop") as run, peer(run.address, settings=struct.pack(">HI", 4, 10)) as client:
        client.send(
            frame(HEADERS, END_HEADERS, 1, client.encoder.encode(REQUEST)),
            frame(DATA, END_STREAM, 1, message("x" * 100)),
        )
        heard = await client.until_ended(1)
        assert (heard.reset, len(heard.body)) == ("CANCEL", 10)


async def test_a_request_that_never_ends_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loop_call, "_BODY_S", 0.2)
    async with running("loop") as run, connected(run) as client:
        for number, fields in ((1, REQUEST), (3, [*REQUEST, ("grpc-timeout", "9H")])):
            client.send(
                frame(HEADERS, END_HEADERS, number, client.encoder.encode(fields)),
                frame(DATA, 0, number, message("x")[:3]),
            )
        for number in (1, 3):
            fields_heard, _ = await client.answer(number)
            assert fields_heard["grpc-status"] == "4"


async def test_a_connection_that_says_nothing_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http2_server, "_GREETING_S", 0.2)
    async with running("loop") as run, connected(run, greet=False) as client, connected(run) as other:
        client.send(PREFACE[:5])
        assert await asyncio.wait_for(client.reader.read(), 5)  # the settings, and the end
        other.send(*call(other, 1, "x"))
        assert said(await other.answer(1)) == "x"


_FLOODS = {
    "pings": frame(PING, 0, 0, bytes(8)),
    "answers to no ping": frame(PING, 1, 0, bytes(8)),
    "settings": frame(SETTINGS, 0, 0),
    "windows": frame(WINDOW_UPDATE, 0, 0, (1).to_bytes(4, "big")),
    "priorities": frame(PRIORITY, 0, 7, bytes(5)),
    "unknown frames": frame(0x77, 0, 0),
    "empty data": frame(DATA, 0, 1),
    "padding": frame(DATA, PADDED, 1, b"\x03abc"),
}


@pytest.mark.parametrize("name", _FLOODS)
async def test_floods_end_that_connection_alone(name: str) -> None:
    async with running("loop") as run, connected(run) as client, connected(run) as other:
        client.send(frame(HEADERS, END_HEADERS, 1, client.encoder.encode(REQUEST)))
        client.send(_FLOODS[name] * 5000)
        assert await client.until_gone() in CALM
        other.send(*call(other, 1, "x"))
        assert said(await other.answer(1)) == "x"


async def test_a_flood_of_continuations_ends_the_connection() -> None:
    async with running("loop") as run, connected(run) as client:
        client.send(frame(HEADERS, 0, 1), *[frame(CONTINUATION, 0, 1)] * 100)
        assert await client.until_gone() in CALM
    async with running("loop") as run, connected(run) as client:
        client.send(frame(HEADERS, 0, 1), *[frame(CONTINUATION, 0, 1, bytes(60_000))] * 3)
        assert await client.until_gone() in CALM


async def test_frames_that_calls_bring_along_are_no_flood() -> None:
    """Clients of grpc-core send windows and a ping around each call."""
    around = frame(PING, 0, 0, bytes(8)) + frame(WINDOW_UPDATE, 0, 0, (1).to_bytes(4, "big")) * 2
    async with running("loop") as run, connected(run) as client:
        for number in range(1, 4001, 2):
            head = frame(HEADERS, END_HEADERS, number, client.encoder.encode(REQUEST))
            client.send(around, head, frame(DATA, END_STREAM, number, message("x")))
            assert said(await client.answer(number)) == "x"


async def test_a_thousand_cancels_end_calls_and_not_the_connection() -> None:
    async with running("loop") as run, connected(run) as client:
        run.echo.behaviour = lambda value: asyncio.sleep(30) if value == "wait" else None
        for number in range(1, 2001, 2):
            client.send(*call(client, number, "wait"))
        await client.settle()
        client.send(*(frame(RST_STREAM, 0, number, (8).to_bytes(4, "big")) for number in range(1, 2001, 2)))
        client.send(*call(client, 2001, "x"))
        assert said(await client.answer(2001)) == "x"
        assert run.metrics.registry.get_sample_value("mizzen_chassis_server_in_flight") == 0


@pytest.mark.parametrize("size", [17_000, 64_000, 90_000])
async def test_metadata_over_the_limit_ends_the_call_and_not_the_connection(size: int) -> None:
    async with running("loop") as run, connected(run) as client:
        for number in (1, 3):
            large = client.encoder.encode([*REQUEST, ("x-large", "y" * size)], huffman=False)
            parts = [large[at : at + 16_384] for at in range(0, len(large), 16_384)]
            client.send(
                frame(HEADERS, 0, number, parts[0]), *(frame(CONTINUATION, 0, number, part) for part in parts[1:])
            )
            client.send(frame(CONTINUATION, END_HEADERS, number), frame(DATA, END_STREAM, number, message("x")))
            fields, _ = await client.answer(number)
            assert (fields["grpc-status"], fields["grpc-message"]) == ("8", "the metadata is larger than 16384 bytes")
        client.send(*call(client, 5, "x"))
        assert said(await client.answer(5)) == "x"


async def test_data_over_the_window_ends_the_call() -> None:
    async with running("loop", max_message_bytes=64 * 1024 * 1024) as run, connected(run) as client:
        fields = list((dict(REQUEST) | {":path": CHAT}).items())
        run.echo.behaviour = lambda _: asyncio.sleep(30)
        client.send(
            frame(HEADERS, END_HEADERS, 1, client.encoder.encode(fields)),
            *[frame(DATA, 0, 1, message("x" * 16_000))] * 600,
        )
        assert (await client.until_ended(1)).reset == "FLOW_CONTROL_ERROR"
        await client.settle()
        assert client.gone is None


async def test_a_large_answer_is_linear_and_stalls_nobody() -> None:
    """Sixteen times the bytes take about sixteen times as long (not 256), and another connection is served meanwhile."""
    async with running("loop", max_message_bytes=64 * 1024 * 1024) as run, connected(run) as other:

        async def taken_s(size: int) -> float:
            run.echo.padding = "x" * size
            async with peer(run.address, settings=struct.pack(">HI", 4, 2**16)) as client:
                fields = list((dict(REQUEST) | {":path": COUNT}).items())
                client.send(frame(WINDOW_UPDATE, 0, 0, (2**30).to_bytes(4, "big")))
                client.send(*call(client, 1, "1", fields))
                got, started = 0, time.monotonic()
                while got < size:
                    kind, _, number, payload = await client.frame()
                    if kind == DATA:
                        got += len(payload)
                        client.send(frame(WINDOW_UPDATE, 0, number, len(payload).to_bytes(4, "big")))
                return time.monotonic() - started

        small_s = min([await taken_s(3_900_000) for _ in range(3)])
        assert await taken_s(62_000_000) < 80 * small_s
        large = asyncio.create_task(taken_s(62_000_000))
        waits: list[float] = []
        number = 1
        while not large.done():
            before = time.monotonic()
            other.send(*call(other, number, "x"))
            assert said(await other.answer(number)) == "x"
            waits.append(time.monotonic() - before)
            number += 2
        assert len(waits) > 20
        assert statistics.median(waits) < await large / 20


async def test_many_may_connect_at_once() -> None:
    """While the loop is busy, the kernel keeps as many connections as the backlog says; 100 is asyncio's own."""
    async with running("loop") as run:
        host, _, port = run.address.rpartition(":")
        sockets = [socket.socket() for _ in range(600)]
        for one in sockets:
            one.settimeout(0.5)
            one.connect((host, int(port)))  # the loop takes none of them meanwhile
            one.close()


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
            honest.send(*call(honest, number, "x"))
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
        assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        await say(StringValue(value="x"), timeout=5)


async def test_a_broken_rule_is_logged_without_what_was_sent(capsys: pytest.CaptureFixture[str]) -> None:
    """hpack's own messages carry the block, and with it a key."""
    secret = b"\x00\x0dauthorization\x0bBearer-key1"
    async with running("loop") as run:
        for broken in (secret + b"\x80", secret[:-1], secret + b"\xff\xff"):
            async with connected(run) as client:
                client.send(frame(HEADERS, END_HEADERS, 1, broken))
                assert await client.until_gone() == "COMPRESSION_ERROR"
    said_out = capsys.readouterr().out
    assert said_out.count("a client broke the rules of HTTP/2") == 3
    assert "key1" not in said_out
