"""A cluster of two nodes: every key at its owner in one round trip, and slots that move are followed."""

import asyncio
import secrets
import socket
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import hiredis
import pytest

from chassis.errors import Unavailable
from cli.machine.engines import valkey as valkey_engine
from features.adapters.valkey_online import SLOTS, ValkeyOnlineStore, slot_of
from tests.contract.test_online_store import keys_of, rows_of, until_it_answers
from tests.engines import RunningEngine, free_ports

pytestmark = pytest.mark.engines
PASSWORD = secrets.token_hex(16)


def command(port: int, *parts: str | int | bytes) -> Any:
    reader = hiredis.Reader()
    with socket.create_connection(("127.0.0.1", port), timeout=5) as connection:
        connection.sendall(f"AUTH {PASSWORD}\r\n".encode())
        assert connection.recv(5) == b"+OK\r\n"
        connection.sendall(hiredis.pack_command(parts))  # type: ignore[arg-type]  # a tuple of any length
        while (reply := reader.gets()) is False:
            reader.feed(connection.recv(65536))
    if isinstance(reply, Exception):
        raise reply
    return reply


@pytest.fixture
def nodes(tmp_path: Path) -> Iterator[list[int]]:
    """Ports of two nodes; the first owns the lower half of the slots."""
    ports = free_ports(2, also=10_000)
    file = tmp_path / "password"
    file.write_text(PASSWORD)
    engines = [
        RunningEngine(
            valkey_engine.spec(port, tmp_path / str(port), password_file=file, cluster=True), tmp_path / f"{port}.log"
        )
        for port in ports
    ]
    try:
        for engine in engines:
            engine.start()
        command(ports[0], "CLUSTER", "ADDSLOTSRANGE", 0, SLOTS // 2 - 1)
        command(ports[1], "CLUSTER", "ADDSLOTSRANGE", SLOTS // 2, SLOTS - 1)
        command(ports[0], "CLUSTER", "MEET", "127.0.0.1", ports[1])
        until_all_agree(ports)
        yield ports
    finally:
        for engine in engines:
            engine.stop()


def until_all_agree(ports: list[int]) -> None:
    end = time.monotonic() + 20
    while not all(b"cluster_state:ok" in command(port, "CLUSTER", "INFO") for port in ports):
        assert time.monotonic() < end, "the nodes did not find each other"
        time.sleep(0.05)


@pytest.fixture
async def store(nodes: list[int]) -> AsyncIterator[ValkeyOnlineStore]:
    made = ValkeyOnlineStore(f"redis://:{PASSWORD}@127.0.0.1:{nodes[0]}/0")
    await made.start()
    await until_it_answers(made)
    yield made
    await made.close()


async def test_both_nodes_are_asked_and_slots_are_followed(store: ValkeyOnlineStore, nodes: list[int]) -> None:
    keys = keys_of(*(f"N{i}" for i in range(400)))
    rows = rows_of(*((i, i) for i in range(400)))
    assert await store.write(keys, rows, 5.0) == 400
    assert await store.read(keys, 5.0) == rows
    sizes = [command(port, "DBSIZE") for port in nodes]
    assert sum(sizes) == 400
    assert min(sizes) > 100

    key = next(key for key in keys if slot_of(key) < SLOTS // 2)
    slot, place = slot_of(key), keys.index(key)
    ids = [command(port, "CLUSTER", "MYID").decode() for port in nodes]
    command(nodes[1], "CLUSTER", "SETSLOT", slot, "IMPORTING", ids[0])
    command(nodes[0], "CLUSTER", "SETSLOT", slot, "MIGRATING", ids[1])
    own = [each for each in keys if slot_of(each) == slot]
    command(nodes[0], "MIGRATE", "127.0.0.1", nodes[1], "", 0, 5000, "AUTH", PASSWORD, "KEYS", *own)
    # The slot is on its way: its old owner answers ASK.
    assert await store.read([key], 5.0) == [rows[place]]
    assert await store.write([key], rows_of((9_000, 1)), 5.0) == 1
    assert await store.write([key], rows_of((8_000, 2)), 5.0) == 0
    for port in reversed(nodes):
        command(port, "CLUSTER", "SETSLOT", slot, "NODE", ids[1])
    # It has moved: MOVED is followed, and then known.
    rows[place] = rows_of((9_000, 1))[0]
    assert await store.read(keys, 5.0) == rows
    await asyncio.sleep(0)
    assert await store.read(keys, 5.0) == rows


async def test_a_silent_node_fails_within_the_deadline(store: ValkeyOnlineStore, nodes: list[int]) -> None:
    keys = keys_of(*(f"N{i}" for i in range(50)))
    await store.write(keys, rows_of(*((1, i) for i in range(50))), 5.0)
    start = time.monotonic()
    command(nodes[1], "CLIENT", "PAUSE", 2000, "ALL")
    with pytest.raises(Unavailable):
        await store.read(keys, 0.3)
    assert time.monotonic() - start < 1.0
