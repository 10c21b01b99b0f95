"""Checks on columns that callers send; every refusal names the row."""

from collections.abc import Mapping, Sequence

import numpy as np

from chassis.errors import InvalidArgument
from features.domain.expression import Kind
from features.domain.keys import entity_tags
from features.domain.model import KINDS, NUMPY, Array, Column, DType, Given, Mask, View

MAX_KEY_CHARACTERS = 1024
_FLOATS = (DType.FLOAT32, DType.FLOAT64)


def tags_of(tenant: str, view: View, entities: Mapping[str, Given], rows: int) -> list[str]:
    """Store tags of the rows' entities. InvalidArgument naming `entities.KEY[i]`."""
    columns = [key_values(key, entities.get(key.name), rows) for key in view.keys]
    return entity_tags(tenant, [key.name for key in view.keys], columns)


def key_values(key: Column, given: Given | None, rows: int) -> Sequence[str | int]:
    """A join key's values. InvalidArgument naming `entities.KEY[i]` when one is missing, null, too long or of another type."""
    field = f"entities.{key.name}"
    if given is None:
        raise InvalidArgument(f"{field} is missing", reason="ENTITY_MISSING", field=field)
    if len(given.values) != rows:
        raise InvalidArgument(f"{field} has {len(given.values)} rows, not {rows}", reason="COLUMN_LENGTH", field=field)
    _refuse_first(given.nulls, field, "is null")
    if key.dtype is DType.STRING:
        if given.values.dtype != object:
            raise InvalidArgument(f"{field} is no text", reason="DTYPE_MISMATCH", field=field)
        texts: list[str] = given.values.tolist()
        if len(max(texts, key=len, default="")) > MAX_KEY_CHARACTERS:
            _refuse_first(
                np.array([len(text) > MAX_KEY_CHARACTERS for text in texts]),
                field,
                f"is over {MAX_KEY_CHARACTERS} characters",
            )
        return texts
    if given.values.dtype.kind != "i":
        raise InvalidArgument(f"{field} is no whole number", reason="DTYPE_MISMATCH", field=field)
    if key.dtype is DType.INT32 and given.values.dtype.itemsize > 4:
        whole = given.values.astype(np.int64)
        _refuse_first((whole < -(2**31)) | (whole >= 2**31), field, "is beyond INT32")
    numbers: list[int] = given.values.tolist()
    return numbers


def check_column(column: Column, given: Given | None, rows: int, field: str) -> Given:
    """An input or a feature to store, if it has the declared type and length. InvalidArgument naming `field`."""
    if given is None:
        raise InvalidArgument(f"{field} is missing", reason="INPUT_MISSING", field=field)
    if len(given.values) != rows or given.values.ndim != 1:
        raise InvalidArgument(f"{field} is not one value a row of {rows}", reason="COLUMN_LENGTH", field=field)
    allowed = {Kind.NUMBER: "if", Kind.BOOL: "bu", Kind.TEXT: "O", Kind.INSTANT: "i"}[KINDS[column.dtype]]
    if given.values.dtype.kind not in allowed:
        raise InvalidArgument(f"{field} is no {column.dtype}", reason="DTYPE_MISMATCH", field=field)
    return given


def exactly(column: Column, given: Given, field: str) -> Array:
    """Values as stored: exact, but for rounding to FLOAT32. InvalidArgument naming the row that doesn't fit."""
    values = given.values
    if column.dtype is DType.STRING:
        return values
    with np.errstate(all="ignore"):
        stored = values.astype(NUMPY[column.dtype])
        if column.dtype in _FLOATS:
            same = np.isfinite(stored) == np.isfinite(values)
        else:
            same = np.isfinite(values) & (stored.astype(values.dtype) == values)
    if given.nulls is not None:
        same = same | given.nulls
    if not same.all():
        place = f"{field}[{int((~same).argmax())}]"
        raise InvalidArgument(f"{place} is no {column.dtype}", reason="DTYPE_MISMATCH", field=place)
    return stored


def _refuse_first(bad: Mask | None, field: str, reason: str) -> None:
    if bad is not None and bad.any():
        place = f"{field}[{int(bad.argmax())}]"
        raise InvalidArgument(f"{place} {reason}", reason="ENTITY_INVALID", field=place)
