"""RecordStream: one suite for the double in memory and Valkey; what only Valkey can break is below."""

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest
import redis.asyncio as redis

from chassis.errors import Unavailable
from monitoring.adapters.valkey_stream import GROUP, KEY, ValkeyStream
from tests.engines import RunningEngine
from tests.fakes.monitoring_ports import MemoryStream

KINDS = ["memory", pytest.param("valkey", marks=pytest.mark.engines)]


class ValkeyBench:
    """A consumer, and what a gateway does to its stream."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.client = redis.from_url(url)
        self.stream = ValkeyStream(url, "monitoring-0", block_ms=20)

    async def add(self, payload: bytes) -> None:
        await self.client.xadd(KEY, {"b": payload})

    async def crash(self) -> None:
        await self.stream.close()
        self.stream = ValkeyStream(self.url, "monitoring-0", block_ms=20)

    async def close(self) -> None:
        await self.stream.close()
        await self.client.aclose()


class MemoryBench:
    def __init__(self) -> None:
        self.stream = MemoryStream()

    async def add(self, payload: bytes) -> None:
        self.stream.add(payload)

    async def crash(self) -> None:
        self.stream.crash()


@pytest.fixture(params=KINDS)
async def bench(request: pytest.FixtureRequest) -> AsyncIterator[Any]:
    if request.param == "memory":
        yield MemoryBench()
        return
    made = ValkeyBench(request.getfixturevalue("valkey"))
    await made.stream.ensure_group()
    yield made
    await made.close()


async def test_entries_come_once_and_in_order(bench: Any) -> None:
    for n in range(5):
        await bench.add(b"%d" % n)
    found = await bench.stream.read()
    assert [each.payload for each in found] == [b"0", b"1", b"2", b"3", b"4"]
    assert await bench.stream.lag() == (0, 5)
    assert await bench.stream.read() == []
    await bench.stream.ack([each.entry_id for each in found])
    assert await bench.stream.lag() == (0, 0)


async def test_what_was_not_acknowledged_comes_again_after_a_crash(bench: Any) -> None:
    await bench.add(b"one")
    await bench.add(b"two")
    first = await bench.stream.read()
    await bench.stream.ack([first[0].entry_id])
    await bench.crash()
    await bench.add(b"three")
    again = await bench.stream.read()
    assert [(each.payload, each.again) for each in again] == [(b"two", True)]
    await bench.stream.ack([again[0].entry_id])
    assert [each.payload for each in await bench.stream.read()] == [b"three"]


@pytest.fixture
async def valkey_bench(valkey: str) -> AsyncIterator[ValkeyBench]:
    made = ValkeyBench(valkey)
    await made.stream.ensure_group()
    yield made
    await made.close()


@pytest.mark.engines
async def test_the_group_may_exist_already(valkey_bench: ValkeyBench) -> None:
    await valkey_bench.stream.ensure_group()


@pytest.mark.engines
async def test_entries_of_a_dead_consumer_are_taken_over(valkey: str, valkey_bench: ValkeyBench) -> None:
    await valkey_bench.add(b"one")
    assert len(await valkey_bench.stream.read()) == 1
    other = ValkeyStream(valkey, "monitoring-1", block_ms=20, dead_ms=0)
    found = await other.read()
    assert [(each.payload, each.again) for each in found] == [(b"one", True)]
    await other.ack([found[0].entry_id])
    assert await other.lag() == (0, 0)
    await other.close()


@pytest.mark.engines
async def test_entries_that_were_trimmed_unread_do_not_stop_it(valkey_bench: ValkeyBench) -> None:
    await valkey_bench.add(b"one")
    await valkey_bench.stream.read()
    await valkey_bench.client.xtrim(KEY, maxlen=0)
    await valkey_bench.crash()
    await valkey_bench.add(b"two")
    found = await valkey_bench.stream.read() or await valkey_bench.stream.read()
    assert [each.payload for each in found] == [b"two"]


@pytest.mark.engines
async def test_what_is_done_leaves_the_stream(valkey_bench: ValkeyBench) -> None:
    for _ in range(500):
        await valkey_bench.add(b"x" * 100)
    while found := await valkey_bench.stream.read():
        await valkey_bench.stream.ack([each.entry_id for each in found])
    await valkey_bench.stream.lag()
    assert await valkey_bench.client.xlen(KEY) < 200


@pytest.mark.engines
async def test_a_store_that_lost_everything_is_started_from_anew(valkey_bench: ValkeyBench) -> None:
    await valkey_bench.client.flushall()
    assert await valkey_bench.stream.read() == []
    await valkey_bench.add(b"one")
    assert [each.payload for each in await valkey_bench.stream.read()] == [b"one"]
    assert (await valkey_bench.client.xinfo_groups(KEY))[0]["name"] == GROUP.encode()


@pytest.mark.engines
@pytest.mark.parametrize("stalled", [False, True])
async def test_a_lost_or_stalled_store_is_unavailable_and_works_again(
    valkey_bench: ValkeyBench, valkey_server: RunningEngine, stalled: bool
) -> None:
    await valkey_bench.stream.read()
    if stalled:
        valkey_server.pause()
    else:
        valkey_server.kill()
    try:
        started = time.monotonic()
        with pytest.raises(Unavailable) as caught:
            await valkey_bench.stream.read()
        assert time.monotonic() - started < 5
        assert caught.value.reason == "RECORD_STREAM_DOWN"
    finally:
        if stalled:
            valkey_server.resume()
        else:
            valkey_server.start()
    deadline = time.monotonic() + 10
    while True:
        try:
            await valkey_bench.add(b"after")
            break
        except (redis.RedisError, OSError):
            assert time.monotonic() < deadline
            await asyncio.sleep(0.05)
    found: list[Any] = []
    while not found:
        assert time.monotonic() < deadline
        try:
            found = await valkey_bench.stream.read()
        except Unavailable:
            await asyncio.sleep(0.05)
    assert found[-1].payload == b"after"
