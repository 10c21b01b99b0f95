"""A circuit breaker an address: one that answers nothing gets no calls until it answers a probe.

Users' calls are no probes, and what they ask says little of the server: a model that hangs is not its Triton. So failures alone
open nothing. Several in a row without an answer in between make an address suspect, and a health check decides: whatever is
answered to it, an error too, says that somebody is there.
"""

import asyncio
from collections.abc import Awaitable, Callable
from enum import StrEnum
from typing import Protocol

THRESHOLD = 5
PROBE_S = 0.75
PAUSE_S = 1.0
POLL_S = 0.05
NEVER = float("-inf")
HEALTH = "/grpc.health.v1.Health/Check"


class State(StrEnum):
    """Of a breaker. SUSPECT: calls go on until the first probe has said whether somebody is there."""

    CLOSED = "closed"
    SUSPECT = "suspect"
    OPEN = "open"


class Prober(Protocol):
    """What a breaker asks of its address."""

    def connected(self) -> bool:
        """Whether a connection stands; asking makes it try to connect."""
        ...

    async def probe(self, timeout_s: float) -> bool:
        """Whether anything was answered to a health check within the time."""
        ...


class Breaker:
    """Of one address. `answered` and `failed` tell it how calls ended; while `is_open`, none should be sent."""

    __slots__ = (
        "_answered_s", "_failures", "_now", "_opened", "_probed_s", "_prober", "_sleep", "_watch", "is_open", "state",
    )  # fmt: skip

    def __init__(
        self,
        prober: Prober,
        now: Callable[[], float],
        opened: Callable[[bool], None] = lambda _: None,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        """`now`: seconds that never go back; `opened` hears when it opens and closes; `sleep` waits between probes."""
        self._prober = prober
        self._now = now
        self._opened = opened
        self._sleep = sleep
        self._failures = 0
        self._answered_s = NEVER
        self._probed_s = NEVER
        self._watch: asyncio.Task[None] | None = None
        self.state = State.CLOSED
        self.is_open = False

    def answered(self, now_s: float) -> None:
        """A call was answered, with an error of its own or not."""
        self._failures = 0
        self._answered_s = now_s
        if self.is_open:
            self._enter(State.CLOSED)

    def failed(self, sent_s: float) -> None:
        """A call sent at `sent_s` ended without an answer: no connection, or no time left."""
        if sent_s < self._answered_s:
            return  # others were answered meanwhile
        self._failures += 1
        if self._failures >= THRESHOLD and self._watch is None and self._now() - self._probed_s >= PAUSE_S:
            self._watch = asyncio.get_running_loop().create_task(self._until_answered())

    async def close(self) -> None:
        """Ends its probes."""
        watch, self._watch = self._watch, None
        if watch is not None:
            watch.cancel()
            await asyncio.gather(watch, return_exceptions=True)

    async def _until_answered(self) -> None:
        """One probe a second at most, and one at once when a lost connection is back."""
        self._enter(State.SUSPECT)
        try:
            while True:
                while not self._prober.connected():
                    self._enter(State.OPEN)
                    await self._sleep(POLL_S)
                self._probed_s = self._now()
                if await self._prober.probe(PROBE_S) or self._answered_s > self._probed_s:
                    return
                self._enter(State.OPEN)
                await self._sleep(max(0.0, self._probed_s + PAUSE_S - self._now()))
        finally:
            self._failures = 0
            self._watch = None
            self._enter(State.CLOSED)

    def _enter(self, state: State) -> None:
        self.state, was_open = state, self.is_open
        self.is_open = state is State.OPEN
        if self.is_open != was_open:
            self._opened(self.is_open)
