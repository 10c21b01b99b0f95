"""Time and ids, injected so that tests decide both."""

import os
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


def _format(tick: int) -> str:
    random = int.from_bytes(os.urandom(8)) & 0x3FFF_FFFF_FFFF_FFFF
    value = ((tick >> 12) << 80) | (0x7 << 76) | ((tick & 0xFFF) << 64) | (0b10 << 62) | random
    text = f"{value:032x}"
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


def uuid7(now_us: int) -> str:
    """A UUIDv7 (RFC 9562) of the instant `now_us`, with sub-millisecond order in its 12 bits after the version."""
    return _format(_tick(now_us))


class SystemIds:
    """UUIDv7s that only ever grow within this process, even when the clock is set back."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._last = 0

    def new(self) -> str:
        self._last = max(_tick(self._clock.now_us()), self._last + 1)
        return _format(self._last)
