"""Request ids are UUIDv7, in order, whatever the clock does."""

import time
import uuid

from chassis.clock import SystemClock, SystemIds, uuid7
from tests.fakes.clock import FakeClock


def milliseconds(text: str) -> int:
    return uuid.UUID(text).int >> 80


def test_ids_are_uuid7_of_the_instant() -> None:
    clock = FakeClock()
    for us in (0, 1, 999, 1000, clock.us, clock.us + 123, 2**48 * 1000 - 1):
        parsed = uuid.UUID(uuid7(us))
        assert (parsed.version, parsed.variant) == (7, uuid.RFC_4122)
        assert milliseconds(str(parsed)) == us // 1000
        assert str(parsed)[:18] == uuid7(us)[:18]


def test_ids_grow_even_when_the_clock_does_not() -> None:
    clock = FakeClock()
    ids = SystemIds(clock)
    seen = [ids.new() for _ in range(10_000)]
    clock.advance(-3600)
    seen += [ids.new() for _ in range(100)]
    clock.advance(7200)
    seen += [ids.new() for _ in range(100)]
    assert seen == sorted(seen)
    assert len(set(seen)) == len(seen)
    assert all(uuid.UUID(one).version == 7 for one in seen)


def test_microseconds_order_ids_of_one_millisecond() -> None:
    base = FakeClock().us
    assert [uuid7(base + us)[:18] for us in range(0, 1000, 7)] == sorted(
        uuid7(base + us)[:18] for us in range(0, 1000, 7)
    )


def test_the_system_clock_is_the_machines() -> None:
    clock = SystemClock()
    assert abs(clock.now_us() / 1e6 - time.time()) < 1
    assert abs(clock.monotonic_s() - time.monotonic()) < 1
