"""The public HTTP port on real sockets, against clients who send too much, too slowly, or what two servers read differently."""

import asyncio
import contextlib
import json
import socket
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from chassis.public.http import PublicHttp
from chassis.public.http_bounds import Headers, HttpBounds, PublicAsgi, TurnAway, nobody, rendered

GET = b"GET /a HTTP/1.1\r\nHost: x\r\n\r\n"
SHORT = HttpBounds(head_s=0.6, body_s=0.6, answer_s=0.6)


class Echo:
    """Answers what it was asked as JSON; /big answers 32 MB, /wait once `gate` is set, /deaf without reading the body."""

    def __init__(self) -> None:
        self.paths: list[str] = []
        self.left = 0
        self.gate = asyncio.Event()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        self.paths.append(scope["path"])
        body, more = b"", scope["path"] != "/deaf"
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                self.left += 1
                return
            body += message["body"]
            more = message["more_body"]
        if scope["path"] == "/wait":
            await self.gate.wait()
        names = [name.decode() for name, _ in scope["headers"]]
        answer = (
            b"x" * (32 << 20) if scope["path"] == "/big" else json.dumps([scope["method"], names, len(body)]).encode()
        )
        head = [(b"content-length", str(len(answer)).encode())]
        await send({"type": "http.response.start", "status": 200, "headers": head})
        await send({"type": "http.response.body", "body": answer})


class Client:
    """A connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def send(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    async def send_all(self, parts: list[bytes]) -> None:
        """Each part by itself."""
        for part in parts:
            await self.send(part)

    async def answer(self) -> tuple[int, bytes]:
        """The next answer."""
        head = await self.reader.readuntil(b"\r\n\r\n")
        length = int(head.lower().split(b"content-length:")[1].split(b"\r\n")[0])
        return int(head.split()[1]), await self.reader.readexactly(length)

    async def ended(self) -> bytes:
        """All that comes until the server closes."""
        got = bytearray()
        with contextlib.suppress(ConnectionError):
            while part := await self.reader.read(1 << 16):
                got += part
        return bytes(got)


class World:
    """A running port."""

    def __init__(self, app: Echo, server: PublicHttp) -> None:
        self.app = app
        self.server = server

    @contextlib.asynccontextmanager
    async def client(self, receive_bytes: int = 0, host: str = "") -> AsyncIterator[Client]:
        made = socket.socket()
        if host:
            made.bind((host, 0))
        if receive_bytes:
            made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
        made.setblocking(False)
        await asyncio.get_running_loop().sock_connect(made, ("127.0.0.1", self.server.port))
        reader, writer = await asyncio.open_connection(sock=made)
        async with asyncio.timeout(20):
            try:
                yield Client(reader, writer)
            finally:
                writer.transport.abort()

    async def asked(self, data: bytes) -> bytes:
        """What comes back until the server closes."""
        async with self.client() as client:
            await client.send(data)
            return await client.ended()


@contextlib.asynccontextmanager
async def world(
    bounds: HttpBounds = HttpBounds(),  # noqa: B008 - it is frozen
    turn_away: TurnAway = nobody,
) -> AsyncIterator[World]:
    app = Echo()
    server = PublicHttp(PublicAsgi(app, 0, bounds, turn_away=turn_away), "127.0.0.1", 1.0)
    await server.start()
    try:
        yield World(app, server)
    finally:
        app.gate.set()
        await server.stop()


POST = b"POST /a HTTP/1.1\r\nHost: x\r\n"
SMUGGLED = b"GET /smuggled HTTP/1.1\r\nHost: x\r\n\r\n"
MALFORMED = {
    "no host": b"GET /a HTTP/1.1\r\n\r\n",
    "no host in 1.0": b"GET /a HTTP/1.0\r\n\r\n",
    "two hosts": b"GET /a HTTP/1.1\r\nHost: x\r\nHost: x\r\n\r\n",
    "two origins": b"GET /a HTTP/1.1\r\nHost: x\r\nOrigin: http://evil.example\r\nOrigin: http://x\r\n\r\n",
    "two content types": POST + b"Content-Type: text/plain\r\nContent-Type: application/json\r\nContent-Length: 0\r\n\r\n",
    "two logins": b"GET /a HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer a\r\nAuthorization: Bearer b\r\n\r\n",
    "two keys": b"GET /a HTTP/1.1\r\nHost: x\r\nX-API-Key: a\r\nX-API-Key: b\r\n\r\n",
    "a host with a space": b"GET /a HTTP/1.1\r\nHost: x y\r\n\r\n",
    "a host with a path": b"GET /a HTTP/1.1\r\nHost: x/y\r\n\r\n",
    "two hosts in one": b"GET /a HTTP/1.1\r\nHost: x, y\r\n\r\n",
    "an empty host": b"GET /a HTTP/1.1\r\nHost:\r\n\r\n",
    "another host in the target": b"GET http://y/a HTTP/1.1\r\nHost: x\r\n\r\n",
    "length and encoding": POST + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + SMUGGLED,
    "encoding and length": POST + b"Transfer-Encoding: chunked\r\nContent-Length: 50\r\n\r\n0\r\n\r\n" + SMUGGLED,
    "two lengths": POST + b"Content-Length: 0\r\nContent-Length: 36\r\n\r\n" + SMUGGLED,
    "the same length twice": POST + b"Content-Length: 1\r\nContent-Length: 1\r\n\r\nx" + SMUGGLED,
    "lengths in a list": POST + b"Content-Length: 1, 1\r\n\r\nx" + SMUGGLED,
    "a length with a sign": POST + b"Content-Length: +1\r\n\r\nx" + SMUGGLED,
    "a length in hex": POST + b"Content-Length: 0x1\r\n\r\nx" + SMUGGLED,
    "a negative length": POST + b"Content-Length: -1\r\n\r\n" + SMUGGLED,
    "another encoding": POST + b"Transfer-Encoding: gzip\r\n\r\n" + SMUGGLED,
    "chunked is not the last": POST + b"Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n" + SMUGGLED,
    "an encoding almost chunked": POST + b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n" + SMUGGLED,
    "another encoding before it": POST + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n" + SMUGGLED,
    "two lines of encodings": POST + b"Transfer-Encoding: identity\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + SMUGGLED,
    "chunked twice": POST + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + SMUGGLED,
    "encoding in 1.0": b"POST /a HTTP/1.0\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + SMUGGLED,
    "bare line feeds": b"GET /a HTTP/1.1\nHost: x\n\n" + SMUGGLED,
    "a bare line feed": b"GET /a HTTP/1.1\r\nHost: x\nX-A: b\r\n\r\n" + SMUGGLED,
    "a bare carriage return": b"GET /a HTTP/1.1\r\nHost: x\rX-A: b\r\n\r\n" + SMUGGLED,
    "a folded header": b"GET /a HTTP/1.1\r\nHost: x\r\nX-A: b\r\n c\r\n\r\n" + SMUGGLED,
    "a folded first header": b"GET /a HTTP/1.1\r\n Host: x\r\n\r\n" + SMUGGLED,
    "a space before the colon": POST + b"Content-Length : 36\r\n\r\n" + SMUGGLED,
    "a header without a name": b"GET /a HTTP/1.1\r\nHost: x\r\n: b\r\n\r\n",
    "a NUL": b"GET /a HTTP/1.1\r\nHost: x\r\nX-A: a\0b\r\n\r\n",
    "a size that is no number": POST + b"Transfer-Encoding: chunked\r\n\r\nz\r\n\r\n" + SMUGGLED,
    "a size in 0x": POST + b"Transfer-Encoding: chunked\r\n\r\n0x1\r\na\r\n0\r\n\r\n" + SMUGGLED,
    "a size that overflows": POST + b"Transfer-Encoding: chunked\r\n\r\n1" + b"0" * 16 + b"\r\na\r\n0\r\n\r\n" + SMUGGLED,
    "a chunk longer than its size": POST + b"Transfer-Encoding: chunked\r\n\r\n1\r\nab\r\n0\r\n\r\n" + SMUGGLED,
    "a chunk ended by a line feed": POST + b"Transfer-Encoding: chunked\r\n\r\n1\na\n0\n\n" + SMUGGLED,
    "another version": b"GET /a HTTP/3.0\r\nHost: x\r\n\r\n",
    "no version": b"GET /a\r\n\r\n",
    "no request": b"hello\r\n\r\n",
    "HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "TLS": bytes.fromhex("16030100a5010000a10303") + b"\0" * 60,
}  # fmt: skip


def busy(_method: bytes, target: bytes, headers: Headers) -> tuple[int, bytes] | None:
    """Turns away what asks for /busy, but for who says that the app should see it."""
    if target != b"/busy" or (b"x-let-in", b"1") in headers:
        return None
    return 503, rendered([(b"retry-after", b"1")], b"busy")


async def test_what_two_servers_would_read_differently_is_refused() -> None:
    async with world() as here:
        for name, data in MALFORMED.items():
            told = await here.asked(data)
            assert told.startswith(b"HTTP/1.1 400 "), (name, told[:200])
            assert told.count(b"HTTP/1.1 400") == 1 and b"HTTP/1.1 200" not in told, (name, told)
            assert b"connection: close" in told.lower(), name
        assert "/smuggled" not in here.app.paths


async def test_what_two_servers_would_read_differently_ends_a_connection_whose_request_is_turned_away() -> None:
    async with world(turn_away=lambda *_: (503, rendered([], b"busy"))) as here:
        for name, data in MALFORMED.items():
            told = await here.asked(data)
            assert told.startswith((b"HTTP/1.1 400 ", b"HTTP/1.1 503 ")), (name, told[:200])
            assert told.count(b"HTTP/1.1 4") + told.count(b"HTTP/1.1 5") == 1, (name, told)
        assert here.app.paths == []


BUSY = b"POST /busy HTTP/1.1\r\nHost: x\r\n"
LET_IN = b"x-let-in: 1\r\n"


async def test_a_request_is_turned_away_by_its_head_and_the_connection_goes_on() -> None:
    async with world(turn_away=busy) as here, here.client() as client:
        for _ in range(3):
            await client.send(BUSY + b"Content-Length: 4\r\n\r\nbody")
            assert await client.answer() == (503, b"busy")
            await client.send(BUSY + b"Transfer-Encoding: chunked\r\n\r\n1\r\nb\r\n0\r\n\r\n")
            assert await client.answer() == (503, b"busy")
            await client.send(BUSY + LET_IN + b"Content-Length: 4\r\n\r\nbody")
            assert (await client.answer())[0] == 200
        assert here.app.paths == ["/busy"] * 3
        assert here.server._shared.held == 0


async def test_answers_keep_their_order_where_some_requests_of_a_pipeline_are_turned_away() -> None:
    turned, let_in = BUSY + b"Content-Length: 1\r\n\r\nx", BUSY + LET_IN + b"Content-Length: 1\r\n\r\nx"
    async with world(turn_away=busy) as here, here.client() as client:
        # Behind a request that is under way none is turned away, so that no answer overtakes another.
        await client.send(turned + turned + let_in + turned + GET)
        assert [(await client.answer())[0] for _ in range(5)] == [503, 503, 200, 200, 200]
        await client.send(turned + GET)
        assert [(await client.answer())[0] for _ in range(2)] == [503, 200]


async def test_who_is_turned_away_again_and_again_and_does_not_read_is_not_answered_without_end() -> None:
    async with world(turn_away=busy) as here, here.client(receive_bytes=4096) as client:
        sending = asyncio.create_task(client.send_all([(BUSY + b"Content-Length: 0\r\n\r\n") * 2000] * 200))
        connections: Any = here.server._shared.connections
        most = 0
        while not sending.done():
            most = max([most, *[each._gathering.kept() for each in connections]])
            await asyncio.sleep(0)
        with contextlib.suppress(ConnectionError):
            await sending
        assert most < 1 << 20
        assert here.app.paths == ["/busy"]  # whose answer waits for the client, and so do the requests behind it


@pytest.mark.parametrize(
    "head",
    [b"Content-Length: 1000", b"Content-Length: 1000\r\nExpect: 100-continue", b"Transfer-Encoding: chunked"],
    ids=["a length", "a question", "chunks"],
)
async def test_who_is_turned_away_before_the_body_is_not_waited_for(head: bytes) -> None:
    async with world(turn_away=busy) as here, here.client() as client:
        await client.send(BUSY + head + b"\r\n\r\n")
        assert await client.answer() == (503, b"busy")
        # The body comes all the same, and the connection goes on behind it.
        await client.send(b"4\r\nbody\r\n0\r\n\r\n" if b"chunked" in head else b"b" * 1000)
        await client.send(GET)
        assert (await client.answer())[0] == 200
        assert here.app.paths == ["/a"] and here.server._shared.held == 0


async def test_who_is_turned_away_has_the_same_time_for_the_body() -> None:
    async with world(SHORT, turn_away=busy) as here, here.client() as client:
        await client.send(BUSY + b"Content-Length: 1000\r\n\r\nb")
        assert await client.answer() == (503, b"busy")
        assert await client.ended() == b""


@pytest.mark.parametrize(
    "data",
    [
        b"POST /busy HTTP/1.0\r\nHost: x\r\nConnection: keep-alive\r\nContent-Length: 1\r\n\r\nx",
        BUSY + b"Connection: close\r\nContent-Length: 1\r\n\r\nx",
    ],
    ids=["1.0", "close"],
)
async def test_the_last_request_of_a_connection_is_the_apps_to_answer(data: bytes) -> None:
    async with world(turn_away=busy) as here:
        told = await here.asked(data)
        assert told.startswith(b"HTTP/1.1 200 ") and here.app.paths == ["/busy"]


async def test_a_draining_port_turns_nobody_away_unseen() -> None:
    async with world(turn_away=busy) as here, here.client() as client:
        here.server.drain()
        await client.send(BUSY + b"Content-Length: 1\r\n\r\nx")
        told = await client.ended()
        assert told.startswith(b"HTTP/1.1 200 ") and b"connection: close" in told.lower()


async def test_white_space_behind_a_value_is_no_part_of_it() -> None:
    async with world() as here, here.client() as client:
        await client.send(b"GET /a HTTP/1.1\r\nHost: localhost \t\r\n\r\n")
        assert (await client.answer())[0] == 200


async def test_names_with_underscores_and_trailers_reach_no_handler() -> None:
    async with world() as here, here.client() as client:
        await client.send(
            b"GET /a HTTP/1.1\r\nHost: x\r\nX_Mizzen_Identity: evil\r\ncontent_length: 5\r\nX-Kept: 1\r\n\r\n"
        )
        assert await client.answer() == (200, b'["GET", ["host", "x-kept"], 0]')
        await client.send(
            POST
            + b"Transfer-Encoding: chunked\r\nTrailer: Authorization\r\n\r\n2;a=b\r\nab\r\n0\r\nAuthorization: evil\r\n\r\n"
        )
        assert await client.answer() == (200, b'["POST", ["host", "transfer-encoding", "trailer"], 2]')


async def test_a_head_is_bounded_while_it_arrives() -> None:
    head = b"GET /a HTTP/1.1\r\nHost: x\r\nX-A: "
    whole = head + b"a" * (16 * 1024 - len(head) - 4) + b"\r\n\r\n"
    assert len(whole) == 16 * 1024
    async with world() as here:
        async with here.client() as client:
            for _ in range(3):
                await client.send(whole)
                assert (await client.answer())[0] == 200
            # Also where it comes behind another, in one write.
            await client.send(GET + whole)
            assert [(await client.answer())[0] for _ in range(2)] == [200, 200]
            await client.send(b"GET /a HTTP/1.1\r\nHost: x\r\n" + b"X-A: b\r\n" * 99 + b"\r\n")
            assert (await client.answer())[0] == 200
        for name, data in {
            "one long header that never ends": head + b"a" * (64 * 1024),
            "a byte too many": whole[:-4] + b"a\r\n\r\n",
            "one field too many": b"GET /a HTTP/1.1\r\nHost: x\r\n" + b"X-A: b\r\n" * 100 + b"\r\n",
            "many that end in nothing": b"GET /a HTTP/1.1\r\nHost: x\r\n" + b"a:\r\n" * 30_000,
            "many dropped ones": b"GET /a HTTP/1.1\r\nHost: x\r\n" + b"a_b:\r\n" * 101,
            "a long target": b"GET /" + b"a" * (20 * 1024),
            "a long name": b"GET /a HTTP/1.1\r\n" + b"a" * (20 * 1024),
            "empty lines": b"\r\n" * 20_000,
        }.items():
            told = await here.asked(data)
            assert told.startswith(b"HTTP/1.1 400 "), (name, told[:100])
            assert b"at most 16384 bytes and 100 fields" in told, name


async def test_of_an_endless_header_little_is_taken() -> None:
    async with world() as here, here.client() as client:
        sent = 0
        client.writer.write(b"GET /a HTTP/1.1\r\nHost: x\r\nX-A: ")
        with contextlib.suppress(ConnectionError):
            while sent < 200 << 20:
                await client.send(b"a" * 65_536)
                sent += 65_536
        assert sent < 32 << 20  # what the kernel keeps on both sides, and a megabyte that is thrown away
        assert here.server._shared.held == 0


@pytest.mark.parametrize("sent", [b"", b"GET /a HT", b"GET /a HTTP/1.1\r\nHost: x\r\n", b"\r\n"])
async def test_a_slow_head_is_ended(sent: bytes) -> None:
    async with world(SHORT) as here, here.client() as client:
        await client.send(sent)
        started = asyncio.get_running_loop().time()
        told = await client.ended()
        assert asyncio.get_running_loop().time() - started < 5
        assert told.startswith(b"HTTP/1.1 400 ") == (sent not in (b"", b"\r\n"))


async def test_a_head_that_trickles_is_ended() -> None:
    async with world(SHORT) as here, here.client() as client:
        ended = asyncio.ensure_future(client.ended())
        with contextlib.suppress(ConnectionError):
            while not ended.done():
                await client.send(b"X-A: b\r\n" if client.writer.transport.get_write_buffer_size() else b"G")
                await asyncio.wait([ended], timeout=0.05)
        assert here.app.paths == []


@pytest.mark.parametrize(
    "body", [b"Content-Length: 9\r\n\r\n", b"Content-Length: 9\r\n\r\nab", b"Transfer-Encoding: chunked\r\n\r\n1\r\n"]
)
async def test_a_slow_body_is_ended_and_the_app_is_told(body: bytes) -> None:
    async with world(SHORT) as here, here.client() as client:
        await client.send(POST + body)
        assert b"did not arrive within 0.6 s" in await client.ended()
        assert here.app.left == 1


async def test_a_body_that_nobody_reads_ends_as_well() -> None:
    async with world(SHORT) as here, here.client() as client:
        await client.send(b"POST /deaf HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\n")
        assert (await client.answer())[0] == 200
        ended = asyncio.ensure_future(client.ended())
        with contextlib.suppress(ConnectionError):
            while not ended.done():
                await client.send(b"a")
                await asyncio.wait([ended], timeout=0.05)


async def test_time_that_the_app_takes_is_not_the_clients() -> None:
    """The second request's body waits until the first one is answered, for longer than a body may take."""
    async with world(replace(SHORT, body_s=0.3)) as here, here.client() as client:
        await client.send(b"GET /wait HTTP/1.1\r\nHost: x\r\n\r\n" + POST + b"Content-Length: 3\r\n\r\na")
        await client.send(b"bc")
        asyncio.get_running_loop().call_later(1.5, here.app.gate.set)
        assert (await client.answer())[0] == 200
        assert await client.answer() == (200, b'["POST", ["host", "content-length"], 3]')


async def test_chunk_extensions_and_trailers_are_bounded() -> None:
    chunked = POST + b"Transfer-Encoding: chunked\r\n\r\n"
    async with world() as here:
        for name, data in {
            "an endless extension": b"1;" + b"a" * 60_000,
            "an extension on each chunk": b"1;aaaaaaaaaaaaaaaaaaaaaaaa\r\nx\r\n" * 4_000,
            "zeros before each size": b"00000000000001\r\nx\r\n" * 4_000,
            "an endless trailer": b"1\r\nx\r\n0\r\nA: " + b"a" * 60_000,
            "many trailers": b"1\r\nx\r\n0\r\n" + b"A: b\r\n" * 12_000,
        }.items():
            told = await here.asked(chunked + data)
            assert told.startswith(b"HTTP/1.1 400 "), (name, told[:100])
            assert b"chunk extensions and trailers" in told, name
        async with here.client() as client:
            await client.send(chunked + b"1\r\nx\r\n" * 65_537 + b"0\r\n\r\n")
            assert json.loads((await client.answer())[1])[2] == 65_537
            await client.send(GET)
            assert (await client.answer())[0] == 200


async def test_a_client_that_takes_nothing_of_its_answer_is_dropped() -> None:
    async with world(SHORT) as here, here.client(4096) as client, here.client() as other:
        client.reader._transport.pause_reading()  # type: ignore[attr-defined]  # nothing is read, as by a client that stalls
        await client.send(b"GET /big HTTP/1.1\r\nHost: x\r\n\r\n")
        await other.send(b"GET /big HTTP/1.1\r\nHost: x\r\n\r\n")
        assert len((await other.answer())[1]) == 32 << 20
        async with asyncio.timeout(10):
            while len(here.server._shared.connections) > 1:
                await asyncio.sleep(0.02)
        assert here.server._shared.held == 0
        # The kernel keeps nothing for the client either: it was reset.
        state = client.writer.get_extra_info("socket").getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)
        assert state != b"\x01"
        await other.send(GET)
        assert (await other.answer())[0] == 200


async def test_the_time_for_an_answer_counts_from_its_first_byte_and_not_from_when_it_is_looked_at() -> None:
    async with world() as here, here.client(4096) as client:
        client.reader._transport.pause_reading()  # type: ignore[attr-defined]
        await client.send(b"GET /big HTTP/1.1\r\nHost: x\r\n\r\n")
        connection: Any = next(iter(here.server._shared.connections))
        while connection._gathering.written < 1 << 20:
            await asyncio.sleep(0)
        began = asyncio.get_running_loop().time()
        for seconds in (1.0, 13.9):
            connection.look(began + seconds)
            assert not connection.transport.is_closing()
        connection.look(began + 14.6)
        assert connection.transport.is_closing()


async def test_answers_that_nobody_takes_are_bounded_together() -> None:
    bounds = HttpBounds(buffered_bytes=64 << 20)
    async with world(bounds) as here, contextlib.AsyncExitStack() as stack:
        for _ in range(12):
            client = await stack.enter_async_context(here.client(4096))
            client.reader._transport.pause_reading()  # type: ignore[attr-defined]
            await client.send(b"GET /big HTTP/1.1\r\nHost: x\r\n\r\n")
        async with asyncio.timeout(10):
            while here.app.paths.count("/big") < 12 or len(here.server._shared.connections) > 3:
                await asyncio.sleep(0.02)
        assert 0 < here.server._shared.held <= 64 << 20


async def test_the_kernel_is_given_little_of_an_answer_that_nobody_reads() -> None:
    async with world() as here, here.client(receive_bytes=4096) as client:
        await client.send(b"GET /big HTTP/1.1\r\nHost: x\r\n\r\n")
        connection: Any = next(iter(here.server._shared.connections))
        while connection._gathering.written < 32 << 20:
            await asyncio.sleep(0)
        connection._gathering.flush()
        assert connection._gathering.kept() > 31 << 20  # it took 2.5 MB of it


async def test_unfinished_bodies_are_bounded_together_and_the_largest_goes() -> None:
    bounds = HttpBounds(buffered_bytes=1 << 20)
    async with world(bounds) as here, contextlib.AsyncExitStack() as stack:
        small = await stack.enter_async_context(here.client())
        await small.send(POST + b"Content-Length: 20000\r\n\r\n" + b"a" * 19_000)
        clients = [await stack.enter_async_context(here.client()) for _ in range(8)]
        for client in clients:
            with contextlib.suppress(ConnectionError):
                await client.send(POST + b"Content-Length: 900000\r\n\r\n" + b"a" * 450_000)
        ends = [asyncio.ensure_future(client.ended()) for client in clients]
        done, left = await asyncio.wait(ends, timeout=5, return_when=asyncio.FIRST_COMPLETED)
        while len(done) < 7:  # two would keep less than the bound, and cost more than it
            more, left = await asyncio.wait(left, timeout=5, return_when=asyncio.FIRST_COMPLETED)
            assert more
            done |= more
        assert here.server._shared.held <= 1 << 20
        assert any(b"too many bytes" in end.result() for end in done)
        await small.send(b"a" * 1000)
        assert json.loads((await small.answer())[1])[2] == 20_000
        for end in left:
            end.cancel()


async def test_connections_are_bounded_and_the_idle_make_room() -> None:
    async with world(HttpBounds(connections=4)) as here, contextlib.AsyncExitStack() as stack:
        first, *others = [await stack.enter_async_context(here.client()) for _ in range(4)]
        for client in (first, *others):
            await client.send(GET)
            assert (await client.answer())[0] == 200
        async with here.client() as fifth:
            await fifth.send(GET)
            assert (await fifth.answer())[0] == 200
        assert await first.ended() == b""
        waiting = [*others, await stack.enter_async_context(here.client())]
        for client in waiting:
            await client.send(b"GET /wait HTTP/1.1\r\nHost: x\r\n\r\n")
        async with asyncio.timeout(5):
            while here.app.paths.count("/wait") < 4:
                await asyncio.sleep(0.01)
        assert b"too many connections" in await here.asked(GET)
        here.app.gate.set()
        assert [(await client.answer())[0] for client in waiting] == [200] * 4


@pytest.mark.parametrize("sent", [b"", GET, b"GET /a HT"], ids=["nothing", "a request", "half a head"])
async def test_one_address_that_fills_the_port_keeps_nobody_else_out(sent: bytes) -> None:
    async with world(HttpBounds(connections=8)) as here, contextlib.AsyncExitStack() as stack:
        honest = await stack.enter_async_context(here.client())
        await honest.send(GET)
        assert (await honest.answer())[0] == 200
        ends: list[asyncio.Task[bytes]] = []
        for _ in range(7):
            client = await stack.enter_async_context(here.client(host="127.0.0.2"))
            await client.send(sent)
            ends.append(asyncio.create_task(client.ended()))
        async with asyncio.timeout(5):
            while here.app.paths.count("/a") < 1 + 7 * (sent == GET):
                await asyncio.sleep(0.01)
        for another in (1, 2, 3):
            client = await stack.enter_async_context(here.client())
            await client.send(GET)
            assert (await client.answer())[0] == 200
            await asyncio.wait(ends[:another], timeout=5)
            assert sum(end.done() for end in ends) == another
        await honest.send(GET)  # idle for longer than any of them
        assert (await honest.answer())[0] == 200


async def test_a_connection_is_kept_for_a_while_after_its_last_answer_and_no_longer() -> None:
    async with world(HttpBounds(head_s=3.0, idle_s=0.6)) as here, here.client() as client:
        loop = asyncio.get_running_loop()
        for target in (b"/a", b"/wait"):  # a request under way for longer than that is no idle connection
            await client.send(b"GET %b HTTP/1.1\r\nHost: x\r\n\r\n" % target)
            loop.call_later(1.0, here.app.gate.set)
            assert (await client.answer())[0] == 200
        answered = loop.time()
        assert await client.ended() == b""
        assert 0.6 <= loop.time() - answered + 0.05 < 3.0


async def test_pipelined_requests_are_bounded_and_answered_in_order() -> None:
    async with world() as here:
        async with here.client() as client:
            await client.send(b"".join(b"GET /%d HTTP/1.1\r\nHost: x\r\n\r\n" % n for n in range(40)))
            assert [(await client.answer())[0] for _ in range(40)] == [200] * 40
            assert here.app.paths == [f"/{n}" for n in range(40)]
        async with here.client() as client:
            await client.send(GET * 400)
            await client.ended()
        assert len(here.app.paths) < 40 + 3
        async with here.client() as client:
            # Large ones: they wait in the kernel, not here.
            large = POST + b"Content-Length: 100000\r\n\r\n" + b"a" * 100_000
            sending = asyncio.ensure_future(client.send(large * 40))
            assert [json.loads((await client.answer())[1])[2] for _ in range(40)] == [100_000] * 40
            await sending
        assert here.server._shared.held == 0


async def test_no_other_protocol_is_taken_up_and_no_body_becomes_a_request() -> None:
    async with world() as here:
        async with here.client() as client:
            for protocol in (b"websocket", b"h2c", b"x"):
                await client.send(
                    b"GET /a HTTP/1.1\r\nHost: x\r\nConnection: upgrade\r\nUpgrade: " + protocol + b"\r\n\r\n" + GET
                )
                assert [(await client.answer())[0] for _ in range(2)] == [200, 200]
        upgrade = POST + b"Connection: Upgrade\r\nUpgrade: h2c\r\n"
        for body in (b"Content-Length: 36\r\n\r\n", b"Transfer-Encoding: chunked\r\n\r\n24\r\n"):
            assert (await here.asked(upgrade + body + SMUGGLED)).startswith(b"HTTP/1.1 400 ")
        assert "/smuggled" not in here.app.paths


async def test_it_does_not_matter_where_requests_are_cut() -> None:
    found: list[tuple[list[int], list[int]]] = []

    @settings(max_examples=60, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(st.lists(st.sampled_from([0, 1, 10, 5_000, 40_000, 70_000]), min_size=1, max_size=6),
           st.lists(st.integers(1, 60_000), max_size=6))  # fmt: skip
    def collect(sizes: list[int], cuts: list[int]) -> None:
        found.append((sizes, cuts))

    collect()
    async with world() as here:
        for sizes, cuts in found:
            data = b""
            for turn, size in enumerate(sizes):
                if turn % 2:
                    data += POST + b"Content-Length: %d\r\n\r\n" % size + b"a" * size
                else:
                    chunk = b"%x\r\n" % size + b"a" * size + b"\r\n" if size else b""
                    data += POST + b"Transfer-Encoding: chunked\r\n\r\n" + chunk + b"0\r\n\r\n"
            parts, rest = [], data
            for cut in cuts:
                parts.append(rest[:cut])
                rest = rest[cut:]
            async with here.client() as client:
                sending = asyncio.ensure_future(client.send_all([*parts, rest]))
                assert [json.loads((await client.answer())[1])[2] for _ in sizes] == sizes
                await sending
        assert here.server._shared.held == 0


PIECES = [
    GET, POST, b"\r\n", b"Content-Length: 3\r\n", b"Transfer-Encoding: chunked\r\n", b"0", b"\0", b"abc", b"Host: x\r\n",
    b"ffffffff\r\n", b": ", b"Upgrade: x\r\nConnection: upgrade\r\n",
]  # fmt: skip


async def test_no_bytes_at_all_keep_others_out() -> None:
    found: list[bytes] = []

    @settings(max_examples=150, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(st.lists(st.sampled_from(PIECES) | st.binary(max_size=8), max_size=14))
    def collect(parts: list[bytes]) -> None:
        found.append(b"".join(parts))

    collect()
    async with world(SHORT) as here, contextlib.AsyncExitStack() as stack:
        for data in found:
            client = await stack.enter_async_context(here.client())
            await client.send(data)
        async with here.client() as client:
            await client.send(GET)
            assert (await client.answer())[0] == 200
        async with asyncio.timeout(15):
            while here.server._shared.held:
                await asyncio.sleep(0.05)
