"""Our server and h2 read the same frames: both must find the same frame to be the first wrong one.

MIZZEN_FUZZ_SEQUENCES sets how many sequences are tried.
"""

import os
import random
from typing import Any

import h2.config
import h2.connection
import h2.exceptions
import pytest

from chassis.wire.frames import GOAWAY, HEADERS, NO_ERROR, PREFACE, PUSH_PROMISE, REFUSED_STREAM, RST_STREAM
from chassis.wire.server import ServerConnection
from chassis.wire.streams import Budgets, Stream
from tests.fakes.frame_sequences import sequence

# Kinds of frames of which h2 takes what RFC 9113 forbids: a reset of a stream that never began (6.4), a promise of a client (8.4).
# Of a content-length it minds data alone, neither trailers nor a request without a body (8.1.1).
_STRICTER = (RST_STREAM, PUSH_PROMISE)
# What h2 alone refuses, and RFC 9113 takes: a request without an authority (8.3.1 asks for one of HTTP/1.1's only, and gRPC makes
# it optional), and padding that leaves no byte of a header block (6.2 forbids as much as the payload, not one byte less).
_NO_AUTHORITY, _PADDING = "does not have an :authority or Host header", "invalid padding"
# 3.3 frames are read of a sequence on average, so these are 100,000 frames.
_SEQUENCES = int(os.environ.get("MIZZEN_FUZZ_SEQUENCES", "30000"))


class Transport:
    """Keeps what is written."""

    def __init__(self) -> None:
        self.written = b""
        self.closing = False

    def write(self, data: bytes) -> None:
        self.written += data

    def close(self) -> None:
        self.closing = True

    abort = close

    def is_closing(self) -> bool:
        return self.closing

    def get_extra_info(self, _: str) -> None:
        return None

    def get_write_buffer_size(self) -> int:
        return 0


def refused(written: bytes) -> bool:
    """Whether an end wrote that a stream or the connection is wrong."""
    at = 0
    while at < len(written):
        size, kind = int.from_bytes(written[at : at + 3], "big"), written[at + 3]
        payload = written[at + 9 : at + 9 + size]
        code = int.from_bytes(payload[-4:] if kind == RST_STREAM else payload[4:8], "big")
        if kind in (RST_STREAM, GOAWAY) and code not in (NO_ERROR, REFUSED_STREAM):
            return True
        at += 9 + size
    return False


class Ours:
    def __init__(self) -> None:
        self.transport = Transport()
        self.connection = ServerConnection(
            lambda connection, number, block: Stream(connection, number, block.length), _ignore, _ignore, Budgets()
        )
        self.connection.connection_made(self.transport)
        self.connection.data_received(PREFACE)

    def takes(self, sent: bytes) -> bool:
        self.transport.written = b""
        self.connection.data_received(sent)
        return not refused(self.transport.written) and not self.transport.closing

    def close(self) -> None:
        self.connection.connection_lost(None)


class Theirs:
    def __init__(self) -> None:
        config = h2.config.H2Configuration(client_side=False, header_encoding=False)
        self.connection = h2.connection.H2Connection(config)
        self.connection.initiate_connection()
        self.connection.receive_data(PREFACE)
        self.connection.data_to_send()
        self.refusal = ""

    def takes(self, sent: bytes) -> bool:
        try:
            self.connection.receive_data(sent)
        except h2.exceptions.ProtocolError as error:
            self.refusal = str(error)
            return False
        return not refused(self.connection.data_to_send())


def _ignore(_: Any) -> None:
    """Nobody has to know."""


async def first_wrong(frames: list[bytes]) -> tuple[int | None, int | None, str]:
    """(the place of the first frame that we refuse, that h2 refuses, h2's reason); reading ends with the first of them."""
    ours, theirs = Ours(), Theirs()
    try:
        for place, sent in enumerate(frames):
            mine, other = ours.takes(sent), theirs.takes(sent)
            if not (mine and other):
                return None if mine else place, None if other else place, theirs.refusal
    finally:
        ours.close()
    return None, None, ""


def _is_all_padding(frame: bytes) -> bool:
    """Whether a HEADERS frame is its padding and nothing else, which fits exactly."""
    before = 1 + 5 * bool(frame[4] & 0x20)  # the padding's length, and a priority
    return frame[3] == HEADERS and frame[9] == len(frame) - 9 - before


@pytest.mark.parametrize("part", range(4))
async def test_the_same_frame_is_the_first_wrong_one(part: int) -> None:
    found = []
    for seed in range(part, _SEQUENCES, 4):
        frames = sequence(random.Random(seed))
        mine, other, reason = await first_wrong(frames)
        if mine != other:
            at = mine if mine is not None else other
            assert at is not None
            if mine is not None and (
                frames[at][3] in _STRICTER or b"content-length" in b"".join(f[9:] for f in frames)
            ):
                continue
            if mine is None and (_NO_AUTHORITY in reason or (_PADDING in reason and _is_all_padding(frames[at]))):
                continue
            found.append((seed, "ours" if mine is not None else f"h2: {reason}", [one[3:] for one in frames[: at + 1]]))
    assert found == []
