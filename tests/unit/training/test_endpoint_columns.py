"""Tensors of a training set are what the gateway sends for the same values, missing ones included."""

from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

import training
from catalog import Endpoint
from chassis.errors import InvalidArgument
from gateway.domain.model import Column, DType
from gateway.domain.plans import TensorPlan
from gateway.domain.tensors import assembled, split_texts

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
DTYPES: dict[DType, tuple[pa.DataType, str, list[Any]]] = {
    DType.BOOL: (pa.bool_(), "|u1", [True, None, False]),
    DType.INT32: (pa.int32(), "<i4", [7, None, -(2**31)]),
    DType.INT64: (pa.int64(), "<i8", [2**62 + 1, None, -1]),
    DType.FLOAT32: (pa.float32(), "<f4", [0.1, None, 3e38]),
    DType.FLOAT64: (pa.float64(), "<f8", [0.1, None, -12.5]),
    DType.STRING: (pa.string(), "", ["Žižkov", None, ""]),
    DType.TIMESTAMP: (pa.timestamp("us", "UTC"), "<i8", [datetime(2013, 11, 27, 21, 0, 0, 7, UTC), None, EPOCH]),
}
GIVEN = [
    ("BOOL", DType.BOOL),
    ("INT32", DType.INT32),
    ("INT64", DType.INT64),
    ("INT64", DType.TIMESTAMP),
    ("BYTES", DType.STRING),
    ("BYTES", DType.INT64),
    ("BYTES", DType.BOOL),
    ("BYTES", DType.FLOAT32),
    *((tensor, dtype) for tensor in ("FP32", "FP64") for dtype in DTYPES if dtype is not DType.STRING),
]


def endpoint(datatype: str, *features: str) -> Endpoint:
    fields = [{"name": "x", "dtype": "FLOAT64"}]
    tensors = [{"name": "t", "datatype": datatype, "features": features or ["view:x"]}]
    return Endpoint.model_validate(
        {
            "metadata": {"name": "asked"},
            "spec": {
                "entities": [{"name": "e", "dtype": "STRING"}],
                "inputs": fields,
                "model": {"tensors": tensors, "outputs": [{"name": "y", "dtype": "FLOAT32", "tensor": "y"}]},
                "traffic": {"routes": [{"inferenceService": "asked", "model": "asked"}]},
            },
        }
    )


def column_of(dtype: DType, values: list[Any]) -> Column:
    """As it reaches the gateway: dense, with a byte a row that says what is null."""
    nulls = bytes(value is None for value in values)
    if dtype is DType.STRING:
        return Column(dtype, len(values), strings=[value or "" for value in values], nulls=nulls)
    numbers = [
        (value - EPOCH) // timedelta(microseconds=1) if isinstance(value, datetime) else value for value in values
    ]
    raw = np.array([value or 0 for value in numbers], DTYPES[dtype][1]).tobytes()
    return Column(dtype, len(values), raw=raw, nulls=nulls)


@pytest.mark.parametrize(("datatype", "dtype"), GIVEN)
def test_a_tensor_is_the_one_that_serving_sends(datatype: str, dtype: DType) -> None:
    kind, _, values = DTYPES[dtype]
    table = pa.table({"view:x": pa.array(values, kind)})
    found = training.tensors_of(endpoint(datatype), table)["t"]
    sent = assembled(TensorPlan("t", datatype, ("view:x",)), [column_of(dtype, values)], len(values))
    assert found.shape == sent.shape
    if datatype == "BYTES":
        assert [text.encode() for text in found[:, 0].tolist()] == split_texts(sent.raw)
    else:
        assert found.tobytes() == sent.raw


def test_columns_stand_in_the_order_of_the_endpoint_under_their_references() -> None:
    asked = endpoint("FP32", "view:x", "input:x")
    table = pa.table({"x": [1.0, 2.0], "view:x": [3.0, 4.0], "e": ["a", "b"]})
    tensors = training.tensors_of(asked, table)
    assert tensors["t"].tolist() == [[3.0, 1.0], [4.0, 2.0]]
    columns = training.columns_of(asked, tensors)
    assert {name: column.tolist() for name, column in columns.items()} == {"view:x": [3.0, 4.0], "input:x": [1.0, 2.0]}
    assert training.tensors_of(endpoint("BYTES", "entity:e"), table)["t"].tolist() == [["a"], ["b"]]


def test_a_column_that_the_table_lacks_is_named() -> None:
    with pytest.raises(InvalidArgument, match="no column view:x"):
        training.tensors_of(endpoint("FP32"), pa.table({"x": [1.0]}))
