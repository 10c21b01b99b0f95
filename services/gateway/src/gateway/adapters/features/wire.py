"""ReadItem as protobuf bytes: every part of it is bytes or constant already, and messages would copy each part three times.

A test compares the bytes with those of the generated classes.
"""

from collections.abc import Mapping
from functools import lru_cache

from chassis.wire.protobuf import delimited, number_tag, tag, varint
from gateway.adapters.columns import WIRE
from gateway.domain.model import Column
from mizzen.chassis.v1 import values_pb2
from mizzen.features.v1 import features_pb2

_ENVELOPE, _ENTITIES, _INPUTS, _JOINED_REFS = (
    tag(features_pb2.ReadItem, name) for name in ("envelope", "entities", "inputs", "joined_refs")
)
_AS_OF, _WHEN_DOWN, _AS_BLOCK, _GAPS = (
    number_tag(features_pb2.ReadItem, name) for name in ("as_of_us", "default_when_down", "as_block", "gaps_in_block")
)
_RAW, _STRINGS, _NULLS = (tag(values_pb2.Values, name) for name in ("raw", "strings", "nulls"))
_WIDTH = number_tag(values_pb2.Values, "width")
_HEADS = {dtype: number_tag(values_pb2.Values, "dtype") + varint(number) for dtype, number in WIRE.items()}
_TEXT = tag(values_pb2.Strings, "values")
_KEY, _VALUE = b"\x0a", b"\x12"  # of any map's entry
_ITEMS = tag(features_pb2.ReadRequest, "items")


def read_request(items: list[bytes]) -> bytes:
    """A serialized ReadRequest."""
    parts: list[bytes] = []
    for item in items:
        parts += (_ITEMS, varint(len(item)), item)
    return b"".join(parts)


def question(joined_refs: str, *, default_when_down: bool) -> bytes:
    """What many reads have in common: the references, wanted as a block, and what to do without the store."""
    marks = _AS_BLOCK + b"\x01" + _GAPS + b"\x01" + (_WHEN_DOWN + b"\x01" if default_when_down else b"")
    return delimited(_JOINED_REFS, joined_refs.encode()) + marks


def read_item(
    envelope: bytes, question: bytes, as_of_us: int, entities: Mapping[str, Column], inputs: Mapping[str, Column]
) -> bytes:
    """A serialized ReadItem. as_of_us: microseconds UTC."""
    parts = [_ENVELOPE, varint(len(envelope)), envelope, question, _AS_OF, varint(as_of_us & 0xFFFF_FFFF_FFFF_FFFF)]
    for name, column in entities.items():
        parts.append(_entry(_ENTITIES, name, column))
    for name, column in inputs.items():
        parts.append(_entry(_INPUTS, name, column))
    return b"".join(parts)


def _entry(field_tag: bytes, name: str, column: Column) -> bytes:
    values = _values(column)
    entry = _key(name) + varint(len(values)) + values
    return field_tag + varint(len(entry)) + entry


@lru_cache(maxsize=1024)
def _key(name: str) -> bytes:
    """An entry's key, and the tag of its value."""
    return delimited(_KEY, name.encode()) + _VALUE


def _values(column: Column) -> bytes:
    """A Values."""
    data = _HEADS[column.dtype]
    if column.width > 1:
        data += _WIDTH + varint(column.width)
    if column.strings is None:
        data += _RAW + varint(len(column.raw)) + column.raw
    else:
        data += delimited(_STRINGS, b"".join([delimited(_TEXT, text.encode()) for text in column.strings]))
    return data + delimited(_NULLS, column.nulls) if column.nulls else data
