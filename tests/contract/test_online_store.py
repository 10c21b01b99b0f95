"""One suite for the fake store, a standalone Valkey and one with cluster-enabled: the same rules on all three."""

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from chassis.errors import Unavailable
from features.adapters.valkey_online import ValkeyOnlineStore
from features.domain.keys import entity_tags, row_keys
from features.domain.rows import Layout, event_timestamp_us
from tests.fakes.online_store import FakeOnlineStore

LAYOUT = Layout([("value", "INT64", "<i8")])


def rows_of(*pairs: tuple[int, int]) -> list[bytes]:
    """Packed rows of (event timestamp µs, value)."""
    instants = np.array([instant for instant, _ in pairs], np.int64)
    return LAYOUT.encode(instants, [np.array([value for _, value in pairs])], [None])


def keys_of(*entities: str, view: str = "plane", tenant: str = "default") -> list[bytes]:
    return row_keys(entity_tags(tenant, ["tailnum"], [entities]), view)


@pytest.fixture(params=["fake", "standalone", "cluster"])
async def store(request: pytest.FixtureRequest) -> AsyncIterator[Any]:
    made: Any
    if request.param == "fake":
        made = FakeOnlineStore()
    else:
        made = ValkeyOnlineStore(
            request.getfixturevalue("valkey" if request.param == "standalone" else "valkey_cluster")
        )
    await made.start()
    await until_it_answers(made)
    yield made
    await made.close()


async def until_it_answers(store: Any) -> None:
    """A cluster of a moment ago needs a second to find itself well."""
    end = time.monotonic() + 10
    while True:
        try:
            await store.ping(2.0)
            return
        except Unavailable:
            assert time.monotonic() < end
            await asyncio.sleep(0.05)


async def test_only_the_very_row_is_forgotten(store: Any) -> None:
    keys, rows = keys_of("A", "B", "C"), rows_of((1, 1), (2, 2), (3, 3))
    await store.write(keys[:2], rows[:2], 5.0)
    await store.forget(keys, [rows[0], rows[2], rows[2]], 5.0)
    assert await store.read(keys, 5.0) == [None, rows[1], None]


async def test_a_row_without_a_checksum_counts_by_its_timestamp(store: Any) -> None:
    keys, (late, early, later) = keys_of("A"), rows_of((20, 1), (10, 2), (30, 3))
    before = bytes((late[0] - 2,)) + late[1:-4]
    assert await store.write(keys, [before], 5.0) == 1
    assert await store.write(keys, [early], 5.0) == 0
    assert await store.write(keys, [later], 5.0) == 1
    assert await store.read(keys, 5.0) == [later]


async def test_rows_are_read_in_the_order_asked(store: Any) -> None:
    entities = [f"N{i}" for i in range(300)]
    keys = keys_of(*entities) + keys_of(*entities, view="weather")
    rows = rows_of(*((i, i * 7) for i in range(600)))
    assert await store.write(keys, rows, 2.0) == 600
    order = [*range(0, 600, 3), 5, 5]
    found = await store.read([keys[i] for i in order] + keys_of("nobody"), 2.0)
    assert found == [rows[i] for i in order] + [None]


async def test_an_entity_never_moves_back_in_time(store: Any) -> None:
    (key,) = keys_of("N14228")
    newer, older, again = rows_of((2000, 1), (1000, 2), (2000, 3))
    assert await store.write([key], [newer], 2.0) == 1
    assert await store.write([key], [older], 2.0) == 0
    assert await store.read([key], 2.0) == [newer]
    assert await store.write([key], [again], 2.0) == 1
    assert await store.read([key], 2.0) == [again]


async def test_a_row_of_an_old_layout_gives_way(store: Any) -> None:
    (key,) = keys_of("N10156")
    (row,) = rows_of((1000, 1))
    await store.write_note(key, bytes((1,)) + b"\xff" * 30, 2.0)
    assert await store.write([key], [row], 2.0) == 1
    assert await store.read([key], 2.0) == [row]


async def test_a_batch_with_one_entity_twice_keeps_the_newest(store: Any) -> None:
    (key,) = keys_of("twice")
    rows = rows_of((3, 1), (1, 2), (2, 3))
    assert await store.write([key] * 3, rows, 2.0) == 1
    assert await store.read([key], 2.0) == [rows[0]]


@given(instants=st.lists(st.integers(-(2**53), 2**53), min_size=1, max_size=12))
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_whatever_the_order_the_newest_stays(instants: list[int]) -> None:
    """The fake's rule, as a model for the property below."""
    asyncio.run(_newest_stays(FakeOnlineStore(), instants))


async def _newest_stays(store: Any, instants: list[int], name: str = "entity") -> None:
    (key,) = keys_of(name)
    for at in range(0, len(instants), 5):
        some = rows_of(*((instant, at) for instant in instants[at : at + 5]))
        await store.write([key] * len(some), some, 2.0)
    (row,) = await store.read([key], 2.0)
    assert row is not None
    assert event_timestamp_us(row) == max(instants)


async def test_random_orders_on_every_store(store: Any) -> None:
    dice = np.random.default_rng(7)
    for number in range(40):
        size = int(dice.integers(1, 12))
        instants = dice.integers(-(2**53), 2**53, size).tolist() + [int(dice.integers(0, 3))] * 2
        await _newest_stays(store, instants, f"entity-{number}")


async def test_concurrent_writers_end_with_the_newest(store: Any) -> None:
    keys = keys_of(*(f"N{i}" for i in range(20)))
    await asyncio.gather(*(store.write(keys, rows_of(*[(instant, instant)] * 20), 5.0) for instant in range(30, 0, -1)))
    assert await store.read(keys, 2.0) == rows_of(*[(30, 30)] * 20)


async def test_values_with_separators_are_other_entities(store: Any) -> None:
    names = ["a", "a}", "{a", "a|b", "1:a", "a\r\nb", "", "é"]
    rows = rows_of(*((1, i) for i in range(len(names))))
    assert await store.write(keys_of(*names), rows, 2.0) == len(names)
    assert await store.write(keys_of(*names, tenant="default|tailnum=1:a"), rows[::-1], 2.0) == len(names)
    assert await store.read(keys_of(*names), 2.0) == rows


async def test_notes_are_kept(store: Any) -> None:
    assert await store.read_note(b"{note}1", 2.0) is None
    await store.write_note(b"{note}1", b"half done", 2.0)
    assert await store.read_note(b"{note}1", 2.0) == b"half done"
