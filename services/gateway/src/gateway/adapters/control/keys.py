"""API keys that control tells, asked for every second. What is known goes on when control is away."""

import asyncio
import contextlib
from typing import Any

from chassis.clock import Clock
from chassis.errors import MizzenError
from chassis.rpc.channel import Channel
from gateway.domain.model import Caller
from mizzen.control.v1 import control_pb2 as pb

ASK_S = 1.0
LATE_S = 5.0
FIRST_S = 10.0
_READ_KEYS = "/mizzen.control.v1.ControlService/ReadKeys"
_NEVER = float("inf")


class ControlKeys:
    """See file_keys.MoreKeys. A revoked key is refused after the next answer; one that ends by itself ends without control."""

    def __init__(self, channel: Channel, clock: Clock, log: Any) -> None:
        self._channel, self._clock, self._log = channel, clock, log
        self._callers: dict[str, tuple[Caller, float]] = {}
        self._version = ""
        self._told_s = clock.monotonic_s()
        self._trouble = ""
        self._answered = asyncio.Event()

    @property
    def unread(self) -> bool:
        return not self._version

    def find(self, hashed: str) -> tuple[Caller, float] | None:
        return self._callers.get(hashed)

    async def first(self) -> None:
        """Returns with control's first answer, or after FIRST_S without one: who starts beside control knows its keys."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(FIRST_S):
                await self._answered.wait()

    async def run(self) -> None:
        """Asks for ever."""
        while True:
            await self.ask()
            await asyncio.sleep(ASK_S)

    async def ask(self) -> None:
        """Once. Without an answer all stays as it was; the first time in a row is logged."""
        request = pb.ReadKeysRequest(version=self._version)
        try:
            answer = await self._channel.unary(_READ_KEYS, request, pb.ReadKeysResponse, LATE_S)
        except MizzenError as error:
            if not self._trouble:
                self._log.warning("control does not tell its API keys", error=error.message, known=len(self._callers))
            self._trouble = error.message
            return
        self._trouble, self._told_s = "", self._clock.monotonic_s()
        if not answer.unchanged:
            self._callers = {key.hash: _caller(key) for key in answer.keys}
            self._log.info("API keys told by control", keys=len(self._callers))
        self._version = answer.version
        self._answered.set()

    def count(self) -> int:
        """Keys that are known now."""
        return len(self._callers)

    def age_s(self) -> float:
        """Seconds since control last answered."""
        return self._clock.monotonic_s() - self._told_s

    def details(self) -> list[str]:
        """What is wrong, for people."""
        if not self._trouble:
            return []
        known = "those it told go on" if self._version else "none of its keys is known yet"
        return [f"API keys: control does not tell its keys ({known}): {self._trouble}"]


def _caller(key: pb.Key) -> tuple[Caller, float]:
    expires_s = key.expires_us / 1e6 if key.expires_us else _NEVER
    return Caller(key.tenant, key.name, frozenset(key.scopes)), expires_s
