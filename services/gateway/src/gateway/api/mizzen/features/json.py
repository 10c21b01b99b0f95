"""Feature rows → JSON text, a column at a time: `{ref: {values, statuses, event_timestamps}}`.

A number is written as the shortest text of its own type. A value without a timestamp has null; NaN and infinities are null.
"""

from collections.abc import Sequence
from functools import lru_cache
from itertools import groupby

import numpy as np
import orjson

from gateway.domain.columns import NUMPY, format_instant
from gateway.domain.model import BlockRows, BlockShape, Column, DType, FeatureRows, Status

_STATUS = [b'"UNAVAILABLE"'] * 256
for _known in Status:
    _STATUS[_known.value] = b'"' + _known.name.encode() + b'"'
_PRESENT = _STATUS[Status.PRESENT]
_instant_text = lru_cache(maxsize=8192)(format_instant)


def features_json(rows: FeatureRows) -> bytes:
    """A JSON object."""
    stamps = [_instants(raw) for raw in rows.timestamps_us]
    if isinstance(rows, BlockRows) and rows.is_whole and _is_distinct(rows.shape):
        return _block_json(rows, stamps)
    parts: dict[str, bytes] = {}
    for feature in rows.columns:
        count = feature.column.rows
        statuses = b",".join([_STATUS[status] for status in feature.statuses]) or _all_present(count)
        when = stamps[feature.timestamps_index - 1] if feature.timestamps_index else b",".join([b"null"] * count)
        parts[feature.ref] = (
            _head(feature.ref) + _values(feature.column) + b'],"statuses":[' + statuses
            + b'],"event_timestamps":[' + when + b"]}"
        )  # fmt: skip
    return b"{" + b",".join(parts.values()) + b"}"


def _block_json(rows: BlockRows, stamps: Sequence[bytes]) -> bytes:
    heads, runs = _plan(rows.shape)
    count = rows.rows
    between = b'],"statuses":[' + _all_present(count) + b'],"event_timestamps":['
    tails = [between + text + b"]}" for text in (b",".join([b"null"] * count), *stamps)]
    values: list[bytes] = []
    at = 0
    for dtype, columns, width in runs:
        size = columns * width * count
        values += _matrix(rows.raw[at : at + size], dtype, columns, count)
        at += size
    parts = [b""] * (3 * len(heads))
    parts[0::3] = heads
    parts[1::3] = values
    parts[2::3] = [tails[index] for index in rows.shape.indices]
    parts[-1] += b"}"
    return b"".join(parts)


def _matrix(raw: bytes, dtype: DType, columns: int, rows: int) -> list[bytes]:
    """The elements of each column."""
    if dtype is DType.TIMESTAMP:
        size = 8 * rows
        return [_instants(raw[at : at + size], empty=False) for at in range(0, columns * size, size)]
    array = np.frombuffer(raw, NUMPY[dtype])
    text = orjson.dumps(array.reshape(columns, rows), option=orjson.OPT_SERIALIZE_NUMPY)
    return text[2:-2].split(b"],[")


@lru_cache(maxsize=256)
def _plan(shape: BlockShape) -> tuple[list[bytes], list[tuple[DType, int, int]]]:
    """(what stands before each column's values, runs of one type as (type, columns, bytes an element))."""
    heads = [(b"," if place else b"{") + _head(ref) for place, ref in enumerate(shape.refs)]
    runs = []
    for (dtype, width), members in groupby(zip(shape.dtypes, shape.widths, strict=True)):
        runs.append((dtype, len(list(members)), width))
    return heads, runs


@lru_cache(maxsize=256)
def _is_distinct(shape: BlockShape) -> bool:
    """Whether no reference comes twice: a JSON object has each key once."""
    return len(set(shape.refs)) == len(shape.refs)


@lru_cache(maxsize=4096)
def _head(ref: str) -> bytes:
    return orjson.dumps(ref) + b':{"values":['


@lru_cache(maxsize=256)
def _all_present(rows: int) -> bytes:
    return b",".join([_PRESENT] * rows)


def _instants(raw: bytes, *, empty: bool = True) -> bytes:
    """Instants as texts; 0 is null where `empty`."""
    rows = len(raw) // 8
    if raw == raw[:8] * rows and (not empty or raw[:8] != bytes(8)):
        return b",".join([b'"' + _instant_text(int.from_bytes(raw[:8], "little", signed=True)).encode() + b'"'] * rows)
    found = np.frombuffer(raw, "<i8").tolist()
    return b",".join(
        [b"null" if empty and not instant else b'"' + _instant_text(instant).encode() + b'"' for instant in found]
    )


def _values(column: Column) -> bytes:
    """The elements of one column."""
    if column.strings is not None:
        if not column.nulls:
            return orjson.dumps(column.strings if type(column.strings) is list else list(column.strings))[1:-1]
        texts = [None if gone else text for text, gone in zip(column.strings, column.nulls, strict=True)]
        return orjson.dumps(texts)[1:-1]
    if column.dtype is DType.TIMESTAMP:
        text = _instants(column.raw, empty=False)
    else:
        array = np.frombuffer(column.raw, NUMPY[column.dtype])
        if column.width > 1:
            array = array.reshape(column.rows, column.width)
        text = orjson.dumps(array, option=orjson.OPT_SERIALIZE_NUMPY)[1:-1]
    if not column.nulls:
        return text
    elements = text[1:-1].split(b"],[") if column.width > 1 else text.split(b",")
    if column.width > 1:
        elements = [b"[" + element + b"]" for element in elements]
    return b",".join([b"null" if gone else element for element, gone in zip(elements, column.nulls, strict=True)])
