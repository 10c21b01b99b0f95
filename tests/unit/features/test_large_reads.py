"""A read of as many rows as are allowed takes its time, and no longer than its deadline."""

from collections.abc import Sequence

import numpy as np

from chassis.errors import DeadlineExceeded, Unavailable
from features.domain.model import Answer, Definitions, DType, Given, Query
from features.domain.read import Reader, ReadLimits
from tests.fakes.clock import FakeClock
from tests.fakes.online_store import FakeOnlineStore
from tests.unit.features.test_blocks import NOON, Silent, make_view

VIEWS = [make_view(f"v{number}", [DType.FLOAT64]) for number in range(9)]
ROWS = 10_000


class BusyStore(FakeOnlineStore):
    """Takes 10 ms for 1,000 keys."""

    def __init__(self, clock: FakeClock) -> None:
        super().__init__()
        self._clock = clock

    async def read(self, keys: Sequence[bytes], timeout_s: float) -> list[bytes | None]:
        took_s = len(keys) * 10e-6
        self._clock.advance(min(took_s, timeout_s))
        if took_s > timeout_s:
            raise Unavailable("the online store did not answer in time", reason="ONLINE_STORE_UNAVAILABLE")
        return await super().read(keys, timeout_s)


async def read(timeout_s: float) -> tuple[Answer | Exception, float]:
    """The answer to the largest read, and the seconds it took."""
    clock = FakeClock()
    reader = Reader(BusyStore(clock), clock, Silent(), ReadLimits())
    reader.load(Definitions({view.name: view for view in VIEWS}))
    began_s = clock.monotonic_s()
    refs = tuple(f"{view.name}:f0" for view in VIEWS)
    (answer,) = await reader.read([Query("default", refs, {"id": Given(np.arange(ROWS))}, {}, ROWS, NOON)], timeout_s)
    return answer, clock.monotonic_s() - began_s


async def test_the_largest_read_is_answered_by_a_store_that_answers() -> None:
    answer, _ = await read(timeout_s=5.0)
    assert isinstance(answer, Answer), answer
    assert (answer.rows, len(answer.values)) == (ROWS, len(VIEWS))


async def test_it_ends_at_its_deadline() -> None:
    answer, took_s = await read(timeout_s=0.45)
    assert isinstance(answer, DeadlineExceeded | Unavailable), answer
    assert took_s <= 0.46
