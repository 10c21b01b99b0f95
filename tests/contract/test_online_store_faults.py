"""What callers see when Valkey stops, stalls or is restarted: an answer within the time given, never a hang."""

import asyncio
import socket
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest
import uvloop

from chassis.errors import Unavailable
from features.adapters.valkey_online import ValkeyOnlineStore
from tests.contract.test_online_store import keys_of, rows_of

pytestmark = pytest.mark.engines


@pytest.fixture
async def store(valkey: str) -> AsyncIterator[ValkeyOnlineStore]:
    made = ValkeyOnlineStore(valkey, max_in_flight=64, stalled_s=0.4)
    await made.start()
    await made.ping(2.0)
    yield made
    await made.close()


async def until_it_answers(store: ValkeyOnlineStore, within_s: float) -> None:
    end = time.monotonic() + within_s
    while True:
        try:
            await store.read(keys_of("N1"), 0.5)
            return
        except Unavailable:
            assert time.monotonic() < end, "the store did not come back"
            await asyncio.sleep(0.02)


async def test_nothing_listens() -> None:
    store = ValkeyOnlineStore("redis://127.0.0.1:1/0")
    await store.start()
    start = time.monotonic()
    with pytest.raises(Unavailable):
        await store.read(keys_of("N1"), 0.3)
    assert time.monotonic() - start < 0.6
    await store.close()


async def test_a_stalled_store_fails_within_the_deadline(store: ValkeyOnlineStore, valkey_server: Any) -> None:
    valkey_server.pause()
    try:
        for _ in range(4):
            start = time.monotonic()
            with pytest.raises(Unavailable):
                await store.read(keys_of("N1"), 0.15)
            assert time.monotonic() - start < 0.4
    finally:
        valkey_server.resume()
    await until_it_answers(store, 5.0)


class Busy(asyncio.Protocol):
    """Another caller's work, done where its bytes arrive: it holds the loop longer than a read may take."""

    def data_received(self, data: bytes) -> None:
        time.sleep(0.05)


def test_a_busy_process_does_not_blame_the_store(valkey: str) -> None:
    async def read() -> None:
        store = ValkeyOnlineStore(valkey)
        await store.start()
        await store.ping(2.0)
        ours, theirs = socket.socketpair()
        await asyncio.get_running_loop().create_connection(Busy, sock=theirs)
        try:
            for _ in range(10):
                reading = asyncio.ensure_future(store.read(keys_of("N1"), 0.02))
                await asyncio.sleep(0)
                ours.send(b"x")  # looked at before the store has answered
                assert await reading == [None]
        finally:
            ours.close()
            await store.close()

    # As services run: this loop looks at its timers before its sockets, asyncio's own the other way round.
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(read())


async def test_a_stalled_store_is_not_fed_without_bound(store: ValkeyOnlineStore, valkey_server: Any) -> None:
    valkey_server.pause()
    try:
        calls = [store.read(keys_of("N1"), 0.2) for _ in range(200)]
        outcomes = await asyncio.gather(*calls, return_exceptions=True)
    finally:
        valkey_server.resume()
    reasons = [outcome.reason for outcome in outcomes if isinstance(outcome, Unavailable)]
    assert len(reasons) == 200
    assert reasons.count("ONLINE_STORE_OVERLOADED") >= 100
    await until_it_answers(store, 5.0)


async def test_a_killed_store_comes_back(store: ValkeyOnlineStore, valkey_server: Any) -> None:
    await store.write(keys_of("N1"), rows_of((1, 1)), 2.0)
    reads = [asyncio.ensure_future(store.read(keys_of("N1"), 0.5)) for _ in range(5)]
    valkey_server.kill()
    await asyncio.gather(*reads, return_exceptions=True)
    start = time.monotonic()
    with pytest.raises(Unavailable):
        await store.read(keys_of("N1"), 0.3)
    assert time.monotonic() - start < 0.6
    valkey_server.start()
    await until_it_answers(store, 10.0)


async def test_cancelled_callers_leave_the_others_alone(store: ValkeyOnlineStore) -> None:
    keys = keys_of(*(f"N{i}" for i in range(10)))
    rows = rows_of(*((1, i) for i in range(10)))
    await store.write(keys, rows, 2.0)
    for _ in range(20):
        calls = [asyncio.ensure_future(store.read([key], 2.0)) for key in keys]
        await asyncio.sleep(0)
        for call in calls[::2]:
            call.cancel()
        outcomes = await asyncio.gather(*calls, return_exceptions=True)
        assert outcomes[1::2] == [[row] for row in rows[1::2]]


async def test_one_tick_is_one_write(store: ValkeyOnlineStore) -> None:
    """Concurrent reads of one loop tick leave in a single write to the socket."""
    (node,) = store._nodes.values()
    assert node._wire is not None
    transport = node._wire._transport
    writes: list[bytes] = []

    class Spy:
        def write(self, data: bytes) -> None:
            writes.append(data)
            assert transport is not None
            transport.write(data)

        def abort(self) -> None:
            assert transport is not None
            transport.abort()

    node._wire._transport = Spy()  # type: ignore[assignment]
    await asyncio.gather(*(store.read(keys_of(f"N{i}"), 2.0) for i in range(32)))
    node._wire._transport = transport
    assert len(writes) == 1
    assert writes[0].count(b"MGET") == 32
