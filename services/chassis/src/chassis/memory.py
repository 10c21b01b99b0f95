"""Gives back to the system what a burst needed: the C library, and pools above it, keep freed memory for a next time otherwise."""

import asyncio
import ctypes
import gc
import resource
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

STEP_BYTES = 16 * 1024 * 1024
CALM_BYTES = 8 * 1024 * 1024
EVERY_S = 5.0
# Of one core, between two looks: from here on a trim would hold up others.
BUSY = 0.25
# After so many looks a trim is tried again, even if memory has not grown since the last.
_LOOKS = 6


def resident_bytes() -> int:
    """Resident memory of this process; 0 where the system does not tell."""
    try:
        return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()
    except OSError:
        return 0


def trim() -> None:
    """Returns the free pages of the C library's heaps, where that library can (glibc)."""
    gc.collect()
    found = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if found is not None:
        found(0)


class Reclaim:
    """Looks at resident memory now and then; when it has grown and stands still, what is free in it is given back.

    A trim holds the interpreter and the heap's lock for up to a tenth of a second. So none is made while memory is growing or the
    process is at work: that is in the middle of a burst.
    """

    def __init__(
        self,
        *,
        resident: Callable[[], int] = resident_bytes,
        trim: Callable[[], None] = trim,
        cpu_s: Callable[[], float] = time.process_time,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._resident = resident
        self._trim = trim
        self._cpu_s = cpu_s
        self._sleep = sleep
        self._worked_s = cpu_s()
        self._first = self._floor = self._last = resident()
        self._looks = 0

    async def run(self) -> None:
        """Looks until cancelled."""
        while True:
            await self._sleep(EVERY_S)
            await self.look()

    async def look(self) -> None:
        """One look."""
        now = self._resident()
        last, self._last = self._last, now
        worked_s, self._worked_s = self._worked_s, self._cpu_s()
        self._looks += 1
        if self._looks >= _LOOKS:
            # What was in use at the last trim may be free by now.
            self._floor = min(self._first, now)
        if now - self._floor < STEP_BYTES or now - last > CALM_BYTES or self._worked_s - worked_s > BUSY * EVERY_S:
            return
        await asyncio.to_thread(self._trim)
        # What is still there is in use: the next trim is for what comes on top, or after a while.
        self._floor = self._last = self._resident()
        self._looks = 0
