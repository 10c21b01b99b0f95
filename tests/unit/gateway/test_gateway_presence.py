"""Long work ends with its client; short work is not watched; the server's own cancelling stays one."""

import asyncio

import pytest

from gateway.api.http.presence import ClientGoneError, Presence


class Client:
    """Goes when told."""

    def __init__(self) -> None:
        self.leaves = asyncio.Event()
        self.watched = 0

    async def gone(self) -> None:
        self.watched += 1
        await self.leaves.wait()


async def test_short_work_is_not_watched() -> None:
    client, presence = Client(), Presence(sweep_s=60)

    async def answer() -> int:
        return 7

    assert await presence.of(client.gone, answer()) == 7
    assert client.watched == 0


async def test_long_work_is_watched_once_and_ends_with_the_client() -> None:
    client, presence, ended = Client(), Presence(sweep_s=0.001), asyncio.Event()

    async def endless() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    async def leave() -> None:
        async with asyncio.timeout(5):
            while not client.watched:
                await asyncio.sleep(0.001)
        client.leaves.set()

    leaving = asyncio.ensure_future(leave())
    with pytest.raises(ClientGoneError):
        await presence.of(client.gone, endless())
    await leaving
    assert ended.is_set()
    assert client.watched == 1
    task = asyncio.current_task()
    assert task is not None
    assert not task.cancelling()


async def test_work_that_ends_by_itself_leaves_no_watch() -> None:
    client, presence = Client(), Presence(sweep_s=0.001)

    async def until_watched() -> str:
        async with asyncio.timeout(5):
            while not client.watched:
                await asyncio.sleep(0.001)
        return "done"

    before = asyncio.all_tasks()
    assert await presence.of(client.gone, until_watched()) == "done"
    await asyncio.sleep(0)
    assert asyncio.all_tasks() == before


async def test_the_servers_own_cancelling_stays_one() -> None:
    client, presence, began = Client(), Presence(sweep_s=60), asyncio.Event()

    async def endless() -> None:
        began.set()
        await asyncio.Event().wait()

    task = asyncio.ensure_future(presence.of(client.gone, endless()))
    await began.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
