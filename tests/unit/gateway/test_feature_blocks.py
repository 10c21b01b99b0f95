"""A block of values is written as its columns would be: as JSON, as the public message, as a record."""

import math
import random
from typing import Any
from unittest.mock import MagicMock

import numpy as np
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from chassis.errors import FailedPrecondition, Internal
from gateway.adapters.columns import block_shape
from gateway.adapters.valkey.record_wire import feature_bytes
from gateway.api.grpc.columns import write_shared
from gateway.api.mizzen.features.answer_bytes import read_response
from gateway.api.mizzen.features.json import features_json
from gateway.domain.columns import to_list
from gateway.domain.model import BlockRows, Column, DType, FeatureColumn, FeatureRows, FeaturesAnswer, Status
from gateway.domain.plans import TensorPlan
from gateway.domain.sources import Sources
from gateway.domain.stale import judged
from gateway.domain.tensors import TENSOR_NUMPY, assembled
from mizzen.gateway.v1 import gateway_pb2 as pb

STAMP = 1_767_225_600_000_000
NAMES = {"BOOL": 1, "INT32": 2, "INT64": 3, "FLOAT32": 4, "FLOAT64": 5, "TIMESTAMP": 7}
COLUMNS: list[tuple[str, str, Any]] = [
    ("v:a", "FLOAT32", "<f4"),
    ("v:b", "FLOAT32", "<f4"),
    ("w:c", "BOOL", "?"),
    ("v:d", "INT64", "<i8"),
    ("w:e", "TIMESTAMP", "<i8"),
    ("w:f", "FLOAT64", "<f8"),
]


def block(rows: int, *, gaps: bool = False) -> tuple[BlockRows, FeatureRows]:
    """The same rows as a block and as columns; with gaps, every second column has a status and a null in its last row."""
    dice = np.random.default_rng(rows)
    raws = [(dice.normal(size=rows) * 5).astype(kind).tobytes() for _, _, kind in COLUMNS]
    indices = bytes(1 + (ref[0] == "w") for ref, _, _ in COLUMNS)
    shape = block_shape([ref for ref, _, _ in COLUMNS], bytes(NAMES[dtype] for _, dtype, _ in COLUMNS), indices)
    stamps = [np.full(rows, STAMP, "<i8").tobytes(), (STAMP + np.arange(rows) * 1500).astype("<i8").tobytes()]
    flawed = [gaps and place % 2 == 1 for place in range(len(COLUMNS))]
    statuses = [bytes(rows - 1).replace(b"\0", b"\1") + b"\2" if flaw else b"" for flaw in flawed]
    nulls = [bytes(rows - 1) + b"\1" if flaw else b"" for flaw in flawed]
    plain = [
        FeatureColumn(ref, Column(DType(dtype), rows, raw, nulls=null), status, index)
        for (ref, dtype, _), raw, status, null, index in zip(COLUMNS, raws, statuses, nulls, indices, strict=True)
    ]
    beside = [
        b"".join(mark or usual * rows for mark in marks) if gaps else b""
        for marks, usual in ((statuses, b"\1"), (nulls, b"\0"))
    ]
    return BlockRows(shape, b"".join(raws), rows, stamps, STAMP, *beside), FeatureRows(plain, stamps, STAMP)


@pytest.mark.parametrize("gaps", [False, True])
@pytest.mark.parametrize("rows", [1, 2, 100])
def test_a_block_is_its_columns_everywhere(rows: int, gaps: bool) -> None:
    whole, plain = block(rows, gaps=gaps)
    assert features_json(whole) == features_json(plain)
    assert feature_bytes(whole) == feature_bytes(plain)
    assert whole.columns == plain.columns
    expected = pb.ReadFeaturesResponse(request_id="r")
    write_shared(plain, expected)
    assert read_response(FeaturesAnswer("r", whole), raw=True) == expected.SerializeToString()
    body = orjson.loads(features_json(whole))
    assert body["v:a"]["statuses"] == ["PRESENT"] * rows
    assert body["v:a"]["event_timestamps"] == ["2026-01-01T00:00:00Z"] * rows
    assert body["v:a"]["values"] == pytest.approx(np.frombuffer(whole.slices()[0], "<f4").tolist())
    assert [type(value) for value in body["w:c"]["values"]] == [bool] * rows
    every = range(len(COLUMNS))
    for status in set(Status) - {Status.PRESENT}:
        for columns in (every, every[:1], every[1:2], ()):
            assert whole.has_status(status, columns) == plain.has_status(status, columns), (status, columns)


@given(
    st.lists(st.sampled_from(COLUMNS), min_size=1, max_size=5, unique=True),
    st.sampled_from(["FP32", "FP64", "INT64", "INT32"]),
    st.integers(0, 2**32),
)
def test_one_row_of_a_block_makes_the_tensor_of_its_columns(
    chosen: list[tuple[str, str, Any]], datatype: str, seed: int
) -> None:
    """Bit for bit, whether numbers fit or not; with a request's own column in the middle."""
    chance = random.Random(seed)
    raw = chance.randbytes(sum(np.dtype(kind).itemsize for _, _, kind in COLUMNS))
    at = np.dtype("<f4").itemsize * 2
    raw = raw[:at] + bytes([chance.getrandbits(1)]) + raw[at + 1 :]  # a bool is 0 or 1
    nulls = bytes(chance.getrandbits(1) for _ in COLUMNS) if chance.getrandbits(1) else b""
    shape, stamps = block(1)[0].shape, [np.array([STAMP], "<i8").tobytes()] * 2
    for place, part in enumerate(BlockRows(shape, raw, 1, stamps, STAMP).slices()):
        if nulls and nulls[place]:  # the value of a null is 0
            start = sum(shape.widths[:place])
            raw = raw[:start] + bytes(len(part)) + raw[start + len(part) :]
    given_column = Column(DType.FLOAT64, 1, np.array([chance.choice([2.5, 1e300])]).tobytes(), nulls=b"")
    sources = [ref for ref, _, _ in chosen]
    sources.insert(chance.randint(0, len(sources)), "input:x")
    plan = TensorPlan("t", datatype, tuple(sources))
    rows = BlockRows(shape, raw, 1, stamps, STAMP, b"", nulls)
    columns = {**dict(zip(shape.refs, rows.values(), strict=True)), "input:x": given_column}
    wanted = assembled(plan, [columns[source] for source in sources], 1)
    found = Sources(shape.refs, rows, {"input:x": given_column}, 1).tensor(plan)
    assert np.frombuffer(found.raw, TENSOR_NUMPY[datatype]).tobytes() == wanted.raw
    assert (found.name, found.datatype, found.shape) == (wanted.name, wanted.datatype, wanted.shape)


def test_stale_values_of_a_block_are_judged() -> None:
    shape = block_shape(["v:a", "v:b"], b"\x05\x05", b"\1\1")
    raw, stamps = np.array([1.0, 2.0, 3.0, 4.0]).tobytes(), [np.array([STAMP, STAMP], "<i8").tobytes()]
    rows = BlockRows(shape, raw, 2, stamps, STAMP, bytes([1, 1, 1, Status.OUTSIDE_MAX_AGE]))
    plan = MagicMock(on_stale="mark", defaults={"v:b": 9.5})
    assert judged(plan, rows) is rows
    plan.on_stale = "default"
    assert [to_list(column) for column in judged(plan, rows).values()] == [[1.0, 2.0], [3.0, 9.5]]
    plan.on_stale = "fail"
    with pytest.raises(FailedPrecondition) as error:
        judged(plan, rows)
    assert error.value.field == "features.v:b[1]"


def test_nulls_statuses_and_what_json_lacks() -> None:
    raw = np.array([0.1, math.nan, math.inf, 4.0], "<f4").tobytes()
    column = FeatureColumn("v:a", Column(DType.FLOAT32, 4, raw, nulls=b"\0\0\0\1"), b"\1\1\1\2", 1)
    text = FeatureColumn("v:b", Column(DType.STRING, 4, strings=["a,b", '"', "", "x"], nulls=b"\0\0\1\0"), b"", 0)
    stamps = [np.array([0, STAMP, STAMP, STAMP], "<i8").tobytes()]
    body = orjson.loads(features_json(FeatureRows([column, text, column], stamps, STAMP)))
    assert body["v:a"]["values"] == [0.1, None, None, None]
    assert body["v:a"]["statuses"] == ["PRESENT", "PRESENT", "PRESENT", "NULL_VALUE"]
    assert body["v:a"]["event_timestamps"][:2] == [None, "2026-01-01T00:00:00Z"]
    assert body["v:b"]["values"] == ["a,b", '"', None, "x"]
    assert body["v:b"]["event_timestamps"] == [None] * 4


def test_a_reference_asked_for_twice_is_one_key() -> None:
    shape = block_shape(["v:a", "v:a"], b"\x04\x04", b"\1\1")
    rows = BlockRows(shape, np.array([1, 1], "<f4").tobytes(), 1, [np.array([STAMP], "<i8").tobytes()], STAMP)
    assert features_json(rows).count(b"v:a") == 1


def test_another_block_than_asked_for_is_refused() -> None:
    with pytest.raises(Internal):
        block_shape(["v:a"], b"\x04\x04", b"\1")
    with pytest.raises(Internal):
        block_shape(["v:a"], b"\x06", b"\1")
