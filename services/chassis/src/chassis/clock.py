"""Time and ids, injected so that tests decide both."""

import os
import struct
import time
from typing import Protocol


class Clock(Protocol):
    """Where time comes from."""

    def now_us(self) -> int:
        """Microseconds since 1970-01-01T00:00:00Z, for instants that are stored or shown."""
        ...

    def monotonic_s(self) -> float:
        """Seconds that never go back, for deadlines and durations."""
        ...


class SystemClock:
    """The machine's clocks."""

    def now_us(self) -> int:
        return time.time_ns() // 1000

    def monotonic_s(self) -> float:
        return time.monotonic()


class RequestIds(Protocol):
    """Where request ids come from."""

    def new(self) -> str:
        """A new id, unique and sortable by time."""
        ...


_SUB_MS = 4096  # rand_a of RFC 9562 holds 12 bits: the fraction of the millisecond


def _tick(now_us: int) -> int:
    return (now_us // 1000) * _SUB_MS + (now_us % 1000) * _SUB_MS // 1000


def _format(tick: int, random: int) -> str:
    """`random`: 64 bits, of which the lower 62 are used."""
    milliseconds = tick >> 12
    return "%08x-%04x-7%03x-%04x-%012x" % (  # noqa: UP031 - a third of the time of format()
        milliseconds >> 16,
        milliseconds & 0xFFFF,
        tick & 0xFFF,
        random >> 48 & 0x3FFF | 0x8000,
        random & 0xFFFF_FFFF_FFFF,
    )


class _Random:
    """Random 64-bit numbers of the system, taken many at a time: each question to it costs more than the id around."""

    def __init__(self) -> None:
        self._left: list[int] = []

    def next(self) -> int:
        if not self._left:
            self._left = list(struct.unpack("<64Q", os.urandom(512)))
        return self._left.pop()


def uuid7(now_us: int) -> str:
    """A UUIDv7 (RFC 9562) of the instant `now_us`, with sub-millisecond order in its 12 bits after the version."""
    return _format(_tick(now_us), int.from_bytes(os.urandom(8)))


class SystemIds:
    """UUIDv7s that only ever grow within this process, even when the clock is set back."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._last = 0
        self._random = _Random()

    def new(self) -> str:
        self._last = max(_tick(self._clock.now_us()), self._last + 1)
        return _format(self._last, self._random.next())
