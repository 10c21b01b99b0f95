"""Columns: from and to Python lists, defaults, slices. Every error names the field and the index."""

import datetime
import struct
from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from chassis.errors import InvalidArgument
from gateway.domain.model import Column, DType, Scalar

NUMPY: dict[DType, np.dtype[np.generic]] = {
    DType.BOOL: np.dtype("?"),
    DType.INT32: np.dtype("<i4"),
    DType.INT64: np.dtype("<i8"),
    DType.FLOAT32: np.dtype("<f4"),
    DType.FLOAT64: np.dtype("<f8"),
    DType.TIMESTAMP: np.dtype("<i8"),
}
LETTER = {
    DType.BOOL: "?",
    DType.INT32: "i",
    DType.INT64: "q",
    DType.FLOAT32: "f",
    DType.FLOAT64: "d",
    DType.TIMESTAMP: "q",
}
# One-row unpackers: a struct costs a tenth of a NumPy view.
ONE = {dtype: struct.Struct("<" + letter) for dtype, letter in LETTER.items()}
_LIMITS = {DType.INT32: 2**31, DType.INT64: 2**63}
_WORDS = {
    DType.BOOL: "true or false",
    DType.INT32: "a whole number of 32 bits",
    DType.INT64: "a whole number of 64 bits",
    DType.FLOAT32: "a number",
    DType.FLOAT64: "a number",
    DType.STRING: "a string",
    DType.TIMESTAMP: "an RFC 3339 instant with a time zone, e.g. 2013-11-03T14:00:00Z",
}
MAX_STRING = 4096
_EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)
_MICROSECOND = datetime.timedelta(microseconds=1)


def parse_instant(text: object, field: str) -> int:
    """RFC 3339 text → microseconds UTC. InvalidArgument names the field."""
    try:
        if not isinstance(text, str) or len(text) > 40:
            raise ValueError
        instant = datetime.datetime.fromisoformat(text)
        if instant.tzinfo is None:
            raise ValueError
        return (instant - _EPOCH) // _MICROSECOND
    except (ValueError, OverflowError):
        message = f"{field} must be an RFC 3339 instant with a time zone, e.g. 2013-11-03T14:00:00Z"
        raise InvalidArgument(message, reason="INVALID_VALUE", field=field) from None


def format_instant(instant_us: int) -> str:
    """Microseconds UTC → RFC 3339 with `Z`; no fraction when it is a whole second."""
    return (_EPOCH + datetime.timedelta(microseconds=instant_us)).isoformat().replace("+00:00", "Z")


def from_list(values: Sequence[object], dtype: DType, field: str, *, nullable: bool = False) -> Column:
    """One scalar a row → a column. Types are taken exactly (an int is a fine float, nothing else is converted)."""
    nulls = b""
    if nullable and None in values:
        nulls = bytes(value is None for value in values)
        empty: Scalar = "" if dtype is DType.STRING else 0
        if dtype is DType.TIMESTAMP:
            empty = "1970-01-01T00:00:00Z"
        elif dtype is DType.BOOL:
            empty = False
        values = [empty if value is None else value for value in values]
    rows = len(values)
    if dtype is DType.STRING:
        return Column(dtype, rows, strings=_strings(values, field), nulls=nulls)
    numbers: Sequence[object] = values
    if dtype is DType.TIMESTAMP:
        numbers = [parse_instant(value, f"{field}[{row}]") for row, value in enumerate(values)]
    elif dtype in _LIMITS:
        _check_whole(values, dtype, field)
    elif dtype is DType.BOOL:
        _check_types(values, bool, dtype, field)
    else:
        _check_numbers(values, dtype, field)
    if rows == 1:
        return Column(dtype, 1, ONE[dtype].pack(numbers[0]), nulls=nulls)
    return Column(dtype, rows, struct.pack(f"<{rows}{LETTER[dtype]}", *numbers), nulls=nulls)


def _wrong(field: str, row: int, dtype: DType, value: object) -> InvalidArgument:
    given = "null" if value is None else type(value).__name__ if not isinstance(value, bool) else "true/false"
    names = {"str": "a string", "int": "a whole number", "float": "a number", "list": "a list", "dict": "an object"}
    message = f"{field}[{row}] must be {_WORDS[dtype]}, not {names.get(given, given)}"
    return InvalidArgument(message, reason="INVALID_VALUE", field=f"{field}[{row}]")


def _strings(values: Sequence[object], field: str) -> list[str]:
    for row, value in enumerate(values):
        if type(value) is not str:
            raise _wrong(field, row, DType.STRING, value)
        if len(value) > MAX_STRING or "\x00" in value:
            message = f"{field}[{row}] must have at most {MAX_STRING} characters and no NUL character"
            raise InvalidArgument(message, reason="INVALID_VALUE", field=f"{field}[{row}]")
    return values  # type: ignore[return-value]


def _check_types(values: Sequence[object], kind: type, dtype: DType, field: str) -> None:
    for row, value in enumerate(values):
        if type(value) is not kind:
            raise _wrong(field, row, dtype, value)


def _check_whole(values: Sequence[object], dtype: DType, field: str) -> None:
    limit = _LIMITS[dtype]
    for row, value in enumerate(values):
        if type(value) is not int or not -limit <= value < limit:
            raise _wrong(field, row, dtype, value)


def _check_numbers(values: Sequence[object], dtype: DType, field: str) -> None:
    largest = 3.4028235677973366e38 if dtype is DType.FLOAT32 else 1.7976931348623157e308
    for row, value in enumerate(values):
        if type(value) is not float and type(value) is not int:
            raise _wrong(field, row, dtype, value)
        if not -largest <= value <= largest:
            message = f"{field}[{row}] is outside the range of {dtype}"
            raise InvalidArgument(message, reason="INVALID_VALUE", field=f"{field}[{row}]")


def to_list(column: Column, *, instants: bool = True) -> list[object]:
    """A column → Python scalars (or lists, where width > 1); null → None, NaN and infinities → None, instants → text."""
    values: list[object]
    if column.strings is not None:
        values = list(column.strings)
    elif column.rows == 1 and column.width == 1:
        values = list(ONE[column.dtype].unpack(column.raw))
    else:
        array: NDArray[np.generic] = np.frombuffer(column.raw, NUMPY[column.dtype])
        if column.width > 1:
            array = array.reshape(column.rows, column.width)
        values = array.tolist()
    if column.dtype in (DType.FLOAT32, DType.FLOAT64) and column.width == 1:
        # x - x is not 0 for NaN and infinities: JSON has neither.
        values = [value if value - value == 0 else None for value in values]  # type: ignore[operator]
    if instants and column.dtype is DType.TIMESTAMP:
        values = [format_instant(value) for value in values]  # type: ignore[arg-type]
    if column.nulls:
        values = [None if null else value for null, value in zip(column.nulls, values, strict=True)]
    return values


def filled(value: Scalar | None, dtype: DType, rows: int) -> Column:
    """`rows` times one value; None gives a column of nulls."""
    nulls = b"\x01" * rows if value is None else b""
    if dtype is DType.STRING:
        return Column(dtype, rows, strings=["" if value is None else str(value)] * rows, nulls=nulls)
    if isinstance(value, str):
        value = parse_instant(value, "default")
    return Column(dtype, rows, ONE[dtype].pack(0 if value is None else value) * rows, nulls=nulls)


def replaced(column: Column, where: Sequence[bool], value: Scalar | None) -> Column:
    """A copy with `value` (None: null) in the rows where `where` is true."""
    nulls = bytearray(column.nulls or bytes(column.rows))
    spare = filled(value, column.dtype, 1)
    if column.strings is not None:
        strings = list(column.strings)
        raw = b""
    else:
        size = len(spare.raw)
        parts = [column.raw[row * size : row * size + size] for row in range(column.rows)]
    for row, wanted in enumerate(where):
        if not wanted:
            continue
        nulls[row] = value is None
        if column.strings is not None:
            strings[row] = (spare.strings or [""])[0]
        else:
            parts[row] = spare.raw
    if column.strings is None:
        return Column(column.dtype, column.rows, b"".join(parts), nulls=bytes(nulls) if any(nulls) else b"")
    return Column(column.dtype, column.rows, raw, strings, bytes(nulls) if any(nulls) else b"")


def taken(column: Column, rows: Sequence[int]) -> Column:
    """The named rows of a column, in that order."""
    nulls = bytes(column.nulls[row] for row in rows) if column.nulls else b""
    if column.strings is not None:
        strings = column.strings
        return Column(column.dtype, len(rows), strings=[strings[row] for row in rows], nulls=nulls)
    size = NUMPY[column.dtype].itemsize * column.width
    raw = b"".join(column.raw[row * size : row * size + size] for row in rows)
    return Column(column.dtype, len(rows), raw, nulls=nulls, width=column.width)


def scattered(parts: Iterable[tuple[Column, Sequence[int]]], rows: int) -> Column:
    """The reverse of `taken`: columns of row subsets → one column of all rows."""
    parts = list(parts)
    first = parts[0][0]
    if first.strings is not None:
        strings = [""] * rows
        for column, indices in parts:
            for row, text in zip(indices, column.strings or (), strict=True):
                strings[row] = text
        return Column(first.dtype, rows, strings=strings)
    array = np.empty((rows, first.width), NUMPY[first.dtype])
    for column, indices in parts:
        array[list(indices)] = np.frombuffer(column.raw, NUMPY[first.dtype]).reshape(len(indices), first.width)
    return Column(first.dtype, rows, array.tobytes(), width=first.width)
