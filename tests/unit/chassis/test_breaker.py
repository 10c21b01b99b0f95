"""A breaker opens for who answers nothing, asks once a second, and closes with the first answer: in a time that tests move."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from chassis.rpc.breaker import PAUSE_S, POLL_S, PROBE_S, THRESHOLD, Breaker, State


class Address:
    """An address whose probes are answered, or not, after a time: the breaker's prober, its clock and its sleep."""

    def __init__(self) -> None:
        self.now_s = 100.0
        self.alive = True
        self.stands = True
        self.probes: list[float] = []
        self.opened: list[tuple[float, bool]] = []
        self._sleepers: list[tuple[float, asyncio.Future[None]]] = []
        self.breaker = Breaker(
            self, lambda: self.now_s, lambda is_open: self.opened.append((self.now_s, is_open)), self.sleep
        )

    def connected(self) -> bool:
        return self.stands

    async def probe(self, timeout_s: float) -> bool:
        self.probes.append(self.now_s)
        if not self.alive:
            await self.sleep(timeout_s)
        return self.alive

    async def sleep(self, seconds: float) -> None:
        woken = asyncio.get_running_loop().create_future()
        self._sleepers.append((self.now_s + seconds, woken))
        await woken

    async def pass_s(self, seconds: float) -> None:
        """Moves time on, waking whoever sleeps in between at the instant it asked for."""
        end = self.now_s + seconds
        while True:
            for _ in range(5):
                await asyncio.sleep(0)
            due = [sleeper for sleeper in self._sleepers if sleeper[0] <= end + 1e-9]
            if not due:
                break
            first = min(due, key=lambda sleeper: sleeper[0])
            self._sleepers.remove(first)
            self.now_s = max(self.now_s, first[0])
            if not first[1].done():
                first[1].set_result(None)
        self.now_s = end

    def fail(self, times: int = THRESHOLD) -> None:
        for _ in range(times):
            self.breaker.failed(self.now_s)


@pytest.fixture
async def address() -> AsyncIterator[Address]:
    made = Address()
    yield made
    await made.breaker.close()


async def test_it_opens_within_a_second_of_the_threshold_and_closes_within_two_of_the_recovery(
    address: Address,
) -> None:
    address.alive = False
    address.fail(THRESHOLD - 1)
    await address.pass_s(5)
    assert (address.breaker.state, address.probes) == (State.CLOSED, [])
    threshold_s = address.now_s
    address.fail(1)
    await address.pass_s(10)
    assert address.breaker.is_open
    assert address.opened == [(threshold_s + PROBE_S, True)]
    gaps = [later - earlier for earlier, later in zip(address.probes, address.probes[1:], strict=False)]
    assert min(gaps) >= PAUSE_S, "more than a probe a second"
    address.alive, recovered_s = True, address.now_s
    await address.pass_s(5)
    closed_s, is_open = address.opened[-1]
    assert not is_open
    assert closed_s - recovered_s <= 2
    asked = len(address.probes)
    await address.pass_s(30)
    assert len(address.probes) == asked, "nobody is asked who answers"


async def test_calls_that_fail_where_somebody_answers_open_nothing(address: Address) -> None:
    """A model that hangs is not its server."""
    for _ in range(10):
        address.fail()
        await address.pass_s(0.5)
    assert address.opened == []
    assert len(address.probes) <= 5 / PAUSE_S + 1, "a probe a second, however many calls fail"


async def test_calls_that_were_sent_before_others_were_answered_are_no_evidence(address: Address) -> None:
    sent_s = address.now_s
    await address.pass_s(1)
    address.breaker.answered(address.now_s)
    for _ in range(100):
        address.breaker.failed(sent_s)
    await address.pass_s(3)
    assert address.probes == []


async def test_a_lost_connection_opens_it_at_once_and_its_return_is_probed_at_once(address: Address) -> None:
    address.stands = address.alive = False
    address.fail()
    await address.pass_s(0)
    assert address.breaker.is_open
    await address.pass_s(60)
    assert address.probes == [], "there is nothing to send them on"
    address.stands = address.alive = True
    await address.pass_s(2 * POLL_S)
    assert not address.breaker.is_open


async def test_an_answer_to_a_call_that_was_under_way_closes_it(address: Address) -> None:
    address.alive = False
    address.fail()
    await address.pass_s(PROBE_S)
    assert address.breaker.is_open
    address.breaker.answered(address.now_s)
    assert not address.breaker.is_open


async def test_closing_ends_the_probes(address: Address) -> None:
    address.alive = False
    address.fail()
    await address.pass_s(3)
    await address.breaker.close()
    asked = len(address.probes)
    await address.pass_s(30)
    assert len(address.probes) == asked
