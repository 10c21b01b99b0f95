"""The streams of a server's connection: what each is, what all may hold, and which that ended may still be heard of."""

import asyncio
from dataclasses import dataclass, field
from typing import Any

from chassis.wire.bounds import Budget
from chassis.wire.frames import ENHANCE_YOUR_CALM, PROTOCOL_ERROR, ConnectionFaultError
from chassis.wire.outbox import Outgoing

STREAM_WINDOW = 4 * 1024 * 1024
_MOST_UNFINISHED = 128 * 1024 * 1024  # two of the largest requests
_MOST_UNTAKEN = 256 * 1024 * 1024
_MOST_EARLY = 4096
_MOST_SKIPPED = 64


class Stream:
    """One request and its answer, as the connection sees it. What is done with it is its subclass's."""

    __slots__ = ("connection", "credit", "drained", "ended", "held", "id", "left", "out", "unread", "unreported")

    def __init__(self, connection: Any, number: int, length: int | None) -> None:
        """length: what its request says of the body's."""
        self.connection = connection
        self.id = number
        self.out = Outgoing(connection.out.initial_window)
        self.drained: asyncio.Future[None] | None = None
        self.ended = False  # the client sent all
        self.unread = False  # True: its data counts as read only when `read` says so
        self.unreported = 0
        self.credit = STREAM_WINDOW  # what the client may send yet
        self.left = length  # what its body must still have, where it said so
        self.held = 0  # bytes of its body that wait: for the rest, or for a reader

    def began(self) -> None:
        """Its request's fields are here."""

    def received(self, data: bytes, ended: bool) -> None:
        """A part of the body; `ended` with the last."""

    def overrun(self) -> None:
        """The process holds too much of unfinished requests, and this one is ended for it."""

    def gone(self) -> None:
        """The client gave it up, or the connection ended."""


def _end_unfinished(stream: Stream) -> None:
    stream.overrun()


def _end_unsent(stream: Stream) -> None:
    stream.connection.fail(stream, ENHANCE_YOUR_CALM)


@dataclass(frozen=True, slots=True)
class Budgets:
    """What all connections of a process may hold: bytes of unfinished requests, and of answers that nobody takes."""

    requests: Budget = field(default_factory=lambda: Budget(_MOST_UNFINISHED, _end_unfinished))
    answers: Budget = field(default_factory=lambda: Budget(_MOST_UNTAKEN, _end_unsent))


class Numbers:
    """The numbers of one connection's streams. A client's are odd and grow; one it skips can never begin."""

    __slots__ = ("_early", "_skipped", "newest")

    def __init__(self) -> None:
        self.newest = 0
        # ended by us before the client had sent all, which it may not know yet; True: it was told
        self._early: dict[int, bool] = {}
        self._skipped: list[tuple[int, int]] = []

    def is_known(self, number: int) -> bool:
        """Whether it began, or can't begin any more. Raises ConnectionFaultError for one that was skipped."""
        if number > self.newest:
            return False
        self._refuse_skipped(number)
        return True

    def begin(self, number: int) -> None:
        """Raises ConnectionFaultError for a number that is not a client's."""
        if not number & 1:
            raise ConnectionFaultError(PROTOCOL_ERROR, "a client's stream has an odd number")
        if number > self.newest + 2:
            self._skipped.append((self.newest, number))
            del self._skipped[:-_MOST_SKIPPED]
        self.newest = number

    def expect(self, number: int) -> None:
        """Raises ConnectionFaultError for a stream that never began."""
        if number > self.newest or not number & 1:
            raise ConnectionFaultError(PROTOCOL_ERROR, f"stream {number} never began")

    def closed(self, number: int, *, ended: bool, told: bool = False) -> None:
        """A stream is no more; `ended` when the client had sent all of it, `told` when it learns that nothing more is wanted."""
        if ended:
            self._early.pop(number, None)
            return
        self._early.setdefault(number, told)
        if len(self._early) > _MOST_EARLY:
            del self._early[next(iter(self._early))]

    def is_early(self, number: int) -> bool:
        """Whether the client may still send of it."""
        return number in self._early

    def tell(self, number: int) -> bool:
        """Whether the client has to be told that nothing of it is wanted: once."""
        told, self._early[number] = self._early[number], True
        return not told

    def _refuse_skipped(self, number: int) -> None:
        if not number & 1 or any(low < number < high for low, high in self._skipped):
            raise ConnectionFaultError(PROTOCOL_ERROR, f"stream {number} was skipped")
