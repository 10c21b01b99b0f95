"""20 mixed requests a second while each service and each engine is ended in turn."""

import asyncio
import os
import signal

import pytest

from tests.stack import ENGINES, SERVICES, Load, Stack, eventually, load_on

pytestmark = [pytest.mark.engines, pytest.mark.timeout(600)]
PER_SECOND = 20
HANG_S = 15


@pytest.mark.parametrize("service", SERVICES)
async def test_a_drained_service_loses_nothing_in_flight(stack: Stack, service: str) -> None:
    async with load_on(stack, HANG_S) as load:
        await eventually(load.all_well, 30, "everything healthy before the fault")
        over = asyncio.Event()
        steady = asyncio.create_task(load.steady(PER_SECOND, over))
        try:
            # At this rate little is in flight at any instant: a burst makes sure that something is.
            burst = [asyncio.create_task(load.ask(kind)) for kind in list(load.requests) * 5]
            await asyncio.sleep(0.005)
            ended = asyncio.get_running_loop().time()
            before = stack.pid(service)
            os.kill(before, signal.SIGTERM)
            await asyncio.gather(*burst)
            # While it drains it still answers: only its successor shows that it came back.
            await eventually(lambda: stack.pid(service) not in (0, before), 30, f"{service} started again")
            await eventually(load.all_well, 10, f"healthy again after SIGTERM to {service}")
        finally:
            over.set()
            await steady
    in_flight = [answer for answer in load.answers if answer.sent <= ended <= answer.done]
    assert len(in_flight) >= 3
    assert [answer for answer in in_flight if answer.status != 200] == []


@pytest.mark.parametrize("name", [*SERVICES, *ENGINES])
async def test_a_killed_process_hangs_nobody_and_comes_back(stack: Stack, name: str) -> None:
    async with load_on(stack, HANG_S) as load:
        await eventually(load.all_well, 30, "everything healthy before the fault")
        over = asyncio.Event()
        steady = asyncio.create_task(load.steady(PER_SECOND, over))
        before = stack.pid(name)
        try:
            os.kill(before, signal.SIGKILL)
            await eventually(lambda: stack.pid(name) not in (0, before), 10, f"{name} started again")
            await eventually(lambda: well_for(load, 3), 10, f"healthy again after kill -9 of {name}")
        finally:
            over.set()
            await steady
    hung = [answer for answer in load.answers if answer.seconds >= HANG_S - 0.5]
    assert hung == []
    assert [answer.text for answer in load.answers if answer.status == 500] == []


async def well_for(load: Load, times: int) -> bool:
    """All kinds of requests answered `times` times in a row."""
    for _ in range(times):
        if not await load.all_well():
            return False
    return True
