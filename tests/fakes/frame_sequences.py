"""Sequences of HTTP/2 frames, right ones that were made wrong in one or two places, for two readers to agree on."""

import random
import struct

from chassis.wire.frames import frame
from tests.contract.http2_peer import (
    ACK,
    CONTINUATION,
    DATA,
    END_HEADERS,
    END_STREAM,
    GOAWAY,
    HAS_PRIORITY,
    HEADERS,
    PADDED,
    PING,
    PRIORITY,
    REQUEST,
    RST_STREAM,
    SETTINGS,
    WINDOW_UPDATE,
    block,
)

Sent = tuple[int, int, int, bytes]  # kind, flags, stream, payload
_EXTRA = [
    ("x-a", "b"), ("X-A", "b"), ("x-a", "b\n"), ("x-a", " b"), ("te", "gzip"), ("te", "trailers"), ("connection", "close"),
    ("upgrade", "x"), ("transfer-encoding", "chunked"), ("host", "x"), ("host", "y"), (":path", "/y"), (":new", "y"), ("", "b"),
    ("content-length", "3"), ("content-length", "4"), ("content-length", "x"), ("a b", "c"), ("x-a", "b\0"), ("a:b", "c"),
    (":status", "200"), (":authority", "x"), ("a\x7f", "b"),
]  # fmt: skip
_INDEXED = [
    b"\x82",
    b"\xbe",
    b"\x80",
    b"\x20",
    b"\x3f\xe1\x1f",
    b"\x40\x01a\x01b",
    b"\x10\x01a\x01b",
    b"\xff",
    b"\x00\x81\xff\x01x",
]


# h2 takes any path, an empty method and an empty scheme, which the RFC does not.
_VALUES = {":path": ["", "/", "*"], ":scheme": ["http", "x"], ":method": ["GET", "CONNECT", "x"]}


def _fields(chance: random.Random) -> bytes:
    fields = list(REQUEST)
    if chance.random() < 0.3:
        for _ in range(chance.randrange(1, 3)):
            act = chance.randrange(4)
            if act == 0:
                gone = chance.choice(
                    [one for one in fields if one[0] != ":authority"]
                )  # h2 insists on it, the RFC does not
                fields.remove(gone)
            elif act == 1:
                fields.insert(chance.randrange(len(fields) + 1), chance.choice(_EXTRA))
            elif act == 2:
                fields.append(chance.choice(_EXTRA))
            else:
                at = chance.randrange(len(fields))
                name = fields[at][0]
                fields[at] = (name, chance.choice(_VALUES.get(name, ["", "x", "/", "*"])))
    encoded = block(fields)
    if chance.random() < 0.15:
        encoded = chance.choice([encoded + chance.choice(_INDEXED), chance.choice(_INDEXED) + encoded, encoded[:-2]])
    return encoded


def _request(chance: random.Random, number: int) -> list[Sent]:
    encoded, flags = _fields(chance), END_STREAM if chance.random() < 0.3 else 0
    if chance.random() < 0.2:
        flags |= HAS_PRIORITY
        encoded = chance.choice([0, number, 77]).to_bytes(4, "big") + b"\x10" + encoded
    if chance.random() < 0.2:
        flags |= PADDED
        encoded = b"\x02" + encoded + bytes(2)
    sent: list[Sent] = []
    if chance.random() < 0.3:
        cut = chance.randrange(len(encoded)) if not flags & (PADDED | HAS_PRIORITY) else len(encoded)
        sent += [(HEADERS, flags, number, encoded[:cut]), (CONTINUATION, END_HEADERS, number, encoded[cut:])]
    else:
        sent.append((HEADERS, flags | END_HEADERS, number, encoded))
    if not flags & END_STREAM:
        sent += [(DATA, 0, number, b"abc")] * chance.randrange(2)
        if chance.random() < 0.5:
            sent.append((DATA, END_STREAM, number, b"" if chance.random() < 0.3 else b"abc"))
        elif chance.random() < 0.5:
            trailers = block([chance.choice(_EXTRA)]) if chance.random() < 0.7 else b""
            sent.append((HEADERS, END_HEADERS | chance.choice([0, END_STREAM, END_STREAM]), number, trailers))
    return sent


def _aside(chance: random.Random, newest: int) -> Sent:
    number = chance.choice([0, max(1, newest), max(1, newest - 2), newest + 2, 2])
    return chance.choice(
        [
            (PING, chance.choice([0, ACK]), 0, bytes(8)),
            (
                SETTINGS,
                0,
                0,
                struct.pack(">HI", chance.randrange(1, 9), chance.choice([0, 1, 2, 16384, 2**24, 2**31 - 1, 2**31])),
            ),
            (SETTINGS, ACK, 0, b""),
            (WINDOW_UPDATE, 0, number, chance.choice([0, 1, 1000, 2**31 - 1]).to_bytes(4, "big")),
            (PRIORITY, 0, max(1, number), chance.choice([0, max(1, number)]).to_bytes(4, "big") + b"\x10"),
            (RST_STREAM, 0, number, (8).to_bytes(4, "big")),
            (0x77, 0, number, b"unknown"),
        ]
    )


def _mutated(chance: random.Random, sent: list[Sent]) -> list[Sent]:
    at = chance.randrange(len(sent))
    kind, flags, number, payload = sent[at]
    act = chance.randrange(7)
    if act == 0:
        sent[at] = (kind, flags ^ chance.choice([ACK, END_HEADERS, PADDED, HAS_PRIORITY]), number, payload)
    elif act == 1:
        sent[at] = (kind, flags, chance.choice([0, 1, 2, 3, 5, 9, number + 2]), payload)
    elif act == 2:
        sent[at] = (kind, flags, number, payload[:-1] if chance.random() < 0.5 else payload + b"\0")
    elif act == 3:
        sent[at] = (chance.randrange(10), flags, number, payload)
    elif act == 4:
        sent.insert(chance.randrange(len(sent) + 1), sent[at])
    elif act == 5:
        del sent[at]
    else:
        other = chance.randrange(len(sent))
        sent[at], sent[other] = sent[other], sent[at]
    return sent


def sequence(chance: random.Random) -> list[bytes]:
    """Frames after the preface."""
    sent: list[Sent] = []
    newest = -1
    for _ in range(chance.randrange(1, 4)):
        newest += 2
        sent += _request(chance, newest)
        for _ in range(chance.randrange(2)):
            sent.insert(chance.randrange(len(sent) + 1), _aside(chance, newest))
    for _ in range(chance.choice([0, 1, 1, 2])):
        if sent:
            sent = _mutated(chance, sent)
    first = frame(SETTINGS, 0, 0)
    return [first, *(frame(*one) for one in sent if one[0] != GOAWAY)]
