"""A read as a block answers what the same read answers column by column; one with gaps, only where they are taken."""

import random
from collections.abc import Sequence

import numpy as np
import pytest

from chassis.clock import SystemClock
from features.domain.model import NUMPY, Answer, Column, Definitions, DType, Given, Query, Status, View
from features.domain.read import Reader, ReadLimits
from features.domain.rows import TEXT, Layout
from tests.fakes.online_store import FakeOnlineStore

NOON, MINUTE = 1_700_000_000_000_000, 60_000_000
FIXED = [dtype for dtype in DType if dtype is not DType.STRING]


class Silent:
    """domain.ports.Metrics that counts nothing."""

    def store_read(self, seconds: float, keys: int, failed: bool) -> None: ...

    def rows_read(self, view: str, rows: int, *counts: int) -> None: ...

    def rows_written(self, view: str, written: int, older: int) -> None: ...


def make_view(name: str, dtypes: Sequence[DType]) -> View:
    columns = tuple(Column(f"f{i}", dtype) for i, dtype in enumerate(dtypes))
    packed = [(c.name, str(c.dtype), TEXT if c.dtype is DType.STRING else NUMPY[c.dtype]) for c in columns]
    return View(name, "", (Column("id", DType.INT64),), columns, (), (), 10 * MINUTE, Layout(packed))


def row(view: View, instant_us: int, dice: np.random.Generator, *, null: bool = False) -> bytes:
    values = [
        [str(dice.integers(9))]
        if column.dtype is DType.STRING
        else np.frombuffer(dice.bytes(8), NUMPY[column.dtype])[:1]
        for column in view.stored
    ]
    nulls = [np.array([null and i == 0]) for i in range(len(values))]
    return view.layout.encode(np.array([instant_us]), values, nulls)[0]


@pytest.mark.parametrize("seed", range(120))
async def test_a_block_holds_the_columns_in_order(seed: int) -> None:
    chance, dice = random.Random(seed), np.random.default_rng(seed)
    views = [make_view(name, chance.choices(FIXED, k=chance.randint(1, 8))) for name in ("a", "b")]
    rows, store = chance.choice([1, 1, 2, 5]), FakeOnlineStore()
    reader = Reader(store, SystemClock(), Silent(), ReadLimits())
    reader.load(Definitions({view.name: view for view in views}))
    flaw = chance.choice([None, None, "gone", "old", "later", "null", "other"])
    for view in views:
        for entity in range(rows):
            is_flawed = view is views[0] and entity == rows - 1
            instant = NOON - MINUTE
            if is_flawed:
                instant = {"old": NOON - 11 * MINUTE, "later": NOON + 1}.get(flaw or "", instant)
            packed = row(view, instant, dice, null=is_flawed and flaw == "null")
            if is_flawed and flaw == "other":
                packed = row(make_view("a", [*(c.dtype for c in view.stored), DType.BOOL]), instant, dice)
            if not (is_flawed and flaw == "gone"):
                store.rows[f"{{f1|7:default|id=#{entity}}}{view.name}".encode()] = packed
    refs = [f"{view.name}:{column.name}" for view in views for column in view.stored]
    if chance.random() < 0.5:
        chance.shuffle(refs)
    refs += refs[:1]  # a reference may come twice
    block, gaps, columns = await every_way(reader, tuple(refs), rows)
    assert block.timestamps_us == columns.timestamps_us
    assert (block.block is not None) == (columns.statuses is None) == (flaw is None)
    if block.block is not None:
        assert block.block == b"".join(each for each in columns.values if isinstance(each, bytes))
        assert block.block_statuses == block.block_nulls == b""
    assert_same(gaps, columns)


def assert_same(gaps: Answer, columns: Answer) -> None:
    """A block with gaps holds what the columns do."""
    rows = columns.rows
    assert gaps.timestamps_us == columns.timestamps_us
    assert gaps.block == b"".join(each for each in columns.values if isinstance(each, bytes))
    for found, wanted, usual in (
        (gaps.block_statuses, columns.statuses, bytes([Status.PRESENT]) * rows),
        (gaps.block_nulls, columns.nulls, bytes(rows)),
    ):
        marks = b"".join(each or usual for each in wanted or [b""] * len(columns.values))
        assert found == (b"" if marks == usual * len(columns.values) else marks)


async def every_way(reader: Reader, refs: tuple[str, ...], rows: int) -> tuple[Answer, Answer, Answer]:
    """The same read as a block without gaps, as a block with gaps, and as columns."""
    entities = {"id": Given(np.arange(rows))}
    queries = [
        Query("default", refs, entities, {}, rows, NOON, as_block=as_block, gaps_in_block=gaps, default_when_down=True)
        for as_block, gaps in ((True, False), (True, True), (False, False))
    ]
    block, gaps, columns = await reader.read(queries, 1.0)
    assert isinstance(block, Answer), block
    assert isinstance(gaps, Answer), gaps
    assert isinstance(columns, Answer), columns
    return block, gaps, columns


async def test_defaults_for_a_store_that_is_down_are_a_block_with_gaps() -> None:
    view, store = make_view("a", [DType.FLOAT32, DType.INT64]), FakeOnlineStore()
    reader = Reader(store, SystemClock(), Silent(), ReadLimits())
    reader.load(Definitions({"a": view}))
    store.is_down = True
    block, gaps, columns = await every_way(reader, ("a:f0", "a:f1"), 2)
    assert block.block is None
    assert gaps.block_statuses == bytes([Status.UNAVAILABLE]) * 4
    assert_same(gaps, columns)


async def test_texts_make_no_block() -> None:
    view, store = make_view("a", [DType.STRING, DType.INT32]), FakeOnlineStore()
    reader = Reader(store, SystemClock(), Silent(), ReadLimits())
    reader.load(Definitions({"a": view}))
    store.rows[b"{f1|7:default|id=#0}a"] = row(view, NOON, np.random.default_rng(0))
    block, gaps, _ = await every_way(reader, ("a:f0", "a:f1"), 1)
    assert block.block is gaps.block is None
    # without the text the same rows are still not of fixed length
    block, gaps, columns = await every_way(reader, ("a:f1",), 1)
    assert block.block == gaps.block == columns.values[0]
