"""A block of values is written as its columns would be: as JSON, as the public message, as a record."""

import math
from typing import Any

import numpy as np
import orjson
import pytest

from chassis.errors import Internal
from gateway.adapters.columns import block_shape
from gateway.adapters.record_wire import feature_bytes
from gateway.api.grpc.convert import write_shared
from gateway.api.grpc.feature_bytes import read_response
from gateway.api.rest.feature_json import features_json
from gateway.domain.model import BlockRows, Column, DType, FeatureColumn, FeatureRows, FeaturesAnswer
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


def block(rows: int) -> tuple[BlockRows, FeatureRows]:
    dice = np.random.default_rng(rows)
    raws = [(dice.normal(size=rows) * 5).astype(kind).tobytes() for _, _, kind in COLUMNS]
    indices = bytes(1 + (ref[0] == "w") for ref, _, _ in COLUMNS)
    shape = block_shape([ref for ref, _, _ in COLUMNS], bytes(NAMES[dtype] for _, dtype, _ in COLUMNS), indices)
    stamps = [np.full(rows, STAMP, "<i8").tobytes(), (STAMP + np.arange(rows) * 1500).astype("<i8").tobytes()]
    plain = [
        FeatureColumn(ref, Column(DType(dtype), rows, raw), b"", index)
        for (ref, dtype, _), raw, index in zip(COLUMNS, raws, indices, strict=True)
    ]
    return BlockRows(shape, b"".join(raws), rows, stamps, STAMP), FeatureRows(plain, stamps, STAMP)


@pytest.mark.parametrize("rows", [1, 2, 100])
def test_a_block_is_its_columns_everywhere(rows: int) -> None:
    whole, plain = block(rows)
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
