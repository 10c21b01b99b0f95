"""More calls at once out of grpcio's core than grpc.aio asks it for.

grpc.aio asks the core for the next call when it has got the last one, and each answer takes a turn of the core's thread and one
of the event loop. Where the two share a busy core, that is one call in some milliseconds. Others wait in the core meanwhile, where
nobody counts them, although refusing each would take a fraction of a millisecond. With several requests open at the core, a turn
brings several calls.

The names used here are private to grpcio. A test of the public port fails where the installed version lacks them. Later versions
of grpc.aio ask for one call of each registered method; this module goes when they are in use.
"""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

import grpc
from grpc import aio

_AT_ONCE = 15
"""Requests open at the core beside grpc.aio's own."""


class Accepting:
    """Asks the core of a started grpc.aio server for calls, until that stops.

    handlers: the same that the server was given. unwanted: whether the call of this peer is to be dropped, unseen and unanswered.
    """

    def __init__(
        self,
        server: aio.Server,
        handlers: Sequence[grpc.GenericRpcHandler],
        unwanted: Callable[[Callable[[], str]], bool],
    ) -> None:
        self._core: Any = server._server  # type: ignore[attr-defined]
        self._handlers = list(handlers)
        self._unwanted = unwanted
        self._calls: set[asyncio.Task[None]] = set()
        self._asking = [asyncio.create_task(self._ask(), name="accepting calls") for _ in range(_AT_ONCE)]

    async def end(self) -> None:
        """Returns when nothing asks any more; to be called when the server has stopped, which ends what is asked."""
        await asyncio.gather(*self._asking)

    async def _ask(self) -> None:
        cython: Any = grpc._cython.cygrpc
        loop = asyncio.get_running_loop()
        while self._core.is_running():
            try:
                state = await self._core._request_call()
            except cython._RequestCallError:
                return  # the server stops
            if not self._unwanted(cython._ServicerContext(state, None, None, loop).peer):
                answering = cython._handle_rpc(self._handlers, (), state, loop, False)
                call = loop.create_task(cython._schedule_rpc_coro(answering, state, loop))
                # the loop keeps weak references only
                self._calls.add(call)
                call.add_done_callback(self._calls.discard)
            del state  # the library ends an unwanted call with its last reference
