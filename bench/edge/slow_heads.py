"""Clients of the REST port who send too slowly, too much, or do not read, as slowhttptest's -H, -B and -X do with 300 connections.

Raw sockets, so that nothing has to be installed. Predicts go on beside each attack from a process of their own, or they would wait
for the attackers' event loop; both on a core of their own, where there are two.
"""

import asyncio
import contextlib
import socket
import time
from collections.abc import Callable, Coroutine
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from typing import Any
from urllib.parse import urlsplit

import httpx2

from bench.edge.cores import apart
from bench.edge.memory import PREDICT, repeated, resident_mb
from bench.edge.model import Figure
from bench.edge.platform import Platform

CONNECTIONS, ALONE_S, LONGEST_S, PROMISED_S = 300, 12.0, 25.0, 15.5
PACE_S = 0.05
_ESTABLISHED = 1
HEAD = b"Host: localhost\r\nUser-Agent: slow\r\n"
LARGE = b"GET /docs/swagger-ui-bundle.js HTTP/1.1\r\n" + HEAD + b"\r\n"
# Answers when the client began to be too slow.
Slow = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Coroutine[Any, Any, float]]


async def slow_head(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> float:
    """A request whose headers never end, one a second."""
    writer.write(b"GET / HTTP/1.1\r\n" + HEAD)
    return await _trickle(reader, writer, b"X-Slow: 1\r\n")


async def slow_body(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> float:
    """A body that never ends, a byte a second."""
    fields = b"Content-Type: application/json\r\nContent-Length: 8192\r\n\r\n{"
    writer.write(b"POST /v1/labels HTTP/1.1\r\n" + HEAD + fields)
    return await _trickle(reader, writer, b" ")


async def slow_read(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> float:
    """A large answer three times, of which some 30 bytes a second are read. It is too slow from its first byte on."""
    began = time.perf_counter()
    with contextlib.suppress(ConnectionError):
        writer.write(LARGE * 3)
        await reader.read(32)
        began = time.perf_counter()
        # What has arrived already would be read for hours: whether the server has ended it, the kernel knows at once.
        connection = writer.get_extra_info("socket")
        while connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0] == _ESTABLISHED:
            await reader.read(6)
            await asyncio.sleep(0.2)
    return began


async def _trickle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, piece: bytes) -> float:
    began = time.perf_counter()
    with contextlib.suppress(ConnectionError):
        ended = asyncio.ensure_future(reader.read())
        while not ended.done():
            await asyncio.wait([ended], timeout=1)
            writer.write(piece)
            await writer.drain()
        await ended
    return began


ATTACKS: dict[str, Slow] = {"-H": slow_head, "-B": slow_body, "-X": slow_read}


async def _opened(rest: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """A connection whose client takes little at once."""
    address = urlsplit(rest)
    made = socket.socket()
    made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
    made.setblocking(False)
    await asyncio.get_running_loop().sock_connect(made, (address.hostname, address.port))
    return await asyncio.open_connection(sock=made, limit=64)


async def _lasted(rest: str, slow: Slow, after_s: float) -> float:
    """Seconds from when a client is too slow until the server closes its connection; infinite when it does not."""
    await asyncio.sleep(after_s)
    reader, writer = await _opened(rest)
    try:
        async with asyncio.timeout(LONGEST_S):
            began = await slow(reader, writer)
            return time.perf_counter() - began
    except TimeoutError:
        return float("inf")
    finally:
        writer.transport.abort()


def attack(rest: str, name: str) -> list[float]:
    """Seconds that each connection lasted.

    One after another begins within a second, as slowhttptest's -r 300: together they would hold up their own process.
    """

    async def all_of_them() -> list[float]:
        return await asyncio.gather(*(_lasted(rest, ATTACKS[name], each / CONNECTIONS) for each in range(CONNECTIONS)))

    return asyncio.run(all_of_them())


async def _paced(http: httpx2.AsyncClient, body: dict[str, Any], over: asyncio.Event) -> float:
    """p99 of single predicts, twenty a second, until `over`."""
    took: list[float] = []
    while not over.is_set():
        started = time.perf_counter()
        (await http.post(PREDICT, json=body)).raise_for_status()
        took.append(time.perf_counter() - started)
        await asyncio.sleep(PACE_S)
    return sorted(took)[int(len(took) * 0.99)]


async def _beside(work: Coroutine[Any, Any, Any], http: httpx2.AsyncClient, body: dict[str, Any]) -> tuple[Any, float]:
    """What the work answers, and the p99 of others meanwhile."""
    over = asyncio.Event()
    paced = asyncio.create_task(_paced(http, body, over))
    try:
        return await work, await _after(over, paced)
    finally:
        over.set()


async def _after(over: asyncio.Event, paced: "asyncio.Task[float]") -> float:
    over.set()
    return await paced


async def _flood(rest: str, first: bytes, piece: bytes, size: int) -> None:
    """Sends until all is sent or the server closes."""
    _, writer = await _opened(rest)
    with contextlib.suppress(ConnectionError):
        writer.write(first)
        for _ in range(0, size, len(piece)):
            writer.write(piece)
            await writer.drain()
    writer.transport.abort()


async def _grown_mb(pid: int, work: Coroutine[Any, Any, Any]) -> float:
    """By how much the process was larger meanwhile, MB."""
    before, most = resident_mb(pid), 0.0
    task = asyncio.ensure_future(work)
    while not task.done():
        await asyncio.wait([task], timeout=0.02)
        most = max(most, resident_mb(pid))
    await task
    return most - before


async def _half_sent(rest: str) -> None:
    """All connections send half of a body of 16 MB."""
    first = (
        b"POST /v1/labels HTTP/1.1\r\n" + HEAD + b"Content-Type: application/json\r\nContent-Length: 16000000\r\n\r\n"
    )
    await asyncio.gather(*(_flood(rest, first, b" " * 65_536, 8_000_000) for _ in range(CONNECTIONS)))


async def _attacked(rest: str) -> list[Figure]:
    figures: list[Figure] = []
    with ProcessPoolExecutor(1, get_context("spawn")) as pool:
        async with httpx2.AsyncClient(base_url=rest, timeout=30, headers={"x-request-timeout-ms": "20000"}) as http:
            body = repeated((await http.get("/v1/endpoints/flight-delay")).json()["example"], 1)
            (await http.get("/docs")).raise_for_status()
            _, alone_s = await _beside(asyncio.sleep(ALONE_S), http, body)
            for name in ATTACKS:
                work = asyncio.get_running_loop().run_in_executor(pool, attack, rest, name)
                lasted, p99_s = await _beside(_awaited(work), http, body)
                figures += _figures(name, lasted, p99_s, alone_s)
    return figures


def _figures(name: str, lasted: list[float], p99_s: float, alone_s: float) -> list[Figure]:
    title, closed = ATTACKS[name].__name__.replace("_", " "), sum(each <= PROMISED_S for each in lasted)
    slower = f"{p99_s * 1e3:.0f} ms, {p99_s / alone_s:.1f} × alone"
    return [
        Figure(
            f"{title} ({name}): connections closed, counted from when each is too slow",
            f"{closed} of {CONNECTIONS}, the last after {max(lasted):.1f} s",
            "300 within 15 s",
            closed == CONNECTIONS,
        ),
        Figure(f"{title}: p99 of others", slower, "≤ 2 × alone", p99_s <= 2 * alone_s),
    ]


async def measure(platform: Platform) -> list[Figure]:
    """See bench.edge.model.Probe."""
    rest, gateway = platform.rest, platform.pid("gateway")
    with apart(platform):
        figures = await _attacked(rest)
    start = b"GET / HTTP/1.1\r\n" + HEAD
    for name, first, piece, size in (
        ("one header of 200 MB", start + b"X-A: ", b"a" * 65_536, 200_000_000),
        ("40 MB of small headers", start, b"X-A: b\r\n" * 8_192, 40_000_000),
    ):
        mb = await _grown_mb(gateway, _flood(rest, first, piece, size))
        figures.append(Figure(f"memory for {name}", f"+{mb:.0f} MB", "≤ +32 MB", mb <= 32))
    mb = await _grown_mb(gateway, _half_sent(rest))
    figures.append(Figure(f"memory for {CONNECTIONS} halves of 16 MB bodies", f"+{mb:.0f} MB", "≤ +160 MB", mb <= 160))
    return figures


async def _awaited(work: "asyncio.Future[list[float]]") -> list[float]:
    return await work
