"""The public gRPC port: floods of one connection, bodies that stop, answers that nobody reads, and a large answer.

Floods and unfinished bodies meet the platform's gateway. Answers of megabytes are asked of the same server with a method of its
own, in a process apart (bench.edge.answering), once on each of its libraries.
"""

import asyncio
import statistics
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

from google.protobuf.wrappers_pb2 import Int64Value
from grpc import aio
from grpc_health.v1 import health_pb2, health_pb2_grpc

from bench.edge.answering import ANSWER
from bench.edge.flood import FLOODS
from bench.edge.memory import resident_mb
from bench.edge.model import Figure
from bench.edge.platform import Platform
from bench.edge.raw_grpc import RawGrpc, message

MB = 1024 * 1024
FLOOD_S, CALM_S, ROUNDS = 3.0, 3.0, 2
LARGE = 63 * MB - 64
_OPTIONS = [("grpc.max_receive_message_length", -1), ("grpc.use_local_subchannel_pool", 1)]
_INFER = "/inference.GRPCInferenceService/ModelInfer"


@asynccontextmanager
async def _others(address: str) -> AsyncIterator[list[float]]:
    """Seconds of another user's calls, two hundred a second at most, for as long as the block runs."""
    waits: list[float] = []
    over = asyncio.Event()

    async def ask() -> None:
        async with aio.insecure_channel(address, options=_OPTIONS) as channel:
            stub: Any = health_pb2_grpc.HealthStub(channel)
            while not over.is_set():
                before = time.perf_counter()
                await stub.Check(health_pb2.HealthCheckRequest(), timeout=30)
                waits.append(time.perf_counter() - before)
                await asyncio.sleep(0.005)

    asking = asyncio.create_task(ask())
    try:
        yield waits
    finally:
        over.set()
        await asking


async def _calm(address: str) -> float:
    async with _others(address) as waits:
        await asyncio.sleep(CALM_S)
    return statistics.median(waits)


async def _flooded(address: str, name: str) -> tuple[float, float, int]:
    """Medians of others just before and while somebody floods, and how many of the flood's connections were ended."""
    calm = await _calm(address)
    command = [sys.executable, "-m", "bench.edge.flood", name, address, str(FLOOD_S)]
    process = await asyncio.create_subprocess_exec(*command, stdout=subprocess.PIPE)
    assert process.stdout is not None
    await process.stdout.readline()  # its interpreter has started
    async with _others(address) as waits:
        await asyncio.sleep(FLOOD_S)
    ended = int(await process.stdout.readline())
    await process.wait()
    return calm, statistics.median(waits), ended


async def _floods(address: str) -> list[Figure]:
    figures = []
    for name in FLOODS:
        rounds = [await _flooded(address, name) for _ in range(ROUNDS)]
        calm, during, ended = min(rounds, key=lambda each: each[1] / each[0])  # neighbours only make it worse
        text = f"{during * 1e3:.1f} ms, {during / calm:.1f}x of {calm * 1e3:.1f} ms; {ended} connections ended"
        figures.append(Figure(f"a flood of {name}: others' median over gRPC", text, "≤ 2x", during <= 2 * calm))
    return figures


def _half_bodies(address: str, connections: int, streams: int) -> tuple[float, int]:
    """Sends bodies of 16 MB but for their last bytes, with no key; (seconds until all connections ended, bytes sent)."""
    raws = [RawGrpc(address) for _ in range(connections)]
    began, sent = time.monotonic(), 0
    bodies = []
    for raw in raws:
        raw.listen(0.05)
        bodies.append([raw.begin(_INFER) for _ in range(streams)])
        for stream in bodies[-1]:
            raw.body(stream, message(b"", 15 * MB))
    for _ in range(200):
        for raw, numbers in zip(raws, bodies, strict=True):
            if not raw.closed:
                sent += sum(raw.body(stream, bytes(65536)) for stream in numbers if stream not in raw.ended)
                raw.listen(0.002)
    while time.monotonic() - began < 40 and not all(
        raw.closed or raw.ended.issuperset(numbers) for raw, numbers in zip(raws, bodies, strict=True)
    ):
        for raw in raws:
            raw.listen(0.05)
    for raw in raws:
        raw.socket.close()
    return time.monotonic() - began, sent


async def _peak(pid: int, work: "asyncio.Future[Any]") -> float:
    most = resident_mb(pid)
    while not work.done():
        await asyncio.sleep(0.02)
        most = max(most, resident_mb(pid))
    return most


async def _unfinished(platform: Platform) -> list[Figure]:
    pid = platform.pid("gateway")
    before = resident_mb(pid)
    work = asyncio.ensure_future(asyncio.to_thread(_half_bodies, platform.grpc, 4, 12))
    most = await _peak(pid, work)
    seconds, sent = await work
    grew = most - before
    return [
        Figure(
            "48 unfinished bodies of 15 MB on 4 connections: the gateway grows by",
            f"{grew:.0f} MB ({sent / MB:.0f} MB were sent)", "≤ 256 MB", grew <= 256,
        ),
        Figure("… and the last of them is ended after", f"{seconds:.1f} s", "≤ 20 s", seconds <= 20),
    ]  # fmt: skip


@contextmanager
def _answering(kind: str) -> Iterator[tuple[str, int]]:
    """(address, process id) of a bench.edge.answering."""
    command = [sys.executable, "-m", "bench.edge.answering", kind]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield f"127.0.0.1:{int(process.stdout.readline())}", process.pid
        finally:
            process.kill()


async def _large(address: str, kind: str) -> list[Figure]:
    async with aio.insecure_channel(address, options=_OPTIONS) as channel:
        call = channel.unary_unary(ANSWER, Int64Value.SerializeToString)
        took = []
        async with _others(address) as waits:
            for _ in range(3):
                before = time.perf_counter()
                await call(Int64Value(value=LARGE), timeout=60)
                took.append(time.perf_counter() - before)
        seconds, median = statistics.median(took), statistics.median(waits)
    return [
        Figure(f"an answer of 63 MB ({kind})", f"{seconds:.2f} s", "≤ 3 s", seconds <= 3),
        Figure(f"… others' median meanwhile ({kind})", f"{median * 1e3:.1f} ms", "≤ 100 ms", median <= 0.1),
    ]


def _unread(address: str) -> float:
    """Asks for 60 answers of 10 MB into a window of nothing; seconds until the connection was ended."""
    began = time.monotonic()
    with RawGrpc(address, window=0) as raw:
        for _ in range(60):
            raw.call(ANSWER, Int64Value(value=10 * MB).SerializeToString())
        while not raw.closed and time.monotonic() - began < 60:
            raw.listen(0.1)
    return time.monotonic() - began


async def _unread_answers(address: str, pid: int, kind: str) -> list[Figure]:
    before = resident_mb(pid)
    work = asyncio.ensure_future(asyncio.to_thread(_unread, address))
    most = await _peak(pid, work)
    seconds, grew = await work, most - before
    return [
        Figure(
            f"60 answers of 10 MB that one connection does not read ({kind}): memory grows by",
            f"{grew:.0f} MB", "≤ 384 MB", grew <= 384,
        ),
        Figure(f"… and the connection is ended after ({kind})", f"{seconds:.1f} s", "≤ 20 s", seconds <= 20),
    ]  # fmt: skip


async def measure(platform: Platform) -> list[Figure]:
    """See the module."""
    figures = await _floods(platform.grpc)
    figures += await _unfinished(platform)
    for kind in ("grpcio", "native"):
        with _answering(kind) as (address, pid):
            figures += await _large(address, kind)
            figures += await _unread_answers(address, pid, kind)
    return figures
