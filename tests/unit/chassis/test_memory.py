"""Freed memory goes back to the system: after a burst, once, and not in the middle of it."""

import ctypes
import random

from chassis import memory
from chassis.memory import EVERY_S, STEP_BYTES, Reclaim

MB = 1024 * 1024


class Process:
    """Resident memory that a test sets; `in_use` is left after a trim."""

    def __init__(self) -> None:
        self.resident = 100 * MB
        self.in_use = 100 * MB
        self.trims = 0
        self.cpu_s = 0.0
        self.reclaim = Reclaim(resident=lambda: self.resident, trim=self._trim, cpu_s=lambda: self.cpu_s)

    def _trim(self) -> None:
        self.trims += 1
        self.resident = min(self.resident, self.in_use)

    async def look(self, resident: int) -> None:
        self.resident = resident
        await self.reclaim.look()


async def test_it_is_given_back_when_the_burst_is_over() -> None:
    process = Process()
    for size in (110, 200, 400):
        await process.look(size * MB)
        assert not process.trims, "a trim in the middle of a burst"
    await process.look(400 * MB)
    assert (process.trims, process.resident) == (1, 100 * MB)


async def test_a_process_at_work_is_not_held_up_by_a_trim() -> None:
    """A minute of load at memory that has grown and stands still, then calm."""
    process = Process()
    for _ in range(12):
        process.cpu_s += EVERY_S * 0.5
        await process.look(300 * MB)
    assert not process.trims
    await process.look(300 * MB)
    assert (process.trims, process.resident) == (1, 100 * MB)


async def test_what_is_in_use_is_trimmed_for_now_and_then_only() -> None:
    """Two minutes of looks, five seconds apart, at memory that is needed."""
    process = Process()
    process.in_use = 300 * MB
    for _ in range(24):
        await process.look(300 * MB)
    assert 1 <= process.trims <= 5


async def test_what_was_in_use_at_a_trim_is_given_back_when_it_is_free() -> None:
    """A trim in the middle of a long load finds everything in use; the next one comes although nothing has grown since."""
    process = Process()
    process.in_use = 300 * MB
    for _ in range(3):
        await process.look(300 * MB)
    assert process.trims == 1
    process.in_use = 100 * MB
    for _ in range(8):
        await process.look(process.resident)
    assert process.resident == 100 * MB


async def test_a_little_more_is_left_alone() -> None:
    process = Process()
    for _ in range(20):
        await process.look(100 * MB + STEP_BYTES - 1)
    assert not process.trims


async def test_a_fragmented_heap_of_the_real_process_shrinks() -> None:
    if not hasattr(ctypes.CDLL(None), "malloc_trim"):
        return  # another C library, which has nothing to trim
    reclaim = Reclaim(cpu_s=lambda: 0.0)
    before = memory.resident_bytes()
    burst = [bytes(random.randint(600, 20_000)) for _ in range(20_000)]
    kept = burst[::50]
    grown = memory.resident_bytes()
    burst.clear()
    await reclaim.look()
    await reclaim.look()
    assert grown - before > 100 * MB
    assert memory.resident_bytes() - before < 40 * MB
    assert len(kept) == 400
