"""Columns on the wire: exact or refused, with the place named."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from chassis.errors import InvalidArgument
from chassis.values import DTYPES, convert, decode, dtype_name, encode, instant_us, numpy_dtype, wire_dtype
from mizzen.chassis.v1 import values_pb2 as pb

SAMPLES: dict[str, list[Any]] = {
    "BOOL": [True, False, True],
    "INT32": [-(2**31), 0, 2**31 - 1],
    "INT64": [-(2**63), 0, 2**63 - 1],
    "FLOAT32": [-1.5, 0.0, np.inf],
    "FLOAT64": [-1e300, 0.1, np.nan],
    "STRING": ["", "ünïcode 🙂", "N3"],
    "TIMESTAMP": [0, 1_373_328_000_000_000, -1],
}


def test_every_dtype_of_the_wire_is_known() -> None:
    assert {wire_dtype(name) for name in DTYPES} == set(pb.DType.values()) - {pb.DTYPE_UNSPECIFIED}
    assert all(dtype_name(wire_dtype(name)) == name for name in DTYPES)
    with pytest.raises(InvalidArgument) as caught:
        decode(pb.Values(), 0, "inputs.x")
    assert caught.value.field == "inputs.x"


@pytest.mark.parametrize("raw", [True, False])
@pytest.mark.parametrize("nulls", [None, [False, True, False]])
@pytest.mark.parametrize("dtype", DTYPES)
def test_a_column_comes_back(dtype: str, nulls: list[bool] | None, raw: bool) -> None:
    array = np.array(SAMPLES[dtype], dtype=numpy_dtype(dtype))
    message = pb.Values.FromString(encode(array, dtype, nulls, raw).SerializeToString())
    got, mask = decode(message, 3)
    assert got.dtype == numpy_dtype(dtype)
    expected = array.copy()
    if nulls:
        assert mask is not None
        assert mask.tolist() == nulls
        expected[1] = "" if dtype == "STRING" else 0
    else:
        assert mask is None
    np.testing.assert_array_equal(got, expected)


def test_lists_of_text_are_columns_too() -> None:
    assert decode(encode(["a", "b"], "STRING"), 2)[0].tolist() == ["a", "b"]
    assert decode(encode([], "STRING"), 0)[0].tolist() == []
    assert decode(pb.Values(dtype=pb.DTYPE_INT64))[0].size == 0


@pytest.mark.parametrize("raw", [True, False])
def test_vectors_keep_their_rows(raw: bool) -> None:
    array = np.arange(12, dtype="<f4").reshape(4, 3)
    message = encode(array, "FLOAT32", [False, False, True, False], raw)
    assert message.width == 3
    got, mask = decode(message, 4)
    assert mask is not None
    assert got.shape == (4, 3)
    assert got[2].tolist() == [0, 0, 0]
    assert got[3].tolist() == array[3].tolist()
    text = np.array([["a", "b"], ["c", "d"]], dtype=object)
    assert decode(encode(text, "STRING"), 2)[0].tolist() == text.tolist()


def test_raw_columns_are_views_of_the_message() -> None:
    array, _ = decode(encode(np.arange(4.0), "FLOAT64"), 4)
    assert not array.flags.writeable


def values(dtype: str, **data: list[Any]) -> pb.Values:
    ((kind, items),) = data.items()
    message = pb.Values(dtype=wire_dtype(dtype))
    getattr(message, kind).values.extend(items)
    return message


@pytest.mark.parametrize(
    ("message", "place"),
    [
        (values("INT64", doubles=[1.0, 1.5]), "x[1]"),
        (values("INT64", doubles=[2.0**63]), "x[0]"),
        (values("INT64", doubles=[float("nan")]), "x[0]"),
        (values("INT32", ints=[0, 2**31]), "x[1]"),
        (values("INT32", doubles=[0, 0, -(2.0**31) - 1]), "x[2]"),
        (values("FLOAT32", doubles=[0.1, 1e39]), "x[1]"),
        (values("FLOAT32", ints=[2**24, 2**24 + 1]), "x[1]"),
        (values("FLOAT64", ints=[2**53, 2**53 + 1]), "x[1]"),
        (values("FLOAT64", bools=[True]), "x"),
        (values("FLOAT64", strings=["1"]), "x"),
        (values("BOOL", ints=[1]), "x"),
        (values("STRING", ints=[1]), "x"),
        (values("TIMESTAMP", doubles=[1.0]), "x"),
        (values("TIMESTAMP", strings=["2013-07-09T00:00:00Z", "yesterday"]), "x[1]"),
        (values("TIMESTAMP", strings=["2013-07-09T00:00:00"]), "x[0]"),
        (pb.Values(dtype=pb.DTYPE_BOOL, raw=b"\x00\x02"), "x[1]"),
        (pb.Values(dtype=pb.DTYPE_INT64, raw=b"1234567"), "x"),
        (pb.Values(dtype=pb.DTYPE_STRING, raw=b"abc"), "x"),
        (pb.Values(dtype=pb.DTYPE_INT32, raw=b"1234" * 3, width=2), "x"),
        (pb.Values(dtype=pb.DTYPE_INT32, raw=b"1234", nulls=b"\x00\x00"), "x"),
    ],
)
def test_what_does_not_fit_is_refused_by_name(message: pb.Values, place: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        decode(message, None, "x")
    assert caught.value.field == place
    assert place in caught.value.message


def test_the_number_of_rows_is_checked() -> None:
    with pytest.raises(InvalidArgument) as caught:
        decode(encode(np.arange(3), "INT64"), 4, "entities.tailnum")
    assert caught.value.field == "entities.tailnum"


def test_rounding_to_float32_is_no_loss() -> None:
    got, _ = decode(values("FLOAT32", doubles=[0.1, float("inf"), float("nan")]), 3)
    np.testing.assert_array_equal(got, np.array([0.1, np.inf, np.nan], dtype="f4"))


def test_instants_are_read_with_their_offset() -> None:
    assert instant_us("2013-07-09T00:00:00Z", "x") == 1_373_328_000_000_000
    assert instant_us("2013-07-09T02:00:00.000001+02:00", "x") == 1_373_328_000_000_001
    assert instant_us("1969-12-31T23:59:59.999999Z", "x") == -1
    assert instant_us("", "x") == 0


@given(st.lists(st.floats() | st.integers(-(2**63), 2**63 - 1).map(float)), st.sampled_from(["INT32", "INT64"]))
def test_a_float_becomes_an_integer_exactly_or_not_at_all(items: list[float], dtype: str) -> None:
    low, high = np.iinfo(numpy_dtype(dtype)).min, np.iinfo(numpy_dtype(dtype)).max
    bad = [i for i, item in enumerate(items) if not (item == item and abs(item) != np.inf and low <= int(item) <= high)]
    bad += [i for i, item in enumerate(items) if i not in bad and item != int(item)]
    source = np.array(items, dtype="<f8")
    if bad:
        with pytest.raises(InvalidArgument) as caught:
            convert(source, dtype, "x")
        assert caught.value.field == f"x[{min(bad)}]"
    else:
        assert convert(source, dtype, "x").tolist() == [int(item) for item in items]


@given(st.lists(st.text()), st.data())
def test_any_text_survives(items: list[str], data: st.DataObject) -> None:
    nulls = data.draw(st.lists(st.booleans(), min_size=len(items), max_size=len(items)))
    got, mask = decode(pb.Values.FromString(encode(items, "STRING", nulls).SerializeToString()), len(items))
    assert got.tolist() == ["" if null else item for item, null in zip(items, nulls, strict=True)]
    assert (mask.tolist() if mask is not None else [False] * len(items)) == nulls
