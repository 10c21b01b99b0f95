"""What a training set refuses by name, and what the offline store keeps and makes anew."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import training
from chassis.errors import InvalidArgument, NotFound
from training.offline import OfflineOptions, OfflineStore, StoredView, staged_table

VIEWS = """\
apiVersion: mizzen.dev/v1alpha1
kind: FeatureView
metadata: {name: shop}
spec:
  entities: [{name: shop, dtype: INT64}]
  ttl: 2h
  source: {tables: {sales: sales.parquet}, sql: select * from sales}
  features:
    - {name: sold, dtype: INT64, default: 7}
    - {name: seen, dtype: TIMESTAMP, default: "2024-01-01T01:00:00+01:00"}
  inputs: [{name: price, dtype: FLOAT64}]
  onDemand:
    - {name: revenue, dtype: FLOAT64, sql: sold * price}
    - {name: is_dear, dtype: BOOL, sql: price > 10}
---
apiVersion: mizzen.dev/v1alpha1
kind: FeatureView
metadata: {name: basket}
spec:
  inputs: [{name: price, dtype: FLOAT32}]
  onDemand: [{name: doubled, dtype: FLOAT64, sql: price * 2}]
"""
NOON = datetime(2024, 5, 1, 12, tzinfo=UTC)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Definitions, and a shop that sold 3 at noon beside one that nobody knows."""
    (tmp_path / "shop.yaml").write_text(VIEWS)
    instants = pa.array([NOON], pa.timestamp("us", "UTC"))
    sales = pa.table({"shop": [1], "event_timestamp": instants, "sold": [3], "seen": instants})
    pq.write_table(sales, tmp_path / "sales.parquet")
    return tmp_path


def frame(**more: list[float]) -> pa.Table:
    """Shop 1 before, at and three hours after noon, and shop 2."""
    instants = [NOON - timedelta(microseconds=1), NOON, NOON + timedelta(hours=3), NOON]
    return pa.table({"shop": [1, 1, 1, 2], "as_of": pa.array(instants, pa.timestamp("us", "UTC")), **more})


def test_an_on_demand_feature_alone_brings_what_it_is_made_of(folder: Path) -> None:
    asked = frame(price=[2.0, 2.0, 2.0, 20.0])
    found = training.training_set(folder, ["shop:revenue"], asked, folder)
    assert found.column("shop:revenue").to_pylist() == [14.0, 6.0, 6.0, 140.0]
    fresh = training.training_set(folder, ["shop:revenue", "shop:is_dear"], asked, folder, on_stale="default")
    assert fresh.column("shop:revenue").to_pylist() == [14.0, 6.0, 14.0, 140.0]
    assert fresh.column("shop:is_dear").to_pylist() == [False, False, False, True]


def test_a_default_instant_is_the_one_it_names(folder: Path) -> None:
    found = training.training_set(folder, ["shop:seen"], frame(), folder).column("shop:seen").to_pylist()
    assert [each.astimezone(UTC) for each in found] == [datetime(2024, 1, 1, tzinfo=UTC), NOON, NOON, found[0]]


@pytest.mark.parametrize(
    ("refs", "reason"),
    [
        (["shop:sold", "sold"], "REFERENCE_INVALID"),
        (["shop:sold", "shops:sold"], "VIEW_NOT_FOUND"),
        (["shop:sold", "shop:bought"], "FEATURE_NOT_FOUND"),
    ],
)
def test_a_reference_that_leads_nowhere_is_named(folder: Path, refs: list[str], reason: str) -> None:
    with pytest.raises((InvalidArgument, NotFound)) as refused:
        training.training_set(folder, refs, frame(), folder)
    assert (refused.value.reason, refused.value.field) == (reason, "refs[1]")


def test_what_a_frame_lacks_is_named(folder: Path) -> None:
    for refs, lacks in ((["shop:revenue"], "price"), (["shop:sold"], "shop"), (["shop:is_dear"], "as_of")):
        asked = frame(price=[1.0] * 4).drop_columns([lacks])
        with pytest.raises(InvalidArgument) as refused:
            training.training_set(folder, refs, asked, folder)
        assert (refused.value.reason, refused.value.field) == ("COLUMN_MISSING", lacks)
    with pytest.raises(InvalidArgument, match="names no feature"):
        training.training_set(folder, [], frame(), folder)


def test_an_input_of_two_types_is_refused_as_a_read_refuses_it(folder: Path) -> None:
    with pytest.raises(InvalidArgument) as refused:
        training.training_set(folder, ["shop:revenue", "basket:doubled"], frame(price=[1.0] * 4), folder)
    assert refused.value.reason == "INPUT_AMBIGUOUS"


def test_definitions_that_were_refused_are_all_told(folder: Path) -> None:
    (folder / "shop.yaml").write_text(VIEWS.replace("sold * price", "sold ** price"))
    with pytest.raises(InvalidArgument, match="on-demand SQL") as refused:
        training.training_set(folder, ["basket:doubled"], frame(price=[1.0] * 4), folder)
    assert refused.value.reason == "DEFINITION_INVALID"


@dataclass(frozen=True)
class Sql:
    """Where a view's rows come from."""

    sql: str
    tables: dict[str, str]
    timestamp_column: str = "at"


def test_a_view_is_staged_once_and_anew_when_its_sql_changes(folder: Path) -> None:
    store = OfflineStore(OfflineOptions(folder))

    def view(sold: int) -> StoredView:
        sql = f"select 1 as shop, {sold} as sold, TIMESTAMPTZ '2024-05-01 12:00Z' as at from sales"
        return StoredView("shop", {"shop": "INT64"}, {"sold": "INT64"}, Sql(sql, {"sales": "sales.parquet"}))

    assert [store.stage(view(sold)) for sold in (3, 3, 4)] == [True, False, True]
    assert store.connection.execute(f"SELECT sold FROM {staged_table('shop')}").fetchall() == [(4,)]
    store.close()
