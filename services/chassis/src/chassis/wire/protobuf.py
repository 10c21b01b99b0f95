"""Protobuf's wire format, for messages whose parts are bytes already."""

from typing import Any


def varint(value: int) -> bytes:
    """Protobuf's base-128 number, 0 to 2^64 - 1."""
    if value < 128:
        return bytes((value,))
    if value < 16384:
        return bytes((value & 127 | 128, value >> 7))
    if 1 << 49 <= value < 1 << 56:  # an instant of our time in microseconds
        return bytes(
            (
                value & 127 | 128,
                value >> 7 & 127 | 128,
                value >> 14 & 127 | 128,
                value >> 21 & 127 | 128,
                value >> 28 & 127 | 128,
                value >> 35 & 127 | 128,
                value >> 42 & 127 | 128,
                value >> 49,
            )
        )
    parts = bytearray()
    while value > 127:
        parts.append(value & 127 | 128)
        value >>= 7
    parts.append(value)
    return bytes(parts)


def tag(message: Any, field: str) -> bytes:
    """The tag of a length-delimited field."""
    return varint(message.DESCRIPTOR.fields_by_name[field].number << 3 | 2)


def number_tag(message: Any, field: str) -> bytes:
    """The tag of a whole number, a bool or an enum."""
    return varint(message.DESCRIPTOR.fields_by_name[field].number << 3)


def delimited(field_tag: bytes, data: bytes) -> bytes:
    """A length-delimited field."""
    return field_tag + varint(len(data)) + data
