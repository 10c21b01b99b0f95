"""How often the loop's lag is looked at, on a loop whose time is a number: it sleeps by setting its clock forward."""

import asyncio
import selectors
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import pytest

from gateway.adapters.loop_lag import watch


class Leaping(selectors.DefaultSelector):
    """Nothing is waited for: what would be slept is added to `now`."""

    now = 1000.0

    def select(self, timeout: float | None = None) -> list[Any]:
        self.now += timeout or 0.0
        return super().select(0)


class Loop(asyncio.SelectorEventLoop):
    def __init__(self) -> None:
        self.leaping = Leaping()
        super().__init__(self.leaping)

    def time(self) -> float:
        return self.leaping.now


@pytest.fixture
def loop(monkeypatch: pytest.MonkeyPatch) -> Iterator[Loop]:
    made = Loop()
    monkeypatch.setattr(time, "monotonic", made.time)
    yield made
    made.close()


def looks(loop: Loop, seconds: float, busy: Callable[[], bool], block_s: float = 0.0) -> list[float]:
    """The lags that are told in so many seconds of the loop's time; a call blocks the loop for `block_s` in the middle."""
    told: list[float] = []

    async def run() -> None:
        watching = asyncio.create_task(watch(told.append, busy))
        await asyncio.sleep(seconds / 2)
        loop.leaping.now += block_s
        await asyncio.sleep(seconds / 2)
        watching.cancel()
        with suppress(asyncio.CancelledError):
            await watching

    loop.run_until_complete(run())
    return told


def test_five_times_a_second_while_calm(loop: Loop) -> None:
    assert 49 <= len(looks(loop, 10.0, lambda: False)) <= 50


def test_a_hundred_times_a_second_while_calls_are_under_way(loop: Loop) -> None:
    assert 990 <= len(looks(loop, 10.0, lambda: True)) <= 1000


def test_it_follows_what_is_under_way(loop: Loop) -> None:
    began = loop.time()
    told = looks(loop, 10.0, lambda: loop.time() < began + 4.0)
    assert 420 <= len(told) <= 431  # 4 s of a hundred, 6 s of five


def test_it_tells_how_long_a_call_kept_the_loop(loop: Loop) -> None:
    told = looks(loop, 10.0, lambda: True, block_s=0.7)
    assert [lag for lag in told if lag > 0.02] == [pytest.approx(0.7, abs=0.011)]
