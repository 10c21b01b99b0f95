"""A store whose name is not known yet: its users retry, and nothing else is said about it."""

import asyncio
import gc
import socket
from collections.abc import Callable
from typing import Any

import pytest
import uvloop

from chassis.lifecycle import loop_error

Told = list[dict[str, Any]]


def told_while(work: Callable[[], Any], handler: Callable[[Any, dict[str, Any]], None] | None) -> Told:
    """What the loop's last resort was told: what `handler` passes on, or everything without one."""
    told: Told = []

    class Loop(uvloop.Loop):
        def default_exception_handler(self, context: dict[str, Any]) -> None:
            told.append(context)

    async def run() -> None:
        asyncio.get_running_loop().set_exception_handler(handler)
        await work()
        gc.collect()
        await asyncio.sleep(0)

    with asyncio.Runner(loop_factory=Loop) as runner:
        runner.run(run())
    return told


async def given_up() -> None:
    loop = asyncio.get_running_loop()
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0):
            await loop.create_connection(asyncio.Protocol, "no-such-host.invalid", 1)
    # The lookup ends by itself, and so does one that is asked for after it.
    with pytest.raises(socket.gaierror):
        await loop.getaddrinfo("no-such-host.invalid", 2)


async def forgotten() -> None:
    asyncio.get_running_loop().create_future().set_exception(ValueError("nobody looks at this"))


def test_a_lookup_that_was_given_up_is_not_told() -> None:
    assert told_while(given_up, loop_error) == []


def test_anything_else_is_told() -> None:
    (told,) = told_while(forgotten, loop_error)
    assert str(told["exception"]) == "nobody looks at this"


def test_without_it_the_loop_would_tell() -> None:
    """Should uvloop learn to end such lookups, loop_error has done its duty."""
    assert [type(each["exception"]) for each in told_while(given_up, None)] == [socket.gaierror]
