"""Admission, against a simulated server: time is ours, so nothing here waits or depends on the machine."""

import heapq
from collections import Counter
from dataclasses import dataclass, field

import pytest

from chassis.errors import MizzenError, ResourceExhausted, Unavailable
from gateway.domain.admission import Admission, Slot
from tests.fakes.clock import FakeClock


@dataclass
class Counted:
    """What admission told."""

    refusals: Counter[tuple[str, str]] = field(default_factory=Counter)
    limits: dict[str, int] = field(default_factory=dict)
    lags: list[float] = field(default_factory=list)

    def refused(self, reason: str, name: str) -> None:
        self.refusals[reason, name] += 1

    def learnt(self, name: str, limit: int) -> None:
        self.limits[name] = limit

    def forgotten(self, name: str) -> None:
        del self.limits[name]

    def lagged(self, seconds: float) -> None:
        self.lags.append(seconds)


@dataclass
class Server:
    """Answers one call after another, each in `work_s`, and nothing sooner than `least_s`."""

    work_s: float
    least_s: float = 0.0
    free_at_s: float = 0.0

    def done_at_s(self, now_s: float) -> float:
        self.free_at_s = max(self.free_at_s, now_s) + self.work_s
        return max(self.free_at_s, now_s + self.least_s)


class Bench:
    """Offers calls to an admission in front of servers."""

    def __init__(self, **settings: float) -> None:
        self.clock, self.counted = FakeClock(), Counted()
        self.admission = Admission(self.clock, self.counted, **settings)  # type: ignore[arg-type]
        self.took: dict[str, list[float]] = {}
        self.refused: Counter[str] = Counter()
        self.ends: list[tuple[float, int, float, str, Slot]] = []
        self.number = 0

    def offer(self, name: str, server: Server, weight: int = 1) -> bool:
        try:
            slot = self.admission.admit(name, weight)
        except MizzenError as error:
            assert error.reason == "OVERLOADED"
            assert error.retry_after_s == 1
            self.refused[name] += 1
            return False
        self.number += 1
        now_s = self.clock.monotonic
        heapq.heappush(self.ends, (server.done_at_s(now_s), self.number, now_s, name, slot))
        return True

    def advance(self, to_s: float) -> None:
        while self.ends and self.ends[0][0] <= to_s:
            self.clock.monotonic, _, began_s, name, slot = heapq.heappop(self.ends)
            self.took.setdefault(name, []).append(self.clock.monotonic - began_s)
            slot.leave(ok=True)
        self.clock.monotonic = to_s

    def load(self, seconds: float, *streams: tuple[str, float, Server]) -> None:
        """Open loop: (name, calls a second, server)."""
        end_s = self.clock.monotonic + seconds
        due = [(self.clock.monotonic + 1 / rate, index) for index, (_, rate, _) in enumerate(streams)]
        heapq.heapify(due)
        while due[0][0] <= end_s:
            at_s, index = heapq.heappop(due)
            name, rate, server = streams[index]
            self.advance(at_s)
            self.offer(name, server)
            heapq.heappush(due, (at_s + 1 / rate, index))
        self.advance(end_s)

    def forget(self) -> None:
        self.took.clear()
        self.refused.clear()


def p99(values: list[float]) -> float:
    return sorted(values)[len(values) * 99 // 100]


@pytest.mark.parametrize("work_s", [0.0005, 0.0035, 0.02])
def test_three_times_the_peak_keeps_the_goodput_and_a_short_queue(work_s: float) -> None:
    bench, server = Bench(), Server(work_s)
    bench.load(60, ("endpoint/a", 3 / work_s, server))
    took = bench.took["endpoint/a"]
    assert len(took) >= 0.97 * 60 / work_s
    assert p99(took) <= max(0.15, 64 * work_s)
    settled = took[len(took) // 10 :]
    assert max(settled) <= max(0.16, 16 * work_s)
    bench.forget()
    bench.load(5, ("endpoint/a", 0.5 / work_s, server))
    assert not bench.refused
    assert max(bench.took["endpoint/a"][-10:]) <= 2 * work_s


def test_below_the_peak_nothing_is_refused() -> None:
    bench = Bench()
    bench.load(60, ("endpoint/a", 250, Server(0.0035)), ("endpoint/slow", 20, Server(0.0, least_s=1.5)))
    assert not bench.refused


def test_a_burst_that_drains_passes() -> None:
    bench, server = Bench(), Server(0.0035)
    bench.load(5, ("endpoint/a", 50, server))
    assert all(bench.offer("endpoint/a", server) for _ in range(60))


def test_after_an_overload_and_a_rest_a_burst_passes_again() -> None:
    bench, server = Bench(), Server(0.0035)
    bench.load(20, ("endpoint/a", 900, server))
    assert bench.counted.limits["endpoint/a"] < 30
    bench.advance(bench.clock.monotonic + 2)
    assert all(bench.offer("endpoint/a", server) for _ in range(60))


def test_answers_that_become_slower_without_a_queue_are_let_through_again() -> None:
    """A store that stalls adds the same time to each answer, however few are asked: refusing more would help nobody."""
    bench = Bench()
    bench.load(10, ("endpoint/a", 60, Server(0.001)))
    bench.load(5, ("endpoint/a", 60, Server(0.001, least_s=0.2)))
    bench.forget()
    bench.load(10, ("endpoint/a", 60, Server(0.001, least_s=0.2)))
    assert not bench.refused


def test_a_slow_endpoint_takes_nothing_from_another() -> None:
    bench = Bench()
    hung, quick = Server(0.0, least_s=1e9), Server(0.002)
    bench.load(20, ("endpoint/hung", 500, hung), ("endpoint/quick", 200, quick))
    assert bench.refused["endpoint/quick"] == 0
    assert max(bench.took["endpoint/quick"]) < 0.1


def test_a_late_loop_shuts_the_door_and_leaves_it_ajar_for_the_quiet() -> None:
    bench = Bench(most=256)
    server = Server(0.0, least_s=1e9)
    for number in range(200):
        bench.offer(f"endpoint/busy-{number % 4}", server)
    for _ in range(50):
        bench.clock.monotonic += 0.01
        bench.admission.lagged(0.2)
    assert bench.counted.limits["process"] < 128
    with pytest.raises(Unavailable) as refused:
        bench.admission.admit("endpoint/busy-0")
    assert refused.value.reason == "OVERLOADED"
    bench.admission.admit("endpoint/quiet")
    bench.admission.admit(None)
    for _ in range(200):
        bench.clock.monotonic += 0.01
        bench.admission.lagged(0.0)
    assert bench.counted.limits["process"] == 256


def test_a_late_loop_is_no_queue_of_an_endpoint() -> None:
    """While the process itself is short of CPU, answers come late from everywhere: the process's limit is the one to close."""
    bench = Bench()
    bench.load(2, ("endpoint/a", 50, Server(0.001)))
    for _ in range(100):
        slots = [bench.admission.admit("endpoint/a") for _ in range(20)]
        for _ in range(3):
            bench.clock.monotonic += 0.05
            bench.admission.lagged(0.05)
        for slot in slots:
            slot.leave(ok=True)
    assert bench.counted.limits.get("endpoint/a", 64) >= 60


def test_whatever_is_learnt_the_process_has_a_bound() -> None:
    bench = Bench(most=20)
    assert sum(bench.offer(f"endpoint/{number}", Server(1.0)) for number in range(30)) == 20


def test_heavy_calls_count_as_many_and_still_get_in() -> None:
    bench, server = Bench(), Server(0.001)
    for _ in range(20):  # many small answers in a row teach a small limit
        bench.load(1, ("endpoint/a", 3000, Server(0.0035)))
    bench.advance(bench.clock.monotonic + 60)
    limit = bench.counted.limits["endpoint/a"]
    heavy = bench.admission.admit("endpoint/a", 5000)
    with pytest.raises(ResourceExhausted):
        for _ in range(limit):
            bench.admission.admit("endpoint/a", limit // 2)
    heavy.leave(ok=True)
    heavy.leave(ok=True)
    assert bench.admission.admit("endpoint/a", 1)
    assert server.free_at_s == 0


def test_names_that_nobody_has_take_no_memory_and_no_series() -> None:
    bench = Bench()
    bench.load(1, ("endpoint/real", 3, Server(0.001)))
    assert bench.counted.limits == {"endpoint/real": 64}
    for number in range(5000):
        bench.admission.admit(f"endpoint/made-up-{number}").leave(ok=False)
    assert len(bench.admission._limits) <= 1024
    assert "endpoint/real" in bench.admission._limits
    for number in range(300):
        for _ in range(20):
            slot = bench.admission.admit(f"endpoint/{number}")
            bench.clock.monotonic += 0.02
            slot.leave(ok=True)
    for number in range(300):
        for _ in range(300):
            bench.offer(f"endpoint/{number}", Server(1e9))
    assert len({name for _, name in bench.counted.refusals}) <= 101


def test_a_place_is_given_back_however_the_call_ends() -> None:
    bench = Bench()
    with bench.admission.admit("endpoint/a"):
        assert bench.admission.process.in_flight == 1
    with pytest.raises(ZeroDivisionError), bench.admission.admit("endpoint/a"):
        raise ZeroDivisionError
    assert bench.admission.process.in_flight == 0
