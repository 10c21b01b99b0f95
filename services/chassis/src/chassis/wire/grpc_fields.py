"""What gRPC says in header fields: deadlines, metadata, the status."""

import base64
import binascii
from collections.abc import Sequence
from functools import lru_cache
from urllib.parse import quote

import grpc

from chassis.wire.frames import literal
from chassis.wire.header_blocks import TIMEOUT, Fields

Metadata = Sequence[tuple[str, str | bytes]]
_UNITS = {b"H": 3600.0, b"M": 60.0, b"S": 1.0, b"m": 1e-3, b"u": 1e-6, b"n": 1e-9}
_LONGEST_S = 86400.0 * 365
_PLAIN = "".join(chr(number) for number in range(0x20, 0x7F) if chr(number) != "%")


def refusal(fields: Fields) -> bytes | None:
    """The header block that refuses what is no gRPC call; None for one that is."""
    found = dict(fields)
    if found.get(b":method") != b"POST":
        return b"\x08\x03405"  # :status
    if not found.get(b"content-type", b"").startswith(b"application/grpc"):
        return b"\x08\x03415"
    return None


def timeout_s(fields: Fields) -> float | None:
    """Seconds of grpc-timeout, which clients send last."""
    for name, value in reversed(fields):
        if name == TIMEOUT:
            unit = _UNITS.get(value[-1:])
            if unit is None or not value[:-1].isdigit() or len(value) > 9:
                return 0.0
            return min(int(value[:-1]) * unit, _LONGEST_S)
    return None


def metadata_of(fields: Fields) -> tuple[tuple[str, str | bytes], ...]:
    """The metadata among a request's fields."""
    if fields and fields[-1][0] == TIMEOUT:  # differs from call to call; the rest does not
        fields = fields[:-1]
    return _known_metadata(fields)


@lru_cache(maxsize=1024)
def _known_metadata(fields: Fields) -> tuple[tuple[str, str | bytes], ...]:
    found: list[tuple[str, str | bytes]] = []
    for name, value in fields:
        if name.startswith((b":", b"grpc-")) or name in (b"te", b"content-type"):
            continue
        key = name.decode("latin-1")
        if not key.endswith("-bin"):
            found.append((key, value.decode("latin-1")))
            continue
        try:
            found += [(key, base64.b64decode(part + b"=" * (-len(part) % 4))) for part in value.split(b",")]
        except binascii.Error:
            continue
    return tuple(found)


def status_fields(code: grpc.StatusCode, details: str) -> bytes:
    """A status as header fields."""
    block = literal(b"grpc-status", b"%d" % code.value[0])
    return block + literal(b"grpc-message", quote(details, safe=_PLAIN).encode()) if details else block


def metadata_field(name: str, value: str | bytes) -> bytes:
    """A field of metadata; text outside of ASCII cannot be sent and becomes question marks."""
    if name.endswith("-bin"):
        data = base64.b64encode(value if isinstance(value, bytes) else value.encode()).rstrip(b"=")
    else:
        data = value if isinstance(value, bytes) else value.encode("ascii", "replace")
    return literal(name.encode("ascii"), data)
