"""Valkey, Triton and PostgreSQL stopped in turn: each kind of request gives the answer that docs/architecture.md declares."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import psutil
import pytest

from tests.stack import Answer, Load, Stack, eventually, load_on

pytestmark = [pytest.mark.engines, pytest.mark.timeout(600)]
# Longer than any request's deadline, so that an answer after it is a hang.
PATIENCE_S = 8


@asynccontextmanager
async def stalled(stack: Stack, engine: str) -> AsyncIterator[Load]:
    """The engine keeps its connections and answers nothing: harder than being gone, and it isn't restarted."""
    pid = stack.pid(engine)
    async with load_on(stack, PATIENCE_S) as load:
        await eventually(load.all_well, 30, "everything healthy before the fault")
        # PostgreSQL's backends are process groups of their own: the whole tree has to stand still.
        leader = psutil.Process(pid)
        tree = [leader, *leader.children(recursive=True)]
        for process in tree:
            process.suspend()
        try:
            yield load
        finally:
            for process in tree:
                process.resume()
        await eventually(load.all_well, 10, f"healthy again after {engine} came back")


def refused(answer: Answer) -> bool:
    """A declared refusal: in time, with a code, nothing internal."""
    return answer.status in (503, 504) and (
        '"code":"UNAVAILABLE"' in answer.text or '"code":"DEADLINE_EXCEEDED"' in answer.text
    )


async def test_without_valkey(stack: Stack) -> None:
    async with stalled(stack, "valkey") as load:
        predict = await load.ask("predict")
        assert predict.status == 200, predict.text
        assert '"degraded":true' in predict.text
        assert refused(await load.ask("read"))
        for kind in ("search", "ask"):
            assert (await load.ask(kind)).status == 200


async def test_without_triton(stack: Stack) -> None:
    async with stalled(stack, "triton") as load:
        assert refused(await load.ask("predict"))
        assert (await load.ask("read")).status == 200
        search = await load.ask("search")
        assert search.status == 200, search.text
        assert '"degraded":true' in search.text


async def test_without_postgresql(stack: Stack) -> None:
    async with stalled(stack, "postgres") as load:
        assert (await load.ask("predict")).status == 200
        assert (await load.ask("read")).status == 200
        for kind in ("search", "ask"):
            assert refused(await load.ask(kind))
