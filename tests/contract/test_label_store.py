"""LabelStore: one suite for the double in memory and PostgreSQL; what only PostgreSQL can break is below."""

import asyncio
import time
import uuid
from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import numpy as np
import pytest

from chassis.errors import Unavailable
from monitoring.adapters.postgres_labels import PostgresLabels
from monitoring.domain.model import Label, Stored
from monitoring.domain.windows import window_at
from tests.engines import RunningPostgres
from tests.fakes.clock import FakeClock
from tests.fakes.monitoring_ports import MemoryLabels
from tests.fakes.monitoring_records import DAY_US, START_US, request_ids

WEEK_US = 7 * DAY_US
KINDS = ["memory", pytest.param("postgres", marks=pytest.mark.engines)]


@pytest.fixture(params=KINDS)
async def store(request: pytest.FixtureRequest) -> AsyncIterator[Any]:
    if request.param == "memory":
        # wall time, as PostgreSQL has it
        yield MemoryLabels(FakeClock(us=time.time_ns() // 1000))
        return
    made = PostgresLabels(request.getfixturevalue("postgres"))
    await made.migrate()
    yield made
    await made.close()


def label(request_id: str, value: float = 1.0, at: int = START_US, row: int = 0) -> Label:
    return Label(request_id, row, "probability", value, at)


def prediction(request_id: str, predicted: float, at: int, row: int = 0) -> tuple[str, int, str, str, float, int]:
    return request_id, row, "probability", "flight-delay", predicted, at


async def values(store: Any, tenant: str = "default") -> list[tuple[float, float]]:
    found = await store.labelled(tenant, "flight-delay", "probability", WEEK_US, 5.0)
    return sorted((p, v) for each in found for p, v in zip(each.predicted.tolist(), each.truth.tolist(), strict=True))


async def test_the_latest_event_time_wins_and_sending_again_changes_nothing(store: Any) -> None:
    (one,) = request_ids(1)
    assert await store.put("default", [label(one, 1.0, START_US + 10)], 5) == Stored(1, 0)
    assert await store.put("default", [label(one, 1.0, START_US + 10)], 5) == Stored(1, 0)
    assert await store.put("default", [label(one, 0.0, START_US + 5)], 5) == Stored(0, 1)
    await store.match("default", [one], [prediction(one, 0.7, START_US)])
    assert await values(store) == [(0.7, 1.0)]
    assert await store.put("default", [label(one, 0.0, START_US + 20)], 5) == Stored(1, 0)
    assert await values(store) == [(0.7, 0.0)]


async def test_one_call_may_name_a_prediction_twice(store: Any) -> None:
    (one,) = request_ids(1)
    assert await store.put("default", [label(one, 0.0, START_US + 9), label(one, 1.0, START_US)], 5) == Stored(1, 1)
    await store.match("default", [one], [prediction(one, 0.7, START_US)])
    assert await values(store) == [(0.7, 0.0)]


async def test_labels_wait_for_their_prediction(store: Any) -> None:
    one, other = request_ids(2)
    await store.put("default", [label(one), label(one, row=1), label(other)], 5)
    assert sorted(await store.waiting(10)) == [("default", one), ("default", other)]
    assert await store.waiting_count() == 3
    found = [prediction(one, 0.1, START_US), prediction(one, 0.2, START_US, row=1)]
    assert await store.match("default", [one, other], found) == 2
    assert await store.waiting_count() == 1
    assert await values(store) == [(0.1, 1.0), (0.2, 1.0)]


async def test_labelled_predictions_come_by_window_of_event_time(store: Any) -> None:
    ids = request_ids(4)
    times = [START_US, START_US + DAY_US, START_US + WEEK_US, START_US + 3 * WEEK_US]
    await store.put("default", [label(each) for each in ids], 5)
    found = [prediction(each, 0.5, at) for each, at in zip(ids, times, strict=True)]
    await store.match("default", ids, found)
    labelled = await store.labelled("default", "flight-delay", "probability", WEEK_US, 5.0)
    assert [each.window for each in labelled] == sorted(
        {window_at(at, WEEK_US) for at in times}, key=lambda window: window.from_us
    )
    assert np.concatenate([each.truth for each in labelled]).tolist() == [1.0] * 4


async def test_tenants_do_not_see_each_other(store: Any) -> None:
    (one,) = request_ids(1)
    await store.put("a", [label(one, 1.0)], 5)
    await store.put("b", [label(one, 0.0)], 5)
    await store.match("a", [one], [prediction(one, 0.9, START_US)])
    assert await values(store, "a") == [(0.9, 1.0)]
    assert await values(store, "b") == []
    assert await store.waiting(10) == [("b", one)]


async def test_only_labels_without_a_prediction_are_purged(store: Any) -> None:
    one, other = request_ids(2)
    await store.put("default", [label(one), label(other)], 5)
    await store.match("default", [one], [prediction(one, 0.5, START_US)])
    now_us = time.time_ns() // 1000
    assert await store.purge(now_us - 3_600_000_000) == 0
    assert await store.purge(now_us + 3_600_000_000) == 1
    assert await store.waiting_count() == 0
    assert await values(store) == [(0.5, 1.0)]


@pytest.mark.engines
async def test_ten_thousand_labels_are_one_statement(postgres: str) -> None:
    store = PostgresLabels(postgres)
    await store.migrate()
    labels = [label(str(uuid.UUID(int=n))) for n in range(10_000)]
    assert await store.put("default", labels, 20) == Stored(10_000, 0)
    assert await store.put("default", labels, 20) == Stored(10_000, 0)
    await store.close()


@pytest.mark.engines
async def test_many_processes_may_migrate_at_once(postgres: str) -> None:
    stores = [PostgresLabels(postgres) for _ in range(4)]
    await asyncio.gather(*(store.migrate() for store in stores))
    for store in stores:
        await store.migrate()
        await store.close()


@pytest.mark.engines
async def test_row_level_security_holds_without_the_where_clause(postgres: str) -> None:
    store = PostgresLabels(postgres)
    await store.migrate()
    await store.put("a", [label(request_ids(1)[0])], 5)
    connection = await asyncpg.connect(postgres)
    try:
        assert await connection.fetchval("SELECT count(*) FROM monitoring.labels") == 0
        await connection.execute("SELECT set_config('mizzen.tenant', 'b', false)")
        assert await connection.fetchval("SELECT count(*) FROM monitoring.labels") == 0
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await connection.execute(
                "INSERT INTO monitoring.labels (tenant, request_id, row_index, output, value, event_time_us) "
                "VALUES ('a', gen_random_uuid(), 0, 'x', 1, 1)"
            )
        await connection.execute("SELECT set_config('mizzen.tenant', 'a', false)")
        assert await connection.fetchval("SELECT count(*) FROM monitoring.labels") == 1
    finally:
        await connection.close()
        await store.close()


@pytest.mark.engines
async def test_a_stalled_database_is_unavailable_in_time_and_works_again(
    postgres: str, postgres_server: RunningPostgres
) -> None:
    store = PostgresLabels(postgres)
    await store.migrate()
    ids = request_ids(3)
    await store.put("default", [label(ids[0])], 5)
    postgres_server.pause()
    try:
        for timeout_s in (0.5, 0.3, 0.3, 0.3, 0.3, 0.3):  # more than the pool has connections
            started = time.monotonic()
            with pytest.raises(Unavailable) as caught:
                await store.put("default", [label(ids[1])], timeout_s)
            assert time.monotonic() - started < timeout_s + 0.5
            assert caught.value.reason == "STORE_TIMEOUT"
            assert caught.value.retry_after_s is not None
    finally:
        postgres_server.resume()
    await until_it_stores(store, ids[2])
    await store.close()


@pytest.mark.engines
async def test_a_killed_database_is_unavailable_and_works_again(
    postgres: str, postgres_server: RunningPostgres
) -> None:
    store = PostgresLabels(postgres)
    await store.migrate()
    ids = request_ids(2)
    await store.put("default", [label(ids[0])], 5)
    postgres_server.kill()
    try:
        with pytest.raises(Unavailable):
            await store.put("default", [label(ids[1])], 1)
    finally:
        postgres_server.start()
    await until_it_stores(store, ids[1])
    assert await store.waiting_count() == 2
    await store.close()


async def until_it_stores(store: PostgresLabels, request_id: str) -> None:
    deadline = time.monotonic() + 20
    while True:
        try:
            assert await store.put("default", [label(request_id)], 2) == Stored(1, 0)
            return
        except Unavailable:
            assert time.monotonic() < deadline
            await asyncio.sleep(0.1)


@pytest.mark.engines
async def test_tables_of_before_numbered_files_are_taken_over(postgres: str) -> None:
    """Monitoring counted its migrations as versions without names once."""
    store = PostgresLabels(postgres)
    await store.migrate()
    (one,) = request_ids(1)
    await store.put("default", [label(one)], 5)
    connection = await asyncpg.connect(postgres)
    try:
        await connection.execute(
            "DROP TABLE monitoring.migrations;"
            "CREATE TABLE monitoring.migrations (version integer PRIMARY KEY, applied_at timestamptz DEFAULT now());"
            "INSERT INTO monitoring.migrations (version) VALUES (1)"
        )
        await store.migrate()
        assert await store.waiting_count() == 1
        await connection.execute("DELETE FROM monitoring.migrations; DROP TABLE monitoring.labels, monitoring.tenants")
        await store.migrate()
        assert await connection.fetchval("SELECT name FROM monitoring.migrations WHERE number = 1") == "0001_labels.sql"
        assert await store.put("default", [label(one)], 5) == Stored(1, 0)
    finally:
        await connection.close()
        await store.close()
