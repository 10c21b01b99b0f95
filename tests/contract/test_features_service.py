"""What the features service answers, over a real channel on both servers."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from chassis.errors import MizzenError
from chassis.rpc.status import from_status
from chassis.values import decode, encode
from features.domain.model import Status
from mizzen.features.v1 import features_pb2 as pb
from tests.fakes.features_service import DEFINITIONS, RunningFeatures, catalog_of, running_features
from tests.fakes.gateway_upstreams import as_block
from tests.fakes.online_store import FakeOnlineStore

NOON = 1_373_371_200_000_000  # 2013-07-09T12:00:00Z, 8 in the morning in New York
MINUTE = 60_000_000
WRITTEN = NOON - MINUTE  # when the row of N1 is from
TTL_US = 60 * MINUTE
P, NULL, GONE, OLD, DOWN = (
    Status.PRESENT,
    Status.NULL_VALUE,
    Status.NOT_FOUND,
    Status.OUTSIDE_MAX_AGE,
    Status.UNAVAILABLE,
)


@pytest.fixture
def store() -> FakeOnlineStore:
    return FakeOnlineStore()


@pytest.fixture(params=["loop", "native", "grpcio"])
async def service(
    request: pytest.FixtureRequest, store: FakeOnlineStore, tmp_path: Path
) -> AsyncIterator[RunningFeatures]:
    async with running_features(store, tmp_path / "keys", request.param) as running:
        outcome = await running.write(
            plane_rows(running, ["N1", "N2", "N3"], [NOON - MINUTE, NOON - 120 * MINUTE, NOON + 1])
        )
        assert [(each.status.code, each.written, each.older) for each in outcome] == [(0, 3, 0)]
        yield running


def plane_rows(
    service: RunningFeatures, tailnums: list[str], instants: list[int], tenant: str = "default"
) -> pb.WriteItem:
    rows = len(tailnums)
    item = pb.WriteItem(envelope=service.envelope(tenant), view="plane")
    item.entities["tailnum"].CopyFrom(encode(tailnums, "STRING"))
    item.features["age"].CopyFrom(encode(np.arange(1, rows + 1, dtype=np.float32), "FLOAT32"))
    item.features["seats"].CopyFrom(
        encode(np.arange(10, 10 * rows + 1, 10), "INT32", nulls=[False] * (rows - 1) + [True])
    )
    item.features["maker"].CopyFrom(encode([f"maker {i}" for i in range(rows)], "STRING"))
    item.features["built_at"].CopyFrom(encode(np.arange(rows) + 5, "TIMESTAMP"))
    item.event_timestamps_us = np.array(instants, "<i8").tobytes()
    return item


def column(result: pb.ReadResult, i: int, rows: int) -> tuple[list[Any], list[int]]:
    """(values with None for nulls, statuses) of a column."""
    assert result.status.code == 0, result.status
    values, nulls = decode(result.columns[i].values, rows)
    gone = [False] * rows if nulls is None else nulls.tolist()
    statuses = list(result.columns[i].statuses) or [P] * rows
    return [None if null else value for value, null in zip(values.tolist(), gone, strict=True)], statuses


def failure(result: pb.ReadResult | pb.WriteResult) -> MizzenError:
    error = from_status(result.status)
    assert error is not None
    return error


async def test_values_and_statuses(service: RunningFeatures) -> None:
    refs = ["plane:age", "plane:seats", "plane:maker", "plane:built_at"]
    (result,) = await service.read(service.item(refs, NOON, tailnum=["N1", "N2", "N3", "N4"]))
    assert [each.ref for each in result.columns] == refs
    statuses = [P, OLD, GONE, GONE]
    assert column(result, 0, 4) == ([1.0, 2.0, 12.5, 12.5], statuses)
    assert column(result, 1, 4) == ([10, 20, None, None], statuses)
    assert column(result, 2, 4) == (["maker 0", "maker 1", "unknown", "unknown"], statuses)
    assert column(result, 3, 4) == ([5, 6, None, None], statuses)
    assert result.as_of_us == NOON
    assert [each.timestamps_index for each in result.columns] == [1, 1, 1, 1]
    (timestamps,) = result.timestamps_us
    assert np.frombuffer(timestamps, "<i8").tolist() == [NOON - MINUTE, NOON - 120 * MINUTE, 0, 0]


@pytest.mark.parametrize("others", [[], ["N1"], ["N4"]])
@pytest.mark.parametrize(
    ("as_of_us", "status"),
    [(WRITTEN, P), (WRITTEN - 1, GONE), (WRITTEN + TTL_US, P), (WRITTEN + TTL_US + 1, OLD)],
    ids=["of this instant", "of the next microsecond", "as old as may be", "a microsecond too old"],
)
async def test_instants_count_to_the_microsecond(
    service: RunningFeatures, as_of_us: int, status: int, others: list[str]
) -> None:
    """A row alone, beside its like, and beside one that isn't there: each is read in a way of its own."""
    (result,) = await service.read(service.item(["plane:age"], as_of_us, tailnum=["N1", *others]))
    assert column(result, 0, 1 + len(others))[1][0] == status


async def test_a_null_is_told_from_a_missing_row(service: RunningFeatures) -> None:
    (result,) = await service.read(service.item(["plane:seats"], NOON + 5, tailnum=["N1", "N3", "N4"]))
    assert column(result, 0, 3) == ([10, None, None], [P, NULL, GONE])


async def test_whole_rows_leave_statuses_and_nulls_out(service: RunningFeatures) -> None:
    (result,) = await service.read(service.item(["plane:age", "plane:seats"], NOON, tailnum=["N1"]))
    assert column(result, 0, 1) == ([1.0], [P])
    assert result.columns[0].statuses == result.columns[0].values.nulls == b""


async def test_on_demand_features(service: RunningFeatures) -> None:
    refs = ["plane:age_per_seat", "plane:band", "plane:local_hour"]
    (result,) = await service.read(service.item(refs, NOON, tailnum=["N1", "N4"], distance=[100.0, 900.0]))
    assert column(result, 0, 2) == ([pytest.approx(0.1), None], [P, NULL])
    assert column(result, 1, 2) == (["short", "long"], [P, P])
    assert column(result, 2, 2) == ([8, 8], [P, P])
    assert [each.timestamps_index for each in result.columns] == [0, 0, 0]


async def test_gaps_are_in_a_block_only_where_they_are_taken(service: RunningFeatures) -> None:
    refs = ["plane:age", "plane:seats", "plane:age_per_seat", "plane:local_hour"]
    asked = service.item(refs, NOON + 5, tailnum=["N1", "N3", "N4"], distance=[1.0, 1.0, 1.0])
    old, new = pb.ReadItem(), pb.ReadItem()
    old.MergeFrom(asked)
    old.as_block = True
    new.MergeFrom(old)
    new.gaps_in_block = True
    columns, as_columns, block = await service.read(asked, old, new)
    assert as_columns == columns
    assert len(columns.columns) == 4
    assert not block.columns
    assert as_block(columns, 3) == block
    assert block.nulls == bytes([0, 0, 0, 0, 1, 1, 0, 1, 1, 0, 0, 0])
    assert block.statuses == bytes([P, P, GONE, P, NULL, GONE, P, NULL, NULL, P, P, P])


async def test_on_demand_features_alone_ask_no_store(service: RunningFeatures, store: FakeOnlineStore) -> None:
    asked = len(store.reads)
    (result,) = await service.read(service.item(["plane:band"], NOON, distance=[100.0]))
    assert column(result, 0, 1) == (["short"], [P])
    assert len(store.reads) == asked


async def test_many_items_are_one_question(service: RunningFeatures, store: FakeOnlineStore) -> None:
    asked = len(store.reads)
    items = [service.item(["plane:age"], NOON, tailnum=[name]) for name in ("N1", "N2", "N9")]
    items.insert(1, service.item(["nowhere:age"], NOON, tailnum=["N1"]))
    first, wrong, second, third = await service.read(*items)
    assert [column(each, 0, 1) for each in (first, second, third)] == [([1.0], [P]), ([2.0], [OLD]), ([12.5], [GONE])]
    assert failure(wrong).code == "NOT_FOUND"
    assert failure(wrong).field == "refs[0]"
    assert len(store.reads) == asked + 1


async def test_a_tenant_sees_its_own_rows_only(service: RunningFeatures) -> None:
    (result,) = await service.read(service.item(["plane:age"], NOON, tenant="other", tailnum=["N1"]))
    assert column(result, 0, 1) == ([12.5], [GONE])


async def test_an_entity_of_two_keys(service: RunningFeatures) -> None:
    item = pb.WriteItem(envelope=service.envelope(), view="route_history")
    item.entities["origin"].CopyFrom(encode(["JFK", "JFK"], "STRING"))
    item.entities["number"].CopyFrom(encode(np.array([1, 2]), "INT64"))
    item.features["late_rate"].CopyFrom(encode(np.array([0.25, 0.5]), "FLOAT64"))
    item.features["flown"].CopyFrom(encode(np.array([True, False]), "BOOL"))
    item.event_timestamps_us = np.array([1, 1], "<i8").tobytes()
    assert (await service.write(item))[0].written == 2
    refs = ["route_history:flown", "plane:age", "route_history:late_rate"]
    (result,) = await service.read(service.item(refs, NOON, origin=["JFK", "EWR"], number=[2, 2], tailnum=["N1", "N1"]))
    assert column(result, 0, 2) == ([False, None], [P, GONE])
    assert column(result, 1, 2) == ([1.0, 1.0], [P, P])
    assert column(result, 2, 2) == ([0.5, None], [P, GONE])
    assert [each.timestamps_index for each in result.columns] == [1, 2, 1]


async def test_a_bad_key_names_its_row(service: RunningFeatures) -> None:
    item = service.item(["plane:age"], NOON, tailnum=["N1", "N2", "", "N4"])
    item.entities["tailnum"].nulls = b"\x00\x00\x00\x01"
    assert failure((await service.read(item))[0]).field == "entities.tailnum[3]"
    long = service.item(["plane:age"], NOON, tailnum=["N1", "x" * 2000])
    assert failure((await service.read(long))[0]).field == "entities.tailnum[1]"


@pytest.mark.parametrize(
    ("refs", "columns", "code", "field"),
    [
        (["plane:age"], {}, "INVALID_ARGUMENT", "entities"),
        (["plane:age"], {"other": ["x"]}, "INVALID_ARGUMENT", "entities.tailnum"),
        (["plane:age"], {"tailnum": [7]}, "INVALID_ARGUMENT", "entities.tailnum"),
        (["plane:age", "plane"], {"tailnum": ["N1"]}, "INVALID_ARGUMENT", "refs[1]"),
        (["plane:age", "plane:wings"], {"tailnum": ["N1"]}, "NOT_FOUND", "refs[1]"),
        (["plane:band"], {"tailnum": ["N1"]}, "INVALID_ARGUMENT", "inputs.distance"),
        ([], {"tailnum": ["N1"]}, "INVALID_ARGUMENT", "refs"),
        (
            ["plane:age"],
            {"tailnum": ["N1", "N2"], "number": [1]},
            "INVALID_ARGUMENT",
            "entities.number|entities.tailnum",
        ),
    ],
)
async def test_wrong_reads_name_the_field(
    service: RunningFeatures, refs: list[str], columns: dict[str, Any], code: str, field: str
) -> None:
    error = failure((await service.read(service.item(refs, NOON, **columns)))[0])
    assert error.code == code
    assert error.field in field.split("|")


async def test_expired_and_unsigned_items_fail_alone(service: RunningFeatures) -> None:
    late = pb.ReadItem(envelope=service.envelope(remaining_us=0), refs=["plane:age"])
    unsigned = pb.ReadItem(refs=["plane:age"])
    good = service.item(["plane:age"], NOON, tailnum=["N1"])
    results = await service.read(late, unsigned, good)
    assert [failure(each).code for each in results[:2]] == ["DEADLINE_EXCEEDED", "UNAUTHENTICATED"]
    assert column(results[2], 0, 1) == ([1.0], [P])


async def test_the_store_is_down(service: RunningFeatures, store: FakeOnlineStore) -> None:
    store.is_down = True
    refs = ["plane:age", "plane:seats", "plane:maker", "plane:age_per_seat", "plane:band"]
    failing = service.item(refs, NOON, tailnum=["N1"], distance=[100.0])
    declared = service.item(refs, NOON, tailnum=["N1"], distance=[100.0])
    declared.default_when_down = True
    failed, answered = await service.read(failing, declared)
    assert failure(failed).code == "UNAVAILABLE"
    assert [column(answered, i, 1) for i in range(5)] == [
        ([12.5], [DOWN]),
        ([None], [DOWN]),
        (["unknown"], [DOWN]),
        ([None], [DOWN]),
        (["short"], [P]),
    ]


async def test_a_row_with_a_changed_byte_is_never_taken_for_the_truth(
    service: RunningFeatures, store: FakeOnlineStore
) -> None:
    refs = ["plane:age", "plane:seats", "plane:maker", "plane:age_per_seat", "plane:band"]
    key = next(key for key in store.rows if b"N1" in key)
    intact, others = store.rows[key], [value for name, value in store.rows.items() if name != key]
    for at in range(len(intact)):
        store.rows[key] = intact[:at] + bytes((intact[at] ^ 0x11,)) + intact[at + 1 :]
        strict = service.item(refs, NOON, tailnum=["N2", "N1"], distance=[100.0, 100.0])
        declared = service.item(refs, NOON, tailnum=["N2", "N1"], distance=[100.0, 100.0])
        declared.default_when_down = True
        good = service.item(["plane:age"], NOON, tailnum=["N2"])
        failed, answered, other = await service.read(strict, declared, good)
        error = failure(failed)
        assert (error.code, error.reason, error.field) == ("DATA_LOSS", "FEATURE_ROW_DAMAGED", "entities[1]")
        assert [column(answered, i, 2) for i in range(5)] == [
            ([2.0, 12.5], [OLD, DOWN]),
            ([20, None], [OLD, DOWN]),
            (["maker 1", "unknown"], [OLD, DOWN]),
            ([pytest.approx(0.1), None], [P, DOWN]),
            (["short", "short"], [P, P]),
        ]
        assert column(other, 0, 1) == ([2.0], [OLD])
    counted = service.metrics.registry.get_sample_value(
        "mizzen_features_rows_read_total", {"view": "plane", "found": "damaged"}
    )
    assert counted == 2 * len(intact)
    assert [value for name, value in store.rows.items() if name != key] == others
    for at in range(len(intact)):  # whatever its timestamp says now, a damaged row gives way
        store.rows[key] = intact[:at] + bytes((intact[at] ^ 0x7F,)) + intact[at + 1 :]
        (outcome,) = await service.write(plane_rows(service, ["N1"], [NOON]))
        assert (outcome.written, outcome.older) == (1, 0)
    assert column((await service.read(service.item(["plane:age"], NOON, tailnum=["N1"])))[0], 0, 1) == ([1.0], [P])


async def test_the_schema_hash_is_checked(service: RunningFeatures) -> None:
    item = service.item(["plane:age", "plane:seats"], NOON, tailnum=["N1"])
    item.schema_hash = catalog_of(DEFINITIONS).schema_hash("delay")
    assert (await service.read(item))[0].status.code == 0
    item.schema_hash = "0" * 16
    error = failure((await service.read(item))[0])
    assert (error.code, error.reason) == ("FAILED_PRECONDITION", "SCHEMA_MISMATCH")
    other = service.item(["plane:maker"], NOON, tailnum=["N1"])
    other.schema_hash = catalog_of(DEFINITIONS).schema_hash("delay")
    assert failure((await service.read(other))[0]).reason == "SCHEMA_MISMATCH"


async def test_older_rows_are_left_out(service: RunningFeatures) -> None:
    (result,) = await service.write(plane_rows(service, ["N1", "N8"], [NOON - 2 * MINUTE, NOON]))
    assert (result.written, result.older) == (1, 1)


async def test_wrong_writes_name_the_field(service: RunningFeatures) -> None:
    future = plane_rows(service, ["N1", "N2"], [NOON, 4_000_000_000_000_000])
    short = plane_rows(service, ["N1"], [NOON, NOON])
    unknown = plane_rows(service, ["N1"], [NOON])
    unknown.features["wings"].CopyFrom(encode(np.array([2.0]), "FLOAT64"))
    broken = plane_rows(service, ["N1"], [NOON])
    broken.features["seats"].CopyFrom(encode(np.array([2.5]), "FLOAT64"))
    view = plane_rows(service, ["N1"], [NOON])
    view.view = "nowhere"
    errors = [failure(each) for each in await service.write(future, short, unknown, broken, view)]
    assert [error.field for error in errors] == [
        "event_timestamps_us[1]",
        "entities.tailnum",
        "features.wings",
        "features.seats[0]",
        "view",
    ]


async def test_a_changed_view_does_not_misread_old_rows(service: RunningFeatures) -> None:
    assert service.load(DEFINITIONS.replace("{name: seats, dtype: INT32}", "{name: seats, dtype: FLOAT32}")) == []
    (result,) = await service.read(service.item(["plane:seats"], NOON, tailnum=["N1"]))
    assert column(result, 0, 1) == ([None], [GONE])
    found = service.metrics.registry.get_sample_value(
        "mizzen_features_rows_read_total", {"view": "plane", "found": "other_layout"}
    )
    assert found == 1


async def test_a_bad_definition_leaves_the_old_one_serving(service: RunningFeatures) -> None:
    (refused,) = service.load(DEFINITIONS.replace("age / seats", "age // seats"))
    assert "spec.onDemand[0].sql: on-demand SQL `//` is not in the allow-list: it has + - * /" in refused
    (result,) = await service.read(service.item(["plane:age_per_seat"], NOON, tailnum=["N1"]))
    assert column(result, 0, 1) == ([pytest.approx(0.1)], [P])


async def test_views_are_listed(service: RunningFeatures) -> None:
    request = pb.ListFeatureViewsRequest(envelope=service.envelope())
    method = "/mizzen.features.v1.FeaturesService/ListFeatureViews"
    response = await service.channel.unary(method, request, pb.ListFeatureViewsResponse, 5.0)
    plane, routes = response.views
    assert (plane.name, plane.ttl_s, len(plane.schema_hash)) == ("plane", 3600, 16)
    assert [each.name for each in plane.features if each.on_demand] == ["age_per_seat", "band", "local_hour"]
    assert [each.name for each in routes.entities] == ["origin", "number"]
