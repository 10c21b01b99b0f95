"""Domain columns ↔ `mizzen.chassis.v1.Values` as internal calls carry them: raw bytes or strings, never typed lists."""

from collections.abc import Sequence

from chassis.errors import Internal
from gateway.domain.model import BlockShape, Column, DType
from mizzen.chassis.v1 import values_pb2

WIRE = {dtype: values_pb2.DType.Value(f"DTYPE_{dtype.value}") for dtype in DType}
_DOMAIN: dict[int, DType] = {number: dtype for dtype, number in WIRE.items()}
_SIZES = {
    DType.BOOL: 1,
    DType.INT32: 4,
    DType.INT64: 8,
    DType.FLOAT32: 4,
    DType.FLOAT64: 8,
    DType.TIMESTAMP: 8,
}


def write_values(column: Column, target: values_pb2.Values) -> None:
    """Fills `target` with the column."""
    target.dtype = WIRE[column.dtype]
    if column.width > 1:
        target.width = column.width
    if column.strings is not None:
        target.strings.values.extend(column.strings)
    else:
        target.raw = column.raw
    if column.nulls:
        target.nulls = column.nulls


def block_shape(references: Sequence[str], dtypes: bytes, indices: bytes) -> BlockShape:
    """What a block of a service's answer consists of. Internal when it is not what was asked for."""
    found = tuple(_DOMAIN.get(number, DType.STRING) for number in dtypes)
    if not len(references) == len(found) == len(indices) or DType.STRING in found:
        raise Internal("features answered another block than asked for", reason="UPSTREAM_MISMATCH")
    widths = tuple(_SIZES[dtype] for dtype in found)
    return BlockShape(tuple(references), found, widths, tuple(indices), sum(widths))


def read_values(values: values_pb2.Values, rows: int, ref: str) -> Column:
    """The column of a service's answer. Internal when its length is not `rows`."""
    dtype = _DOMAIN.get(values.dtype)
    # The usual case with as few looks into the message as it takes.
    if dtype in _SIZES:
        raw = values.raw
        if len(raw) == rows * _SIZES[dtype]:
            return Column(dtype, rows, raw, None, values.nulls)
    width = values.width or 1
    if dtype is DType.STRING:
        strings = list(values.strings.values)
        if len(strings) == rows * width:
            return Column(dtype, rows, strings=strings, nulls=values.nulls, width=width)
    elif dtype is not None:
        raw = values.raw
        if len(raw) == rows * width * _SIZES[dtype]:
            return Column(dtype, rows, raw, None, values.nulls, width)
    raise Internal(f"features answered a column of another length for {ref}", reason="UPSTREAM_MISMATCH")
