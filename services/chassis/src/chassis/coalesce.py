"""Concurrent calls of one loop tick travel as one message: a Python gRPC call costs far more than its work."""

import asyncio
from collections.abc import Awaitable, Callable
from contextvars import Context
from typing import Generic, TypeVar

from chassis.clock import Clock, SystemClock
from chassis.errors import DeadlineExceeded, Internal, MizzenError, Unavailable

T = TypeVar("T")
R = TypeVar("R")


class _Batch(Generic[T, R]):
    """Callers that travel together. Their futures may be done (cancelled, expired) at any time."""

    __slots__ = ("futures", "items", "task")

    def __init__(self) -> None:
        self.items: list[T] = []
        self.futures: list[asyncio.Future[R]] = []
        self.task: asyncio.Task[None] | None = None

    def leave(self) -> None:
        """One caller left. When it was the last one the batch is not worth finishing."""
        if self.task is not None and all(future.done() for future in self.futures):
            self.task.cancel()

    def drop_done(self) -> None:
        """Forgets callers that left before the batch did."""
        if any(future.done() for future in self.futures):
            pairs = zip(self.items, self.futures, strict=True)
            waiting = [(item, future) for item, future in pairs if not future.done()]
            self.items = [item for item, _ in waiting]
            self.futures = [future for _, future in waiting]


class Coalescer(Generic[T, R]):
    """Gathers items and sends them as batches.

    send: answers one result per item, in order; a result that is an exception fails its own caller only.
    max_items: a batch is sent at once when it has as many.
    max_wait_s: the longest that an item waits for company, and only while another batch is in flight.

    While nothing is in flight, what one tick of the loop submits leaves at the end of that tick. A caller that is
    cancelled or expires neither stalls nor fails the others; a batch whose callers are all gone is cancelled.
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
        self._gathering: _Batch[T, R] = _Batch()
        self._timer: asyncio.Handle | None = None
        self._in_flight = 0

    async def submit(self, item: T, deadline: float) -> R:
        """The result for `item`. deadline: monotonic seconds. Raises DeadlineExceeded when it passes, or what `send` raised."""
        left = deadline - self._clock.monotonic_s()
        if left <= 0:
            raise DeadlineExceeded("the deadline has passed")
        loop = asyncio.get_running_loop()
        future: asyncio.Future[R] = loop.create_future()
        batch = self._gathering
        batch.items.append(item)
        batch.futures.append(future)
        self._schedule(loop)
        expiry = loop.call_later(left, _expire, future, batch)
        try:
            return await future
        except asyncio.CancelledError:
            if future.done() and not future.cancelled():
                future.exception()  # looked at, or the loop reports it as never retrieved
            else:
                batch.leave()
            raise
        finally:
            expiry.cancel()

    def _schedule(self, loop: asyncio.AbstractEventLoop) -> None:
        if len(self._gathering.items) >= self._max_items:
            self._flush()
        elif self._timer is None:
            if self._in_flight == 0:
                self._timer = loop.call_soon(self._flush)
            else:
                self._timer = loop.call_later(self._max_wait_s, self._flush)

    def _flush(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        gathered, self._gathering = self._gathering, _Batch()
        gathered.drop_done()
        if not gathered.items:
            return
        self._in_flight += 1
        # an empty context: what one caller bound to its log lines must not appear in those of the others
        gathered.task = asyncio.get_running_loop().create_task(self._run(gathered), context=Context())

    async def _run(self, batch: _Batch[T, R]) -> None:
        if self._observe is not None:
            self._observe(len(batch.items))
        try:
            results = await self._send(batch.items)
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
            self._in_flight -= 1
            if self._in_flight == 0 and self._gathering.items:
                self._flush()


def _expire(future: asyncio.Future[R], batch: _Batch[T, R]) -> None:
    if not future.done():
        future.set_exception(DeadlineExceeded("the deadline has passed"))
        batch.leave()


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
