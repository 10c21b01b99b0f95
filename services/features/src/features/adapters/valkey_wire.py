"""One multiplexed connection to Redis or Valkey: all commands of one loop tick leave in one write.

Replies come in the order of the commands, so a queue of waiting calls is all the bookkeeping there is. A call that ran out of time
stays in the queue as a blank until its reply comes or the connection is given up.
"""

import asyncio
from collections import deque
from collections.abc import Sequence
from typing import Any

import hiredis

from chassis.errors import Unavailable

Command = Sequence[bytes | str | int]
_SWEEP_S = 0.005


def unavailable(sentence: str, reason: str = "ONLINE_STORE_UNAVAILABLE") -> Unavailable:
    """What every failure to reach the store becomes."""
    return Unavailable(sentence, reason=reason)


class Call:
    """Commands sent together; `future` gives their replies as a list (an error reply as a ReplyError in its place)."""

    __slots__ = ("deadline", "future", "replies", "wanted")

    def __init__(self, wanted: int, deadline: float, future: "asyncio.Future[list[Any]]") -> None:
        self.wanted = wanted
        self.deadline = deadline
        self.future = future
        self.replies: list[Any] = []


class Wire(asyncio.Protocol):
    """The protocol of one TCP connection.

    max_in_flight: commands without a reply, over which calls are refused. stalled_s: seconds without any reply, while some are
    owed, after which the connection is given up.
    """

    def __init__(self, max_in_flight: int, stalled_s: float) -> None:
        self._loop = asyncio.get_running_loop()
        self._max_in_flight = max_in_flight
        self._stalled_s = stalled_s
        self._reader = hiredis.Reader()
        self._transport: asyncio.Transport | None = None
        self._waiting: deque[Call] = deque()
        self._out: list[bytes] = []
        self._in_flight = 0
        self._heard = 0.0
        self._swept = 0.0
        self._sweeper: asyncio.TimerHandle | None = None
        self.lost: asyncio.Future[None] = self._loop.create_future()

    @property
    def is_open(self) -> bool:
        """Whether commands can be sent."""
        return self._transport is not None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport  # type: ignore[assignment]
        self._heard = self._loop.time()

    def connection_lost(self, exc: Exception | None) -> None:
        """See asyncio.Protocol; every waiting call fails."""
        self._transport = None
        if self._sweeper is not None:
            self._sweeper.cancel()
        waiting, self._waiting, self._in_flight = self._waiting, deque(), 0
        self._out.clear()
        for call in waiting:
            if not call.future.done():
                call.future.set_exception(unavailable("the connection to the online store was lost"))
        if not self.lost.done():
            self.lost.set_result(None)

    def abort(self) -> None:
        """Gives the connection up at once."""
        if self._transport is not None:
            self._transport.abort()

    def send(self, commands: Sequence[Command], timeout_s: float) -> "asyncio.Future[list[Any]]":
        """Sends `commands` with whatever else this loop tick sends. The future fails with Unavailable after `timeout_s`."""
        future: asyncio.Future[list[Any]] = self._loop.create_future()
        if self._transport is None:
            future.set_exception(unavailable("the online store is not connected"))
            return future
        if self._in_flight + len(commands) > self._max_in_flight:
            future.set_exception(unavailable("the online store does not keep up", "ONLINE_STORE_OVERLOADED"))
            return future
        now = self._loop.time()
        if not self._waiting:
            self._heard = now
        if not self._out:
            self._loop.call_soon(self._flush)
        for command in commands:
            self._out.append(hiredis.pack_command(tuple(command)))  # type: ignore[arg-type]  # any length
        self._in_flight += len(commands)
        self._waiting.append(Call(len(commands), now + timeout_s, future))
        if self._sweeper is None:
            self._sweeper = self._loop.call_later(_SWEEP_S, self._sweep)
        return future

    def _flush(self) -> None:
        out, self._out = self._out, []
        if self._transport is not None and out:
            self._transport.write(out[0] if len(out) == 1 else b"".join(out))

    def data_received(self, data: bytes) -> None:
        self._heard = self._loop.time()
        reader = self._reader
        try:
            reader.feed(data)
            while (reply := reader.gets()) is not False:
                self._answer(reply)
        except hiredis.ProtocolError:
            self.abort()

    def _answer(self, reply: Any) -> None:
        if not self._waiting:
            self.abort()
            return
        call = self._waiting[0]
        call.replies.append(reply)
        self._in_flight -= 1
        if len(call.replies) == call.wanted:
            self._waiting.popleft()
            if not call.future.done():
                call.future.set_result(call.replies)

    def _sweep(self) -> None:
        """Fails the calls that ran out of time; runs only while something is awaited.

        A loop that was busy runs its timers before it reads: a call has to be late at two sweeps in a row, between which
        whatever had arrived was read, or the store would be blamed for our own slowness.
        """
        self._sweeper = None
        if not self._waiting:
            return
        before, now = self._swept, self._loop.time()
        self._swept = now
        for call in self._waiting:
            if call.deadline <= before and not call.future.done():
                call.future.set_exception(
                    unavailable("the online store did not answer in time", "ONLINE_STORE_TIMEOUT")
                )
        if now - self._heard > self._stalled_s:
            self.abort()
            return
        self._sweeper = self._loop.call_later(_SWEEP_S, self._sweep)
