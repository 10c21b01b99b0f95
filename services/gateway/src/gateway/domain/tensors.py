"""Columns → tensors → columns. Bytes in, bytes out: one NumPy write a column, none at all for a single row."""

import math
import struct
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from chassis.errors import FailedPrecondition, Internal
from gateway.domain.columns import LETTER, NUMPY, ONE
from gateway.domain.inference import Tensor
from gateway.domain.model import BlockRows, BlockShape, Column, DType, Scalar
from gateway.domain.plans import OutputPlan, TensorPlan

SIZES = {
    "BOOL": 1,
    "UINT8": 1,
    "UINT16": 2,
    "UINT32": 4,
    "UINT64": 8,
    "INT8": 1,
    "INT16": 2,
    "INT32": 4,
    "INT64": 8,
    "FP16": 2,
    "BF16": 2,
    "FP32": 4,
    "FP64": 8,
}
TENSOR_NUMPY: dict[str, np.dtype[np.generic]] = {
    "BOOL": np.dtype("?"),
    "UINT8": np.dtype("u1"),
    "UINT16": np.dtype("<u2"),
    "UINT32": np.dtype("<u4"),
    "UINT64": np.dtype("<u8"),
    "INT8": np.dtype("i1"),
    "INT16": np.dtype("<i2"),
    "INT32": np.dtype("<i4"),
    "INT64": np.dtype("<i8"),
    "FP16": np.dtype("<f2"),
    "FP32": np.dtype("<f4"),
    "FP64": np.dtype("<f8"),
}
_LETTER = {"BOOL": "?", "INT32": "i", "INT64": "q", "FP32": "f", "FP64": "d"}
FLOATS = ("FP32", "FP64")
_LENGTH = struct.Struct("<I")
_COLUMN_OF = {
    "FP32": DType.FLOAT32,
    "FP64": DType.FLOAT64,
    "INT32": DType.INT32,
    "INT64": DType.INT64,
    "BOOL": DType.BOOL,
    "BYTES": DType.STRING,
}


def assembled(plan: TensorPlan, columns: Sequence[Column], rows: int) -> Tensor:
    """The input tensor [rows, columns] of a plan. Missing: NaN in floats, 0 in whole numbers, empty in BYTES."""
    if plan.datatype == "BYTES":
        raw = _texts(columns, rows)
    elif rows == 1:
        raw = _one_row(plan, columns)
    else:
        raw = _numbers(plan, columns, rows)
    return Tensor(plan.name, plan.datatype, (rows, len(columns)), raw)


def _one_row(plan: TensorPlan, columns: Sequence[Column]) -> bytes:
    missing = math.nan if plan.datatype in FLOATS else 0
    values = [
        missing if column.nulls and column.nulls[0] else ONE[column.dtype].unpack(column.raw)[0] for column in columns
    ]
    try:
        return struct.pack(f"<{len(values)}{_LETTER[plan.datatype]}", *values)
    except (struct.error, OverflowError):
        return _numbers(plan, columns, 1)


def block_row(plan: TensorPlan, block: BlockRows, given: Mapping[str, Column]) -> bytes | None:
    """The bytes of a numeric tensor of one row. None for texts, and where a number does not fit: see `assembled`."""
    if plan.datatype not in _LETTER:
        return None
    unpack, others, indices, pack = _cast(block.shape, plan)
    missing = math.nan if plan.datatype in FLOATS else 0
    numbers = [*unpack(block.raw)]
    place = block.nulls.find(1)
    while place >= 0:
        numbers[place] = missing
        place = block.nulls.find(1, place + 1)
    for source in others:
        column = given[source]
        numbers.append(missing if column.nulls and column.nulls[0] else ONE[column.dtype].unpack(column.raw)[0])
    try:
        return pack(*[numbers[index] for index in indices])
    except (struct.error, OverflowError):
        return None


@lru_cache(maxsize=256)
def _cast(
    shape: BlockShape, plan: TensorPlan
) -> tuple[Callable[[bytes], tuple[Scalar, ...]], list[str], list[int], Callable[..., bytes]]:
    """(a row of the block → numbers, sources to add to them, their places in the tensor's order, numbers → the tensor's bytes)."""
    known = {ref: place for place, ref in enumerate(shape.refs)}
    others = [source for source in dict.fromkeys(plan.sources) if source not in known]
    known.update({source: len(shape.refs) + place for place, source in enumerate(others)})
    row = struct.Struct("<" + "".join(LETTER[dtype] for dtype in shape.dtypes))
    tensor = struct.Struct(f"<{len(plan.sources)}{_LETTER[plan.datatype]}")
    return row.unpack, others, [known[source] for source in plan.sources], tensor.pack


def _numbers(plan: TensorPlan, columns: Sequence[Column], rows: int) -> bytes:
    dtype = TENSOR_NUMPY[plan.datatype]
    missing = math.nan if plan.datatype in FLOATS else 0
    out = np.empty((rows, len(columns)), dtype)
    with np.errstate(over="ignore", invalid="ignore"):
        for index, column in enumerate(columns):
            out[:, index] = np.frombuffer(column.raw, NUMPY[column.dtype]).astype(dtype, casting="unsafe", copy=False)
            if column.nulls:
                out[np.frombuffer(column.nulls, np.bool_), index] = missing
    return out.tobytes()


def _texts(columns: Sequence[Column], rows: int) -> bytes:
    parts: list[bytes] = []
    texts = [_text_column(column) for column in columns]
    for row in range(rows):
        for column in texts:
            text = column[row].encode()
            parts.append(_LENGTH.pack(len(text)))
            parts.append(text)
    return b"".join(parts)


def _text_column(column: Column) -> Sequence[str]:
    if column.strings is not None:
        if not column.nulls:
            return column.strings
        return ["" if null else text for text, null in zip(column.strings, column.nulls, strict=True)]
    values = np.frombuffer(column.raw, NUMPY[column.dtype]).tolist()
    nulls = column.nulls or bytes(column.rows)
    return ["" if null else str(value) for value, null in zip(values, nulls, strict=True)]


def split_texts(raw: bytes) -> list[bytes]:
    """Elements of a BYTES tensor. ValueError when the lengths do not add up."""
    elements: list[bytes] = []
    offset, end = 0, len(raw)
    while offset < end:
        if offset + 4 > end:
            raise ValueError("a length prefix is cut off")
        size = _LENGTH.unpack_from(raw, offset)[0]
        offset += 4
        if offset + size > end:
            raise ValueError("an element is cut off")
        elements.append(raw[offset : offset + size])
        offset += size
    return elements


def text_count(raw: bytes) -> int:
    """How many elements a BYTES tensor holds; -1 when the lengths do not add up."""
    offset, end, count = 0, len(raw), 0
    while offset + 4 <= end:
        offset += 4 + _LENGTH.unpack_from(raw, offset)[0]
        count += 1
    return count if offset == end else -1


def joined_texts(elements: Sequence[bytes]) -> bytes:
    """The reverse of `split_texts`."""
    return b"".join([part for element in elements for part in (_LENGTH.pack(len(element)), element)])


def output_column(plan: OutputPlan, tensors: Mapping[str, Tensor], rows: int) -> Column:
    """One named answer out of the model's tensors. FailedPrecondition when the model answers something else."""
    tensor = tensors.get(plan.tensor)
    if tensor is None:
        message = f"the model answers no tensor {plan.tensor} for output {plan.name}"
        raise FailedPrecondition(message, reason="MODEL_MISMATCH", field=f"outputs.{plan.name}")
    dtype = _COLUMN_OF.get(tensor.datatype)
    width = math.prod(tensor.shape[1:])
    if dtype is None or not tensor.shape or tensor.shape[0] != rows or plan.column >= width:
        message = (
            f"tensor {plan.tensor} is {tensor.datatype} {list(tensor.shape)}: no column {plan.column} of {rows} rows"
        )
        raise FailedPrecondition(message, reason="MODEL_MISMATCH", field=f"outputs.{plan.name}")
    if dtype is DType.STRING:
        texts = split_texts(tensor.raw)[plan.column :: width]
        return Column(dtype, rows, strings=[text.decode(errors="replace") for text in texts])
    if width == 1:
        return Column(dtype, rows, tensor.raw)
    array: NDArray[np.generic] = np.frombuffer(tensor.raw, NUMPY[dtype]).reshape(rows, width)
    return Column(dtype, rows, array[:, plan.column].tobytes())


def whole_column(tensor: Tensor) -> Column | None:
    """A tensor as a column with its first dimension as rows, for records; None for types that records do not have."""
    dtype = _COLUMN_OF.get(tensor.datatype)
    rows = tensor.shape[0] if tensor.shape else 1
    width = math.prod(tensor.shape[1:])
    if dtype is None or not rows or not width:
        return None
    if dtype is DType.STRING:
        strings = [text.decode(errors="replace") for text in split_texts(tensor.raw)]
        return Column(dtype, rows, strings=strings, width=width)
    return Column(dtype, rows, tensor.raw, width=width)


def row_slices(tensor: Tensor, counts: Sequence[int]) -> list[bytes]:
    """The bytes of each run of `counts` rows of a tensor whose first dimension is their sum. Internal when they differ."""
    rows = sum(counts)
    if not tensor.shape or tensor.shape[0] != rows:
        raise Internal(f"tensor {tensor.name} has {tensor.shape[:1]} rows, not {rows}", reason="MODEL_MISMATCH")
    if tensor.datatype == "BYTES":
        elements = split_texts(tensor.raw)
        width = len(elements) // rows if rows else 0
        offsets = _offsets(counts)
        return [
            joined_texts(elements[start * width : (start + count) * width])
            for start, count in zip(offsets, counts, strict=True)
        ]
    size = len(tensor.raw) // rows if rows else 0
    offsets = _offsets(counts)
    return [tensor.raw[start * size : (start + count) * size] for start, count in zip(offsets, counts, strict=True)]


def _offsets(counts: Sequence[int]) -> list[int]:
    offsets, total = [], 0
    for count in counts:
        offsets.append(total)
        total += count
    return offsets
