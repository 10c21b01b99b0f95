"""Packed rows come back as they went in, whatever is in them."""

import random
import struct
import zlib
from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from features.domain.rows import NEVER_US, TEXT, Layout, event_timestamp_us

KINDS = {
    "BOOL": "|u1",
    "INT32": "<i4",
    "INT64": "<i8",
    "FLOAT32": "<f4",
    "FLOAT64": "<f8",
    "TIMESTAMP": "<i8",
    "STRING": TEXT,
}
INSTANTS = st.integers(-(2**53), 2**53)


def values_of(dtype: str) -> st.SearchStrategy[Any]:
    return {
        "BOOL": st.integers(0, 1),
        "INT32": st.integers(-(2**31), 2**31 - 1),
        "INT64": st.integers(-(2**63), 2**63 - 1),
        "TIMESTAMP": INSTANTS,
        "FLOAT32": st.floats(width=32),
        "FLOAT64": st.floats(),
        "STRING": st.text(st.characters(exclude_categories=["Cs"]), max_size=20),
    }[dtype]


@st.composite
def tables(draw: st.DrawFn) -> tuple[list[str], list[int], list[list[Any]]]:
    dtypes = draw(st.lists(st.sampled_from(sorted(KINDS)), min_size=1, max_size=12))
    rows = draw(st.integers(1, 7))
    instants = draw(st.lists(INSTANTS, min_size=rows, max_size=rows))
    columns = [draw(st.lists(st.none() | values_of(dtype), min_size=rows, max_size=rows)) for dtype in dtypes]
    return dtypes, instants, columns


def layout_of(dtypes: list[str]) -> Layout:
    return Layout([(f"c{i}", dtype, KINDS[dtype]) for i, dtype in enumerate(dtypes)])


def encode(dtypes: list[str], instants: list[int], columns: list[list[Any]]) -> list[bytes]:
    arrays: list[Any] = []
    for dtype, column in zip(dtypes, columns, strict=True):
        zero: Any = "" if dtype == "STRING" else 0
        filled = [zero if value is None else value for value in column]
        arrays.append(filled if dtype == "STRING" else np.array(filled, KINDS[dtype]))
    nulls = [np.array([value is None for value in column]) for column in columns]
    return layout_of(dtypes).encode(np.array(instants, np.int64), arrays, nulls)


@given(tables(), st.randoms())
@settings(max_examples=300, deadline=None)
def test_rows_come_back(table: tuple[list[str], list[int], list[list[Any]]], dice: random.Random) -> None:
    dtypes, instants, columns = table
    gone = {i for i in range(len(instants)) if dice.random() < 0.2}
    packed = [None if i in gone else row for i, row in enumerate(encode(dtypes, instants, columns))]
    decoded = layout_of(dtypes).decode(packed)
    assert decoded.mismatched == 0
    assert decoded.timestamps_us.tolist() == [NEVER_US if i in gone else at for i, at in enumerate(instants)]
    for c, (dtype, column) in enumerate(zip(dtypes, columns, strict=True)):
        for i, wanted in enumerate(column):
            if i in gone:
                continue
            assert bool(decoded.nulls is not None and decoded.nulls[i, c]) == (wanted is None)
            if wanted is None:
                continue
            if dtype == "STRING":
                assert decoded.texts[c][i] == wanted
            else:
                size = np.dtype(KINDS[dtype]).itemsize
                assert decoded.raws[c][i * size : (i + 1) * size] == np.array([wanted], KINDS[dtype]).tobytes()


@given(tables(), st.binary(max_size=200), st.integers(0, 300))
@settings(max_examples=200, deadline=None)
def test_foreign_bytes_count_as_not_there(
    table: tuple[list[str], list[int], list[list[Any]]], junk: bytes, cut: int
) -> None:
    dtypes, instants, columns = table
    row = encode(dtypes, instants, columns)[0]
    layout = layout_of(dtypes)
    for foreign in (junk, row[: min(cut, len(row) - 1)], row + b"x"):
        decoded = layout.decode([foreign])
        assert decoded.timestamps_us.tolist() == [NEVER_US]
        assert decoded.mismatched + (decoded.damaged is not None) == 1
        decoded = layout.decode([row, foreign])
        assert decoded.timestamps_us.tolist() == [instants[0], NEVER_US]


@given(tables(), st.integers(1, 255), st.randoms())
@settings(max_examples=150, deadline=None)
def test_a_changed_byte_is_damage_wherever_it_is(
    table: tuple[list[str], list[int], list[list[Any]]], change: int, dice: random.Random
) -> None:
    dtypes, instants, columns = table
    rows, layout = encode(dtypes, instants, columns), layout_of(dtypes)
    one = dice.randrange(len(rows))
    for at in range(len(rows[one])):
        flipped = bytearray(rows[one])
        flipped[at] ^= change
        assert layout.whole(bytes(flipped)) is None
        decoded = layout.decode([*rows[:one], bytes(flipped), *rows[one + 1 :]])
        assert decoded.damaged is not None
        assert decoded.damaged.tolist() == [i == one for i in range(len(rows))]
        assert decoded.timestamps_us.tolist() == [NEVER_US if i == one else at_us for i, at_us in enumerate(instants)]
        assert decoded.mismatched == 0


@given(tables())
@settings(max_examples=100, deadline=None)
def test_rows_written_before_there_was_a_checksum_are_read(table: tuple[list[str], list[int], list[list[Any]]]) -> None:
    dtypes, instants, columns = table
    rows, layout = encode(dtypes, instants, columns), layout_of(dtypes)
    old = [bytes((row[0] - 2,)) + row[1:-4] for row in rows]
    new, mixed = layout.decode(rows), layout.decode([*old[:1], *rows[1:]])
    for before in (layout.decode(old), mixed):
        assert before.raws == new.raws
        assert before.texts == new.texts
        assert before.timestamps_us.tolist() == instants
        assert before.damaged is None
        assert (before.nulls is None) == (new.nulls is None)
        assert before.nulls is None or (before.nulls == new.nulls).all()


def test_another_schema_is_another_layout() -> None:
    row = encode(["FLOAT32"], [7], [[1.5]])[0]
    assert layout_of(["INT32"]).decode([row]).mismatched == 1
    renamed = Layout([("other", "FLOAT32", "<f4")])
    assert renamed.decode([row, None]).mismatched == 1


def test_the_format_is_written_down() -> None:
    """A change of these bytes makes stored rows unreadable: raise the layout version instead."""
    layout = Layout([("late", "FLOAT32", "<f4"), ("airline", "STRING", TEXT), ("flights", "INT64", "<i8")])
    columns: list[Any] = [np.array([0.25, 0.5]), ["UA", "B6"], np.array([0, 7])]
    instants = np.array([1_357_000_000_000_000, -2])
    one, other = layout.encode(instants, columns, [None, None, np.array([True, False])])
    schema = struct.pack("<I", layout.schema_hash & 0xFFFFFFFF)
    stamp, before = (int(instant).to_bytes(7, "little", signed=True) for instant in instants)
    expected_one = b"\x05" + stamp + schema + struct.pack("<qfI", 0, 0.25, 2) + b"\x01" + b"UA"
    expected_other = b"\x04" + before + schema + struct.pack("<qfI", 7, 0.5, 2) + b"B6"
    assert one == expected_one + struct.pack("<I", zlib.crc32(expected_one))
    assert other == expected_other + struct.pack("<I", zlib.crc32(expected_other))
    assert [event_timestamp_us(row) for row in (one, other)] == instants.tolist()
    assert event_timestamp_us(b"\x01" + one[1:]) == NEVER_US
    assert f"{layout.schema_hash:016x}" == "637b1ee7dbf4a2c2"
