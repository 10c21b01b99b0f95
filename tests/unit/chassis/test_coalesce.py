"""Coalescing: together when together, at once when alone, and nobody's leaving hurts the rest."""

import asyncio
import time
from contextvars import ContextVar

import pytest

from chassis.errors import DeadlineExceeded, Internal, NotFound, Unavailable
from chassis.rpc.coalesce import Coalescer


def soon(seconds: float = 5.0) -> float:
    return time.monotonic() + seconds


class Upstream:
    """Doubles numbers, when let."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.gate = asyncio.Event()
        self.gate.set()
        self.cancelled = 0

    async def send(self, items: list[int]) -> list[int]:
        self.batches.append(list(items))
        try:
            await self.gate.wait()
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        return [item * 2 for item in items]


@pytest.fixture
def upstream() -> Upstream:
    return Upstream()


async def test_one_tick_travels_as_one_message(upstream: Upstream) -> None:
    coalescer = Coalescer(upstream.send)
    assert await asyncio.gather(*(coalescer.submit(n, soon()) for n in range(10))) == [n * 2 for n in range(10)]
    assert upstream.batches == [list(range(10))]


async def test_what_arrives_in_the_meantime_comes_along(upstream: Upstream) -> None:
    coalescer = Coalescer(upstream.send)

    async def later(n: int) -> int:
        await asyncio.sleep(0)
        return await coalescer.submit(n, soon())

    results = await asyncio.gather(coalescer.submit(1, soon()), later(2), later(3))
    assert list(results) == [2, 4, 6]
    assert upstream.batches == [[1, 2, 3]]


async def test_a_lone_item_does_not_wait(upstream: Upstream) -> None:
    coalescer = Coalescer(upstream.send, max_wait_s=60)
    started = time.monotonic()
    for n in range(50):
        assert await coalescer.submit(n, soon()) == n * 2
    assert time.monotonic() - started < 1
    assert len(upstream.batches) == 50


async def test_company_is_waited_for_only_while_busy(upstream: Upstream) -> None:
    coalescer = Coalescer(upstream.send, max_wait_s=60)
    upstream.gate.clear()
    first = asyncio.create_task(coalescer.submit(1, soon()))
    await asyncio.sleep(0.01)
    rest = []
    for n in (2, 3):
        rest.append(asyncio.create_task(coalescer.submit(n, soon())))
        await asyncio.sleep(0.01)
    assert upstream.batches == [[1]]
    upstream.gate.set()
    assert await asyncio.gather(first, *rest) == [2, 4, 6]
    assert upstream.batches == [[1], [2, 3]]


async def test_the_wait_is_bounded(upstream: Upstream) -> None:
    coalescer = Coalescer(upstream.send, max_wait_s=0.01)
    upstream.gate.clear()
    tasks = [asyncio.create_task(coalescer.submit(1, soon()))]
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    tasks.append(asyncio.create_task(coalescer.submit(2, soon())))
    deadline = soon(2)
    while len(upstream.batches) < 2:
        assert time.monotonic() < deadline
        await asyncio.sleep(0.005)
    upstream.gate.set()
    assert await asyncio.gather(*tasks) == [2, 4]


async def test_a_slow_upstream_gets_fewer_and_larger_batches() -> None:
    class Slow(Upstream):
        def now_us(self) -> int:
            raise AssertionError("only durations are asked for")

        def monotonic_s(self) -> float:
            return self.now_s

        now_s = 0.0

        async def send(self, items: list[int]) -> list[int]:
            results = await super().send(items)
            self.now_s += 0.16
            return results

    slow = Slow()
    coalescer = Coalescer(slow.send, max_wait_s=0, clock=slow)
    for n in range(8):
        await coalescer.submit(n, 60)
    slow.gate.clear()
    under_way = asyncio.create_task(coalescer.submit(8, 60))
    while len(slow.batches) < 9:
        await asyncio.sleep(0)
    first = asyncio.create_task(coalescer.submit(9, 60))
    for _ in range(20):
        await asyncio.sleep(0)
    second = asyncio.create_task(coalescer.submit(10, 60))
    while len(slow.batches) < 10:
        await asyncio.sleep(0)
    # without anything to end the batch under way, and so within the 20 ms that a wait is at most
    assert slow.batches[9] == [9, 10]
    slow.gate.set()
    assert list(await asyncio.gather(under_way, first, second)) == [16, 18, 20]


async def test_batches_are_bounded(upstream: Upstream) -> None:
    coalescer = Coalescer(upstream.send, max_items=4)
    await asyncio.gather(*(coalescer.submit(n, soon()) for n in range(10)))
    assert max(map(len, upstream.batches)) == 4
    assert sorted(item for batch in upstream.batches for item in batch) == list(range(10))


@pytest.mark.parametrize("sent", [True, False])
async def test_a_cancelled_caller_hurts_nobody(upstream: Upstream, sent: bool) -> None:
    """Setting the result of a cancelled future raises; left alone, that strands every other caller for good."""
    coalescer = Coalescer(upstream.send)
    upstream.gate.clear()
    tasks = [asyncio.create_task(coalescer.submit(n, soon())) for n in range(5)]
    await asyncio.sleep(0.01 if sent else 0)
    tasks[2].cancel()
    if not sent:
        await asyncio.sleep(0.01)
    assert upstream.batches == [[0, 1, 2, 3, 4] if sent else [0, 1, 3, 4]]
    upstream.gate.set()
    results = await asyncio.wait_for(asyncio.gather(*tasks, return_exceptions=True), 2)
    assert isinstance(results.pop(2), asyncio.CancelledError)
    assert results == [0, 2, 6, 8]
    assert await asyncio.wait_for(coalescer.submit(7, soon()), 2) == 14


async def test_work_that_nobody_waits_for_is_cancelled(upstream: Upstream) -> None:
    coalescer = Coalescer(upstream.send)
    upstream.gate.clear()
    tasks = [asyncio.create_task(coalescer.submit(n, soon())) for n in range(3)]
    await asyncio.sleep(0.01)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    await asyncio.sleep(0.01)
    assert upstream.cancelled == 1
    upstream.gate.set()
    assert await asyncio.wait_for(coalescer.submit(1, soon()), 2) == 2


async def test_an_expired_caller_hurts_nobody(upstream: Upstream) -> None:
    coalescer = Coalescer(upstream.send)
    upstream.gate.clear()
    hasty = asyncio.create_task(coalescer.submit(1, soon(0.03)))
    patient = asyncio.create_task(coalescer.submit(2, soon()))
    with pytest.raises(DeadlineExceeded):
        await asyncio.wait_for(hasty, 2)
    assert not patient.done()
    upstream.gate.set()
    assert await patient == 4
    with pytest.raises(DeadlineExceeded):
        await coalescer.submit(3, soon(-1))
    assert upstream.batches == [[1, 2]]


async def test_each_caller_expires_at_its_own_time(upstream: Upstream) -> None:
    coalescer = Coalescer(upstream.send)
    upstream.gate.clear()
    ended: list[tuple[int, float]] = []

    async def one(n: int, seconds: float) -> None:
        with pytest.raises(DeadlineExceeded):
            await coalescer.submit(n, soon(seconds))
        ended.append((n, time.monotonic() - started))

    started = time.monotonic()
    await asyncio.wait_for(asyncio.gather(one(1, 0.2), one(2, 0.05), one(3, 0.125), one(4, 0.05)), 2)
    assert [n for n, _ in ended] in ([2, 4, 3, 1], [4, 2, 3, 1])
    assert all(at >= due - 0.01 for (_, at), due in zip(ended, (0.05, 0.05, 0.125, 0.2), strict=True))
    await asyncio.sleep(0)
    assert upstream.cancelled == 1


async def test_who_joins_after_others_expired_expires_too(upstream: Upstream) -> None:
    coalescer = Coalescer(upstream.send, max_wait_s=60)
    upstream.gate.clear()
    first = asyncio.create_task(coalescer.submit(1, soon()))
    await asyncio.sleep(0.01)  # the next ones gather while this one is in flight
    for n in (2, 3):
        with pytest.raises(DeadlineExceeded):
            await asyncio.wait_for(coalescer.submit(n, soon(0.03)), 2)
    upstream.gate.set()
    assert await first == 2
    assert upstream.batches == [[1]]


async def test_a_failed_batch_fails_its_callers_only() -> None:
    async def send(items: list[int]) -> list[int]:
        if 13 in items:
            raise Unavailable("no luck", field="x")
        return items

    coalescer = Coalescer(send)
    results = await asyncio.gather(*(coalescer.submit(n, soon()) for n in (13, 1)), return_exceptions=True)
    assert all(isinstance(result, Unavailable) and result.field == "x" for result in results)
    assert results[0] is not results[1]
    assert await coalescer.submit(1, soon()) == 1


async def test_an_item_may_fail_alone() -> None:
    async def send(items: list[int]) -> list[int | Exception]:
        return [NotFound("none") if item == 2 else item for item in items]

    coalescer: Coalescer[int, int | Exception] = Coalescer(send)
    results = await asyncio.gather(*(coalescer.submit(n, soon()) for n in (1, 2, 3)), return_exceptions=True)
    assert results[0] == 1
    assert results[2] == 3
    assert isinstance(results[1], NotFound)


async def test_a_wrong_number_of_results_is_our_fault() -> None:
    async def send(items: list[int]) -> list[int]:
        return items[1:]

    coalescer = Coalescer(send)
    with pytest.raises(Internal):
        await coalescer.submit(1, soon())


async def test_a_send_that_is_cancelled_from_below_is_unavailable() -> None:
    async def send(items: list[int]) -> list[int]:
        raise asyncio.CancelledError

    coalescer = Coalescer(send)
    with pytest.raises(Unavailable):
        await asyncio.wait_for(coalescer.submit(1, soon()), 2)


async def test_a_storm_of_cancels_strands_nobody() -> None:
    async def send(items: list[int]) -> list[int]:
        await asyncio.sleep(0.001 * (items[0] % 3))
        return [item + 1 for item in items]

    sizes: list[int] = []
    coalescer = Coalescer(send, max_items=8, observe=sizes.append)

    async def one(n: int) -> None:
        task = asyncio.create_task(coalescer.submit(n, soon()))
        if n % 3 == 0:
            await asyncio.sleep(0.0001 * (n % 20))
            task.cancel()
        results = await asyncio.gather(task, return_exceptions=True)
        assert results[0] == n + 1 or isinstance(results[0], asyncio.CancelledError)

    await asyncio.wait_for(asyncio.gather(*(one(n) for n in range(3000))), 20)
    assert coalescer._in_flight == 0
    assert max(sizes) <= 8


async def test_a_batch_knows_nothing_of_its_first_caller() -> None:
    who = ContextVar("who", default="nobody")
    seen: list[str] = []

    async def send(items: list[int]) -> list[int]:
        seen.append(who.get())
        return items

    coalescer = Coalescer(send)
    who.set("ann")
    await coalescer.submit(1, soon())
    assert seen == ["nobody"]
