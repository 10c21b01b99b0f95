"""NumPy arrays ↔ ``mizzen.chassis.v1.Values``: columns as bytes, so that no value passes through a Python loop.

Dtype names are those of the definitions: BOOL, INT32, INT64, FLOAT32, FLOAT64, STRING, TIMESTAMP (int64 microseconds UTC).
Strings live in object arrays of ``str``; everything else in little-endian arrays of the element's own type.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import numpy as np
import numpy.typing as npt

from chassis.errors import InvalidArgument
from mizzen.chassis.v1 import values_pb2 as pb

Array = npt.NDArray[Any]
Nulls = npt.NDArray[np.bool_]

_NUMPY: dict[str, np.dtype[Any]] = {
    "BOOL": np.dtype(np.bool_),
    "INT32": np.dtype("<i4"),
    "INT64": np.dtype("<i8"),
    "FLOAT32": np.dtype("<f4"),
    "FLOAT64": np.dtype("<f8"),
    "STRING": np.dtype(object),
    "TIMESTAMP": np.dtype("<i8"),
}
DTYPES: tuple[str, ...] = tuple(_NUMPY)
_WIRE: dict[str, pb.DType.ValueType] = {name: pb.DType.Value(f"DTYPE_{name}") for name in _NUMPY}
_NAMES: dict[int, str] = {number: name for name, number in _WIRE.items()}
# Types whose raw bytes are their elements, whatever the bytes are.
_PLAIN: dict[int, np.dtype[Any]] = {
    _WIRE[name]: kind for name, kind in _NUMPY.items() if name not in ("BOOL", "STRING")
}


def numpy_dtype(dtype: str) -> np.dtype[Any]:
    """The NumPy dtype of a dtype name. KeyError for an unknown name."""
    return _NUMPY[dtype]


def wire_dtype(dtype: str) -> pb.DType.ValueType:
    """The proto enum value of a dtype name. KeyError for an unknown name."""
    return _WIRE[dtype]


def dtype_name(dtype: int, field: str = "dtype") -> str:
    """The name of a proto enum value. Raises InvalidArgument for an unspecified or unknown one."""
    name = _NAMES.get(dtype)
    if name is None:
        raise InvalidArgument(f"{field} has no known dtype", reason="DTYPE_UNKNOWN", field=field)
    return name


def encode(
    values: Array | Sequence[str], dtype: str, nulls: Nulls | Sequence[bool] | None = None, raw: bool = True
) -> pb.Values:
    """A column as a message.

    values: array of shape [rows] or [rows, width], or a list of strings; elements at nulls are ignored (sent as 0 or "").
    nulls: one flag a row.
    raw: densely packed bytes, the form between services; False gives typed lists, the form for people.
    """
    mask = None if nulls is None else np.asarray(nulls, dtype=np.bool_)
    if mask is not None and not mask.any():
        mask = None
    message = pb.Values(dtype=_WIRE[dtype], nulls=b"" if mask is None else mask.tobytes())
    if dtype == "STRING":
        _encode_strings(message, values, mask)
        return message
    array = np.ascontiguousarray(values, dtype=_NUMPY[dtype])
    if array.ndim > 1:
        message.width = array.shape[1]
    if mask is not None:
        array = np.where(mask if array.ndim == 1 else mask[:, None], array.dtype.type(0), array)
    if raw:
        message.raw = array.tobytes()
    elif dtype == "BOOL":
        message.bools.values.extend(array.ravel().tolist())
    elif dtype in ("FLOAT32", "FLOAT64"):
        message.doubles.values.extend(array.ravel().tolist())
    else:
        message.ints.values.extend(array.ravel().tolist())
    return message


def _encode_strings(message: pb.Values, values: Array | Sequence[str], mask: Nulls | None) -> None:
    if isinstance(values, np.ndarray):
        if values.ndim > 1:
            message.width = values.shape[1]
            values = values.ravel()
        values = values.tolist()
    if mask is not None:
        width = max(1, message.width)
        values = ["" if mask[index // width] else value for index, value in enumerate(values)]
    message.strings.values.extend(values)


def decode(values: pb.Values, rows: int | None = None, field: str = "values") -> tuple[Array, Nulls | None]:
    """The column inside a message: (array of [rows] or, for width > 1, [rows, width]; null mask [rows] or None).

    rows: how many rows there must be; None takes what is there.
    field: the place named in errors. Raises InvalidArgument naming it, with the index of a bad element.
    The array of a raw column is a read-only view of the message's bytes.
    """
    # The usual column of a call between services, with as few looks into the message as it takes.
    plain = _PLAIN.get(values.dtype)
    if plain is not None:
        raw = values.raw
        if raw and len(raw) % plain.itemsize == 0 and values.width < 2 and not values.nulls:
            array = np.frombuffer(raw, plain)
            if rows is None or len(array) == rows:
                return array, None
    dtype = dtype_name(values.dtype, field)
    kind = values.WhichOneof("data")
    if kind == "raw":
        array = _from_raw(values.raw, dtype, field)
    elif kind is None:
        array = np.empty(0, _NUMPY[dtype])
    else:
        array = _from_list(getattr(values, kind).values, kind, dtype, field)
    return _shape(array, values, rows, field)


def _shape(array: Array, values: pb.Values, rows: int | None, field: str) -> tuple[Array, Nulls | None]:
    width = max(1, values.width)
    if array.size % width:
        raise InvalidArgument(f"{field} is no whole number of rows of {width}", reason="COLUMN_LENGTH", field=field)
    found = array.size // width
    if rows is not None and found != rows:
        raise InvalidArgument(f"{field} has {found} rows, not {rows}", reason="COLUMN_LENGTH", field=field)
    nulls: Nulls | None = None
    if values.nulls:
        if len(values.nulls) != found:
            raise InvalidArgument(f"the nulls of {field} are not one a row", reason="COLUMN_LENGTH", field=field)
        nulls = np.frombuffer(values.nulls, dtype=np.uint8).astype(np.bool_)
    return (array if width == 1 else array.reshape(found, width)), nulls


def _from_raw(data: bytes, dtype: str, field: str) -> Array:
    if dtype == "STRING":
        raise InvalidArgument(f"{field} has text as raw bytes", reason="DTYPE_MISMATCH", field=field)
    target = _NUMPY[dtype]
    if len(data) % target.itemsize:
        raise InvalidArgument(f"{field} is no whole number of {dtype} elements", reason="COLUMN_LENGTH", field=field)
    if dtype == "BOOL":
        array = np.frombuffer(data, dtype=np.uint8)
        _refuse(array > 1, field, dtype)
        return array.view(np.bool_)
    return np.frombuffer(data, dtype=target)


def _from_list(items: Sequence[Any], kind: str, dtype: str, field: str) -> Array:
    if kind == "strings":
        return _from_strings(items, dtype, field)
    if dtype == "STRING" or (kind == "bools") != (dtype == "BOOL") or (dtype == "TIMESTAMP" and kind != "ints"):
        raise InvalidArgument(f"{field} has {kind} where {dtype} is wanted", reason="DTYPE_MISMATCH", field=field)
    if kind == "bools":
        return np.fromiter(items, dtype=np.bool_, count=len(items))
    source = np.fromiter(items, dtype="<f8" if kind == "doubles" else "<i8", count=len(items))
    return convert(source, dtype, field)


def convert(source: Array, dtype: str, field: str) -> Array:
    """`source` (int64 or float64) as `dtype`, exactly or not at all; only rounding to float32 is allowed.

    Raises InvalidArgument with the index of the first element that does not fit.
    """
    target = _NUMPY[dtype]
    if source.dtype == target:
        return source
    with np.errstate(invalid="ignore", over="ignore"):
        array = source.astype(target)
        if source.dtype.kind == "f" and target.kind == "f":
            _refuse(np.isinf(array) & np.isfinite(source), field, dtype)
        elif source.dtype.kind == "f":
            # 2^63 itself converts to the smallest int64 on some machines, so bounds come before the comparison
            bound = 2.0 ** (8 * target.itemsize - 1)
            _refuse(~((source >= -bound) & (source < bound) & (array == source)), field, dtype)
        else:
            _refuse(array.astype(source.dtype) != source, field, dtype)
    return array


def _from_strings(items: Sequence[str], dtype: str, field: str) -> Array:
    if dtype == "STRING":
        array = np.empty(len(items), dtype=object)
        array[:] = items
        return array
    if dtype != "TIMESTAMP":
        raise InvalidArgument(f"{field} has text where {dtype} is wanted", reason="DTYPE_MISMATCH", field=field)
    return np.array([instant_us(item, f"{field}[{index}]") for index, item in enumerate(items)], dtype="<i8")


def instant_us(text: str, field: str) -> int:
    """Microseconds UTC of an RFC 3339 instant with an offset; "" (at a null) is 0. Raises InvalidArgument naming `field`."""
    if not text:
        return 0
    try:
        instant = datetime.fromisoformat(text)
        if instant.tzinfo is None:
            raise ValueError("no offset")
        delta = instant.astimezone(UTC) - datetime(1970, 1, 1, tzinfo=UTC)
    except (ValueError, OverflowError) as error:
        raise InvalidArgument(f"{field} is not an RFC 3339 instant", reason="INSTANT_INVALID", field=field) from error
    return (delta.days * 86_400 + delta.seconds) * 1_000_000 + delta.microseconds


def _refuse(bad: Nulls, field: str, dtype: str) -> None:
    if bad.any():
        place = f"{field}[{int(bad.argmax())}]"
        raise InvalidArgument(f"{place} is not a {dtype}", reason="DTYPE_MISMATCH", field=place)
