"""Freed memory goes back to the system: after a burst, once, and not in the middle of it."""

import ctypes
import random

from chassis import memory
from chassis.memory import STEP_BYTES, Reclaim

MB = 1024 * 1024


class Process:
    """Resident memory that a test sets; `in_use` is left after a trim."""

    def __init__(self) -> None:
        self.resident = 100 * MB
        self.in_use = 100 * MB
        self.trims: list[str] = []
        self.reclaim = Reclaim([lambda: self.trims.append("pool")], resident=lambda: self.resident, trim=self._trim)

    def _trim(self) -> None:
        self.trims.append("heap")
        self.resident = self.in_use

    async def look(self, resident: int) -> None:
        self.resident = resident
        await self.reclaim.look()


async def test_it_is_given_back_when_the_burst_is_over() -> None:
    process = Process()
    for size in (110, 200, 400):
        await process.look(size * MB)
        assert not process.trims, "a trim in the middle of a burst"
    await process.look(400 * MB)
    assert process.trims == ["pool", "heap"]
    assert process.resident == 100 * MB


async def test_what_is_in_use_is_not_trimmed_for_again_and_again() -> None:
    process = Process()
    process.in_use = 300 * MB
    for _ in range(20):
        await process.look(310 * MB)
    assert process.trims == ["pool", "heap"]


async def test_a_little_more_is_left_alone() -> None:
    process = Process()
    for _ in range(20):
        await process.look(100 * MB + STEP_BYTES - 1)
    assert not process.trims


async def test_a_fragmented_heap_of_the_real_process_shrinks() -> None:
    if not hasattr(ctypes.CDLL(None), "malloc_trim"):
        return  # another C library, which has nothing to trim
    reclaim = Reclaim()
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
