"""How connections to the public HTTP port end: no client keeps one for ever, whatever it asked for and however it stopped."""

import asyncio
import contextlib
from typing import Any

import pytest

from chassis.public.http_bounds import HttpBounds
from tests.contract.test_public_http import BUSY, GET, SHORT, busy, world

BIG = b"GET /big HTTP/1.1\r\nHost: x\r\n"
ANSWERED_EARLY = b"POST /deaf HTTP/1.1\r\nHost: x\r\n"
HASTY = HttpBounds(connections=4, head_s=0.6, body_s=0.6, answer_s=0.6, idle_s=0.6)


async def until_alone(server: Any, seconds: float = 5.0) -> None:
    """Returns when the server has no connection any more, nor holds a byte."""
    async with asyncio.timeout(seconds):
        while server._shared.connections or server._shared.held:
            await asyncio.sleep(0.02)


@pytest.mark.parametrize(
    "request_head",
    [BIG + b"\r\n", BIG + b"Connection: close\r\n\r\n", b"GET /big HTTP/1.0\r\nHost: x\r\n\r\n"],
    ids=["keep-alive", "close", "HTTP/1.0"],
)
async def test_an_answer_that_nobody_takes_is_given_up(request_head: bytes) -> None:
    async with world(SHORT) as here, here.client(4096) as client:
        client.reader._transport.pause_reading()  # type: ignore[attr-defined]
        await client.send(request_head)
        async with asyncio.timeout(5):
            while not here.server._shared.connections:
                await asyncio.sleep(0.01)
        await until_alone(here.server)


async def test_an_answer_that_nobody_takes_who_has_said_all_is_given_up() -> None:
    async with world(SHORT) as here, here.client(4096) as client:
        client.reader._transport.pause_reading()  # type: ignore[attr-defined]
        await client.send(BIG + b"\r\n")
        async with asyncio.timeout(5):
            while "/big" not in here.app.paths:
                await asyncio.sleep(0.01)
        client.writer.write_eof()
        await until_alone(here.server)


@pytest.mark.parametrize("head", [BUSY, ANSWERED_EARLY], ids=["turned away", "by the app"])
async def test_who_sends_its_body_after_the_answer_is_idle_then(head: bytes) -> None:
    async with world(HASTY, turn_away=busy) as here, here.client() as client:
        await client.send(head + b"Content-Length: 1\r\n\r\n")
        await client.answer()
        await client.send(b"x")
        await until_alone(here.server)


async def test_who_sends_its_body_after_the_answer_shuts_out_nobody() -> None:
    async with world(HttpBounds(connections=4)) as here, contextlib.AsyncExitStack() as stack:
        for _ in range(4):
            client = await stack.enter_async_context(here.client())
            await client.send(ANSWERED_EARLY + b"Content-Length: 1\r\n\r\n")
            await client.answer()
            await client.send(b"x")
        async with here.client() as another:
            await another.send(GET)
            assert (await another.answer())[0] == 200


async def test_a_request_behind_one_that_was_turned_away_is_no_idle_connection() -> None:
    async with world(HttpBounds(head_s=3, body_s=3, idle_s=0.3), turn_away=busy) as here, here.client() as client:
        await client.send(BUSY + b"Content-Length: 0\r\n\r\n" + b"GET /wait HTTP/1.1\r\nHost: x\r\n\r\n")
        assert (await client.answer())[0] == 503
        asyncio.get_running_loop().call_later(1.5, here.app.gate.set)
        assert (await client.answer())[0] == 200
