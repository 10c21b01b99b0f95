"""A training set's table → the input tensors of an Endpoint's model, filled as the gateway fills them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from catalog import Endpoint
from chassis.errors import InvalidArgument

_NUMPY: Mapping[str, Any] = {
    "BOOL": np.bool_,
    "INT32": np.int32,
    "INT64": np.int64,
    "FP32": np.float32,
    "FP64": np.float64,
}
_MISSING: Mapping[str, Any] = {"BOOL": False, "INT32": 0, "INT64": 0, "FP32": np.nan, "FP64": np.nan}


def tensors_of(endpoint: Endpoint, table: pa.Table) -> dict[str, NDArray[Any]]:
    """Tensor → [rows, features], from a table with a column per reference, and per entity and input by its bare name.

    Missing is NaN in FP32 and FP64, 0 in whole numbers and BOOL, empty text in BYTES, as when the model is asked.
    InvalidArgument when the table lacks a column.
    """
    return {
        tensor.name: np.stack([_column(table, name, tensor.datatype) for name in tensor.features], axis=1)
        for tensor in endpoint.spec.model.tensors
    }


def columns_of(endpoint: Endpoint, tensors: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    """Reference → column [rows], of tensors as `tensors_of` gives them: what a reference profile is made of."""
    return {
        name: column
        for tensor in endpoint.spec.model.tensors
        for name, column in zip(tensor.features, tensors[tensor.name].T, strict=True)
    }


def _column(table: pa.Table, reference: str, datatype: str) -> NDArray[Any]:
    name = reference.partition(":")[2] if reference.startswith(("entity:", "input:")) else reference
    if name not in table.column_names:
        raise InvalidArgument(f"the training set has no column {name}", reason="COLUMN_MISSING", field=name)
    column = table.column(name)
    if pa.types.is_timestamp(column.type):  # the platform's instants: microseconds UTC
        column = column.cast(pa.timestamp("us", column.type.tz)).cast(pa.int64())
    if datatype in ("FP32", "FP64") and not pa.types.is_floating(column.type):
        column = column.cast(pa.float64(), safe=False)
    if datatype == "BYTES":
        return _texts(column)
    if column.null_count:
        column = column.fill_null(_MISSING[datatype])
    return np.asarray(column.to_numpy()).astype(_NUMPY[datatype])


def _texts(column: pa.ChunkedArray) -> NDArray[np.str_]:
    """Texts as they are, and anything else as Python writes it."""
    return np.array(["" if value is None else str(value) for value in column.to_pylist()], np.str_)
