"""Our server and h2 read the same frames: both must find the same frame to be the first wrong one.

MIZZEN_FUZZ_SEQUENCES sets how many sequences are tried; CI tries a few thousand.
"""

import os
import random
from typing import Any

import h2.config
import h2.connection
import h2.exceptions
import pytest

from chassis.wire.frames import GOAWAY, NO_ERROR, PREFACE, PUSH_PROMISE, REFUSED_STREAM, RST_STREAM
from chassis.wire.server import ServerConnection
from chassis.wire.streams import Budgets, Stream
from tests.fakes.frame_sequences import sequence

# Kinds of frames of which h2 takes what RFC 9113 forbids: a reset of a stream that never began (6.4), a promise of a client (8.4).
# Of a content-length it minds data alone, neither trailers nor a request without a body (8.1.1).
_STRICTER = (RST_STREAM, PUSH_PROMISE)
_SEQUENCES = int(os.environ.get("MIZZEN_FUZZ_SEQUENCES", "3000"))


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

    def takes(self, sent: bytes) -> bool:
        try:
            self.connection.receive_data(sent)
        except h2.exceptions.ProtocolError:
            return False
        return not refused(self.connection.data_to_send())


def _ignore(_: Any) -> None:
    """Nobody has to know."""


async def first_wrong(frames: list[bytes]) -> tuple[int | None, int | None]:
    """(the place of the first frame that we refuse, that h2 refuses); reading ends with the first of them."""
    ours, theirs = Ours(), Theirs()
    try:
        for place, sent in enumerate(frames):
            mine, other = ours.takes(sent), theirs.takes(sent)
            if not (mine and other):
                return None if mine else place, None if other else place
    finally:
        ours.close()
    return None, None


@pytest.mark.parametrize("part", range(4))
async def test_the_same_frame_is_the_first_wrong_one(part: int) -> None:
    found = []
    for seed in range(part, _SEQUENCES, 4):
        frames = sequence(random.Random(seed))
        mine, other = await first_wrong(frames)
        if mine != other:
            at = mine if mine is not None else other
            assert at is not None
            if mine is not None and (frames[at][3] in _STRICTER or b"content-length" in b"".join(frames)):
                continue
            found.append((seed, "ours" if mine is not None else "h2", [one[3:] for one in frames[: at + 1]]))
    assert found == []
