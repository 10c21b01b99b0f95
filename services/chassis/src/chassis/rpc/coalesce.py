"""Concurrent calls travel as one message: a Python gRPC call costs far more than its work."""

import asyncio
from collections.abc import Awaitable, Callable
from contextvars import Context
from typing import Generic, TypeVar

from chassis.clock import Clock, SystemClock
from chassis.errors import DeadlineExceeded, Internal, MizzenError, Unavailable

T = TypeVar("T")
R = TypeVar("R")
_PASSED = "the deadline has passed"
_TIMER_S = 0.001  # what a timer of the loop may be early
_SHARE, _LONGEST_S = 0.5, 0.02


class _Batch(Generic[T, R]):
    """Callers that travel together. Their futures may be done (cancelled, expired) at any time."""

    __slots__ = ("clock", "deadlines", "due", "futures", "items", "task", "timer")

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.items: list[T] = []
        self.futures: list[asyncio.Future[R]] = []
        self.deadlines: list[float] = []
        self.task: asyncio.Task[None] | None = None
        # one for all: a timer a caller costs more than its place in a message
        self.timer: asyncio.TimerHandle | None = None
        self.due = 0.0  # when the timer fires

    def join(self, item: T, deadline: float, loop: asyncio.AbstractEventLoop) -> "asyncio.Future[R]":
        """One more caller's future. Raises DeadlineExceeded when there is no time left."""
        left = deadline - self.clock.monotonic_s()
        if left <= 0:
            raise DeadlineExceeded(_PASSED)
        future: asyncio.Future[R] = loop.create_future()
        self.items.append(item)
        self.futures.append(future)
        self.deadlines.append(deadline)
        if self.timer is None or deadline < self.due:
            self._arm(deadline, left, loop)
        return future

    def leave(self) -> None:
        """One caller left. When it was the last one the batch is not worth finishing."""
        if self.task is not None and all(future.done() for future in self.futures):
            self.task.cancel()

    def drop_done(self) -> None:
        """Forgets callers that left before the batch did."""
        if any(future.done() for future in self.futures):
            kept = [place for place, future in enumerate(self.futures) if not future.done()]
            self.items = [self.items[place] for place in kept]
            self.futures = [self.futures[place] for place in kept]
            self.deadlines = [self.deadlines[place] for place in kept]

    def end(self) -> None:
        """Nobody waits any more."""
        if self.timer is not None:
            self.timer.cancel()

    def _arm(self, deadline: float, left: float, loop: asyncio.AbstractEventLoop) -> None:
        if self.timer is not None:
            self.timer.cancel()
        self.due = deadline
        self.timer = loop.call_later(left, self._expire)

    def _expire(self) -> None:
        self.timer = None
        now = self.clock.monotonic_s()
        waiting = [place for place, future in enumerate(self.futures) if not future.done()]
        late = [place for place in waiting if self.deadlines[place] <= now + _TIMER_S]
        for place in late:
            self.futures[place].set_exception(DeadlineExceeded(_PASSED))
        later = [self.deadlines[place] for place in waiting if self.deadlines[place] > now + _TIMER_S]
        if later:
            self._arm(min(later), min(later) - now, asyncio.get_running_loop())
        if late:
            self.leave()


class Coalescer(Generic[T, R]):
    """Gathers items and sends them as batches.

    send: answers one result per item, in order; a result that is an exception fails its own caller only.
    max_items: a batch is sent at once when it has as many.
    max_wait_s: the longest that an item waits for company, and only while another batch is in flight; when batches take longer
    than twice that, half of what they lately took, up to 20 ms. A busy upstream so gets few large batches instead of many small
    ones, each of which costs it as much (ADR 0020).

    While nothing is in flight, a batch leaves after one more turn of the loop, so that what arrived while its first item was
    made comes along. A caller that is cancelled or expires neither stalls nor fails the others; a batch whose callers are all
    gone is cancelled.
    """

    def __init__(
        self,
        send: Callable[[list[T]], Awaitable[list[R]]],
        *,
        max_items: int = 64,
        max_wait_s: float = 0.001,
        clock: Clock | None = None,
        observe: Callable[[int], None] | None = None,
    ) -> None:
        self._send = send
        self._max_items = max_items
        self._max_wait_s = max_wait_s
        self._clock = clock or SystemClock()
        self._observe = observe
        self._gathering: _Batch[T, R] = _Batch(self._clock)
        self._timer: asyncio.Handle | None = None
        self._in_flight = 0
        self._took_s = 0.0

    async def submit(self, item: T, deadline: float) -> R:
        """The result for `item`. deadline: monotonic seconds. Raises DeadlineExceeded when it passes, or what `send` raised."""
        loop = asyncio.get_running_loop()
        batch = self._gathering
        future = batch.join(item, deadline, loop)
        if len(batch.items) >= self._max_items:
            self._flush()
        elif self._timer is None:
            self._schedule(loop)
        try:
            return await future
        except asyncio.CancelledError:
            if future.done() and not future.cancelled():
                future.exception()  # looked at, or the loop reports it as never retrieved
            else:
                batch.leave()
            raise

    def _schedule(self, loop: asyncio.AbstractEventLoop) -> None:
        if self._in_flight == 0:
            self._timer = loop.call_soon(self._turn)
        else:
            wait_s = max(self._max_wait_s, min(self._took_s * _SHARE, _LONGEST_S))
            self._timer = loop.call_later(wait_s, self._flush)

    def _turn(self) -> None:
        self._timer = asyncio.get_running_loop().call_soon(self._flush)

    def _flush(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        gathered, self._gathering = self._gathering, _Batch(self._clock)
        gathered.drop_done()
        if not gathered.items:
            gathered.end()
            return
        self._in_flight += 1
        # an empty context: what one caller bound to its log lines must not appear in those of the others
        gathered.task = asyncio.get_running_loop().create_task(self._run(gathered), context=Context())

    async def _run(self, batch: _Batch[T, R]) -> None:
        if self._observe is not None:
            self._observe(len(batch.items))
        began_s = self._clock.monotonic_s()
        try:
            results = await self._send(batch.items)
            self._took_s += (self._clock.monotonic_s() - began_s - self._took_s) / 8
            if len(results) != len(batch.items):
                raise Internal(f"{len(results)} results for {len(batch.items)} items")
            for future, result in zip(batch.futures, results, strict=True):
                _settle(future, result)
        except asyncio.CancelledError:
            for future in batch.futures:
                _settle(future, Unavailable("the call was cancelled on its way", reason="BATCH_CANCELLED"))
            raise
        except Exception as error:
            for future in batch.futures:
                _settle(future, error)
        finally:
            batch.end()
            self._in_flight -= 1
            if self._in_flight == 0 and self._gathering.items:
                self._flush()


def _settle(future: asyncio.Future[R], result: R | BaseException) -> None:
    """Answers a caller that still waits; setting a result on a cancelled future would raise and strand the rest."""
    if future.done():
        return
    if isinstance(result, MizzenError):
        # each caller raises its own: a shared exception would collect the tracebacks of all of them
        copy = type(result)(
            result.message, reason=result.reason, field=result.field, ids=result.ids, retry_after_s=result.retry_after_s
        )
        copy.__cause__ = result.__cause__
        future.set_exception(copy)
    elif isinstance(result, BaseException):
        future.set_exception(result)
    else:
        future.set_result(result)
