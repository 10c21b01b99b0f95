"""What was materialized and read online is what the point-in-time join gives offline, at any instant."""

import math
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from chassis.errors import FailedPrecondition, InvalidArgument, Unavailable
from chassis.values import decode, encode
from features.adapters.catalog_views import load_definitions
from features.adapters.duckdb_offline import DuckDBOffline
from features.adapters.valkey_online import ValkeyOnlineStore
from features.domain import materialize
from features.domain.materialize import Materializer, Progress
from features.domain.model import View
from mizzen.features.v1 import features_pb2 as pb
from tests.fakes.features_service import RunningFeatures, catalog_of, running_features
from tests.fakes.online_store import FakeOnlineStore
from training import training_set
from training.offline import OfflineOptions

DEFINITIONS = """
apiVersion: mizzen.dev/v1alpha1
kind: FeatureView
metadata: {name: plane}
spec:
  entities: [{name: tailnum, dtype: STRING}]
  ttl: 2d
  source:
    tables: {planes: planes.parquet}
    sql: SELECT tailnum, seen AS event_timestamp, age, seats, maker, checked, ok FROM planes -- all of it
  features:
    - {name: age, dtype: FLOAT32, default: 12.5}
    - {name: seats, dtype: INT32}
    - {name: maker, dtype: STRING, default: "it's unknown"}
    - {name: checked, dtype: TIMESTAMP}
    - {name: ok, dtype: BOOL, default: true}
  inputs: [{name: distance, dtype: FLOAT64}]
  onDemand:
    - {name: age_per_seat, dtype: FLOAT64, sql: age / seats}
    - {name: band, dtype: STRING, sql: "case when distance < 500 and ok then maker else 'far' end"}
    - {name: hour, dtype: INT32, sql: "hour(timezone('America/New_York', as_of))"}
    - {name: weekday, dtype: FLOAT32, sql: "isodow(checked) * 1.5"}
---
apiVersion: mizzen.dev/v1alpha1
kind: FeatureView
metadata: {name: route}
spec:
  entities: [{name: origin, dtype: STRING}, {name: number, dtype: INT64}]
  source: {tables: {routes: routes}, sql: SELECT * FROM routes}
  features: [{name: rate, dtype: FLOAT64, default: 0.5}]
"""
REFS = ["plane:age", "plane:seats", "plane:maker", "plane:checked", "plane:ok", "plane:age_per_seat", "plane:band"]
REFS += ["plane:hour", "plane:weekday", "route:rate"]
START = datetime(2013, 3, 8, tzinfo=UTC)
ROWS = 400


def us(instant: datetime) -> int:
    return (instant - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Tables of ten days, with nulls and entities that appear late."""
    dice = np.random.default_rng(3)
    instants = [START + timedelta(minutes=int(minute)) for minute in dice.integers(0, 10 * 24 * 60, ROWS)]

    def some(values: Sequence[Any]) -> list[Any]:
        return [None if dice.random() < 0.2 else value for value in values]

    planes = pa.table(
        {
            "tailnum": [f"N{i}" for i in dice.integers(0, 25, ROWS)],
            "seen": pa.array(instants, pa.timestamp("us", "UTC")),
            "age": pa.array(some(dice.random(ROWS).tolist()), pa.float64()),
            "seats": pa.array(some(dice.integers(0, 9, ROWS).tolist()), pa.int64()),
            "maker": pa.array(some([f"maker {i}" for i in dice.integers(0, 5, ROWS)])),
            "checked": pa.array(some(instants), pa.timestamp("us", "UTC")),
            "ok": pa.array(some((dice.random(ROWS) < 0.5).tolist())),
        }
    )
    routes = pa.table(
        {
            "origin": [["JFK", "LGA"][i] for i in dice.integers(0, 2, ROWS)],
            "number": dice.integers(0, 4, ROWS),
            "event_timestamp": pa.array([at.replace(tzinfo=None) for at in instants], pa.timestamp("us")),
            "rate": pa.array(some(dice.random(ROWS).tolist()), pa.float64()),
        }
    )
    offline = tmp_path / "offline"
    (offline / "routes").mkdir(parents=True)
    pq.write_table(planes, offline / "planes.parquet")
    pq.write_table(routes.slice(0, 200), offline / "routes" / "a.parquet")
    pq.write_table(routes.slice(200), offline / "routes" / "b.parquet")
    return offline


def views() -> list[View]:
    return list(load_definitions(catalog_of(DEFINITIONS)).views.values())


@pytest.fixture
async def store(valkey: str) -> AsyncIterator[ValkeyOnlineStore]:
    made = ValkeyOnlineStore(valkey)
    await made.start()
    await made.ping(5.0)
    yield made
    await made.close()


def frame_at(instant: datetime) -> pa.Table:
    count = 28
    return pa.table(
        {
            "tailnum": [f"N{i}" for i in range(count)],
            "origin": [["JFK", "LGA", "EWR"][i % 3] for i in range(count)],
            "number": [i % 5 for i in range(count)],
            "distance": [float(i * 40) for i in range(count)],
            "as_of": pa.array([instant] * count, pa.timestamp("us", "UTC")),
        }
    )


async def online_at(service: RunningFeatures, frame: pa.Table, instant: datetime) -> dict[str, list[Any]]:
    item = pb.ReadItem(envelope=service.envelope(), refs=REFS, as_of_us=us(instant))
    item.entities["tailnum"].CopyFrom(encode(frame["tailnum"].to_pylist(), "STRING"))
    item.entities["origin"].CopyFrom(encode(frame["origin"].to_pylist(), "STRING"))
    item.entities["number"].CopyFrom(encode(np.array(frame["number"].to_pylist()), "INT64"))
    item.inputs["distance"].CopyFrom(encode(np.array(frame["distance"].to_pylist()), "FLOAT64"))
    (result,) = await service.read(item)
    assert result.status.code == 0, result.status
    found: dict[str, list[Any]] = {}
    for column in result.columns:
        values, nulls = decode(column.values, frame.num_rows)
        gone = [False] * frame.num_rows if nulls is None else nulls.tolist()
        found[column.ref] = [None if null else value for value, null in zip(values.tolist(), gone, strict=True)]
    return found


def plain(value: Any) -> Any:
    return us(value) if isinstance(value, datetime) else value


def same(left: Any, right: Any) -> bool:
    if isinstance(left, float) and isinstance(right, float):
        return (math.isnan(left) and math.isnan(right)) or left == pytest.approx(right, rel=1e-6)
    return bool(left == right)


async def test_online_is_offline_at_every_instant(root: Path, store: ValkeyOnlineStore, tmp_path: Path) -> None:
    offline = DuckDBOffline(OfflineOptions(root))
    materializer = Materializer(offline, store, "default")
    since: datetime | None = None
    async with running_features(store, tmp_path / "keys", definitions=DEFINITIONS, timeout_s=2.0) as service:
        for hours in (5, 30, 31, 100, 239, 400):
            instant = START + timedelta(hours=hours)
            await materializer.advance(views(), None if since is None else us(since), us(instant))
            frame = frame_at(instant)
            expected = training_set(catalog_of(DEFINITIONS), REFS, frame, root)
            assert expected.column_names == [*frame.column_names, *REFS]
            assert expected["tailnum"].to_pylist() == frame["tailnum"].to_pylist()
            found = await online_at(service, frame, instant)
            for ref in REFS:
                wanted = [plain(value) for value in expected[ref].to_pylist()]
                assert all(map(same, found[ref], wanted)), (hours, ref, found[ref], wanted)
            since = instant
    offline.close()


def test_rows_past_their_ttl_can_count_as_missing(root: Path) -> None:
    frame = frame_at(START + timedelta(days=30))
    marked = training_set(catalog_of(DEFINITIONS), ["plane:maker"], frame, root)["plane:maker"].to_pylist()
    missing = training_set(catalog_of(DEFINITIONS), ["plane:maker"], frame, root, on_stale="default")
    assert any(value.startswith("maker") for value in marked)
    assert set(missing["plane:maker"].to_pylist()) == {"it's unknown"}


def test_the_future_changes_nothing(root: Path) -> None:
    instant = START + timedelta(days=4)
    before = training_set(catalog_of(DEFINITIONS), REFS, frame_at(instant), root)
    planes = pq.read_table(root / "planes.parquet").to_pylist()
    for row in planes:
        if row["seen"] > instant:
            row["age"], row["seen"] = 99.0, row["seen"] + timedelta(hours=1)
    pq.write_table(pa.Table.from_pylist(planes), root / "planes.parquet")
    assert training_set(catalog_of(DEFINITIONS), REFS, frame_at(instant), root).equals(before)


class Breaking(FakeOnlineStore):
    """Fails at the third write."""

    left = 2

    async def write(self, keys: Sequence[bytes], rows: Sequence[bytes], timeout_s: float) -> int:
        self.left -= 1
        if self.left < 0:
            raise Unavailable("the online store is not connected")
        return await super().write(keys, rows, timeout_s)


async def test_a_broken_off_materialization_is_taken_up_again(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(materialize, "ROWS_PER_CHUNK", 4)
    offline, store = DuckDBOffline(OfflineOptions(root)), Breaking()
    reports: list[Progress] = []
    materializer = Materializer(offline, store, "default", reports.append)
    (plane, _) = views()
    until = us(START + timedelta(days=5))
    with pytest.raises(Unavailable):
        await materializer.materialize(plane, None, until)
    assert [report.rows for report in reports] == [4, 8]
    store.left, before = 1000, len(store.rows) - 1
    done = await materializer.materialize(plane, None, until)
    assert before == 8
    assert done.is_done
    assert done.rows == done.written == len(store.rows) - 1
    assert 1000 - store.left == math.ceil((done.rows - 8) / 4), "chunks done before are not written again"
    again = await materializer.materialize(plane, None, until)
    assert again.was_done
    store.rows.clear()
    assert not (await materializer.materialize(plane, None, until)).was_done, "the note is lost with the rows"
    offline.close()


async def test_a_changed_table_is_materialized_again(root: Path) -> None:
    store = FakeOnlineStore()
    (plane, _) = views()
    until = us(START + timedelta(days=5))
    for expected in (False, True):
        offline = DuckDBOffline(OfflineOptions(root))
        assert (await Materializer(offline, store, "default").materialize(plane, None, until)).was_done is expected
        offline.close()
    os.utime(root / "planes.parquet", (1, 1))
    offline = DuckDBOffline(OfflineOptions(root))
    assert not (await Materializer(offline, store, "default").materialize(plane, None, until)).was_done
    offline.close()


def test_the_command(root: Path, valkey: str, tmp_path: Path) -> None:
    definitions = tmp_path / "definitions"
    definitions.mkdir()
    (definitions / "views.yaml").write_text(DEFINITIONS)
    environment = os.environ | {
        "MIZZEN_STATE": str(tmp_path / "state"),
        "MIZZEN_ONLINE_URL": valkey,
        "MIZZEN_FEATURES_OFFLINE_ROOT": str(root),
    }
    command = [sys.executable, "-m", "features.materialize", "--definitions", str(definitions)]
    command += ["--until", "2013-03-18T00:00:00Z"]
    first = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=True)
    assert "plane: 25 rows, 25 stored" in first.stderr
    assert "route: 8 rows, 8 stored" in first.stderr
    second = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=True)
    assert "plane: 25 rows, done before" in second.stderr
    command += ["--views", "nowhere"]
    wrong = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert wrong.returncode != 0
    assert "there is no feature view nowhere" in wrong.stderr


def test_nothing_outside_the_offline_root_is_read(root: Path, tmp_path: Path) -> None:
    (tmp_path / "secret.parquet").write_bytes((root / "planes.parquet").read_bytes())
    outside = DEFINITIONS.replace("tables: {planes: planes.parquet}", "tables: {planes: ../secret.parquet}")
    with pytest.raises(InvalidArgument, match="outside"):
        training_set(catalog_of(outside), ["plane:age"], frame_at(START), root)
    missing = DEFINITIONS.replace("tables: {planes: planes.parquet}", "tables: {planes: nothing.parquet}")
    with pytest.raises(FailedPrecondition, match="no Parquet files"):
        training_set(catalog_of(missing), ["plane:age"], frame_at(START), root)
    stolen = DEFINITIONS.replace("FROM planes --", f"FROM read_parquet('{tmp_path}/secret.parquet') --")
    with pytest.raises(InvalidArgument, match="Permission"):
        training_set(catalog_of(stolen), ["plane:age"], frame_at(START), root)
