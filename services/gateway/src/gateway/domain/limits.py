"""How much may be under way, and how often it may be tried again."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from types import TracebackType
from typing import TypeVar

from chassis.errors import DeadlineExceeded, ResourceExhausted, Unavailable
from gateway.domain.ports import Clock

T = TypeVar("T")
R = TypeVar("R")


class Bulkhead:
    """At most `size` requests of one model at once: a slow one cannot take the gateway with it."""

    __slots__ = ("_name", "in_flight", "size")

    def __init__(self, name: str, size: int) -> None:
        self._name = name
        self.size = size
        self.in_flight = 0

    def __enter__(self) -> None:
        if self.in_flight >= self.size:
            message = f"{self._name} has {self.size} requests in flight, its limit; try again shortly"
            raise ResourceExhausted(message, reason="TOO_MANY_IN_FLIGHT", retry_after_s=0.1)
        self.in_flight += 1

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.in_flight -= 1


class Retry:
    """Tries again what never reached an answer, inside the deadline and a budget (a share of all calls, so no storm)."""

    def __init__(self, clock: Clock, *, ratio: float = 0.1, reserve: float = 10.0, pause_s: float = 0.025) -> None:
        """`ratio`: retries earned by a call; `reserve`: most retries saved up; `pause_s`: wait before the second attempt."""
        self._clock = clock
        self._ratio = ratio
        self._reserve = reserve
        self._saved = reserve
        self._pause_s = pause_s

    async def run(self, attempt: Callable[[], Awaitable[R]], deadline_s: float) -> R:
        """The attempt's answer; a second attempt only after Unavailable. Only for calls that change nothing."""
        self._saved = min(self._reserve, self._saved + self._ratio)
        try:
            return await attempt()
        except Unavailable:
            if self._saved < 1 or self._clock.monotonic_s() + self._pause_s >= deadline_s:
                raise
            self._saved -= 1
        await asyncio.sleep(self._pause_s)
        return await attempt()


def remaining_s(clock: Clock, deadline_s: float) -> float:
    """Seconds left; DeadlineExceeded when there are none, so that no upstream is called in vain."""
    left = deadline_s - clock.monotonic_s()
    if left <= 0:
        raise DeadlineExceeded("the deadline passed before the work was done", reason="DEADLINE_EXCEEDED")
    return left


async def few_at_once(size: int, items: Iterable[T], work: Callable[[T], Awaitable[R]]) -> list[R]:
    """`work` of each item, `size` at once, answers in order. An item is made when its turn comes; a failure cancels the rest."""
    numbered = enumerate(items)
    answers: dict[int, R] = {}

    async def worker() -> None:
        for number, item in numbered:
            answers[number] = await work(item)

    try:
        async with asyncio.TaskGroup() as group:
            for _ in range(size):
                group.create_task(worker())
    except BaseExceptionGroup as failures:
        first = failures.exceptions[0]
        raise first from first.__cause__
    return [answers[number] for number in range(len(answers))]
