"""Work whose client has gone is ended: nobody waits for its answer.

Most answers are there within milliseconds, and a watch costs a task; so only what is under way for longer is watched. One sweep
for all requests finds that out, and on its way a request does no more than enter and leave a dictionary.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

T = TypeVar("T")
Gone = Callable[[], Awaitable[None]]
_SWEEP_S = 0.05


class ClientGoneError(Exception):
    """The client closed its connection; there is nobody to answer."""


class _Wait:
    __slots__ = ("gone", "left", "task", "watch")

    def __init__(self, task: "asyncio.Task[object]", gone: Gone) -> None:
        self.task = task
        self.gone = gone
        self.left = False
        self.watch: asyncio.Task[None] | None = None


class Presence:
    """Who still waits for an answer. Of one event loop."""

    def __init__(self, sweep_s: float = _SWEEP_S) -> None:
        """A client's going is noticed for work that lasts longer than once to twice `sweep_s`, seconds."""
        self._sweep_s = sweep_s
        self._new: set[_Wait] = set()
        self._old: set[_Wait] = set()
        self._armed = False

    async def of(self, gone: Gone, work: Awaitable[T]) -> T:
        """The work's result. Raises ClientGoneError, the work cancelled, when `gone()` returns before."""
        task = asyncio.current_task()
        assert task is not None  # noqa: S101 - a coroutine runs in a task
        wait = _Wait(task, gone)
        self._new.add(wait)
        if not self._armed:
            self._armed = True
            asyncio.get_running_loop().call_later(self._sweep_s, self._sweep)
        try:
            return await work
        except asyncio.CancelledError:
            # Not when the server itself cancels, as it does in its last seconds.
            if wait.left and task.uncancel() == 0:
                raise ClientGoneError from None
            raise
        finally:
            self._new.discard(wait)
            self._old.discard(wait)
            if wait.watch is not None:
                wait.watch.cancel()

    def _sweep(self) -> None:
        for wait in self._old:
            if wait.watch is None:
                wait.watch = asyncio.ensure_future(_watch(wait))
        self._old |= self._new
        self._new = set()
        self._armed = bool(self._old)
        if self._armed:
            asyncio.get_running_loop().call_later(self._sweep_s, self._sweep)


async def _watch(wait: _Wait) -> None:
    await wait.gone()
    wait.left = True
    wait.task.cancel()
