"""API keys from files of keyed hashes (chassis.api_keys has their form), looked at again every second.

A key is looked up by its hash in a table. How long that takes tells nothing of use: who has no secret cannot choose what his guess
hashes to. What a wrong line and an unreadable file mean: docs/adr/0023.
"""

import asyncio
import os
import stat
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

from chassis.api_keys import ALL, MAX_FILE_BYTES, ApiKey, Fault, key_hash, parse_keys
from chassis.clock import Clock
from chassis.errors import Unauthenticated, Unavailable
from gateway.domain.model import Caller

ANONYMOUS = Caller("default", "anonymous", frozenset({ALL}))
LOOK_S = 1.0
_SETTLE_S = 0.05
_SETTLE_TRIES = 5
_LOGGED_FAULTS = 20


@dataclass(frozen=True, slots=True)
class Known:
    """What one file held when it was last read, at `read_s` (monotonic). `trouble` is why it cannot be read since then."""

    data: bytes
    callers: dict[str, tuple[Caller, float]]
    faults: tuple[Fault, ...]
    read_s: float
    trouble: str = ""


class MoreKeys(Protocol):
    """Keys that are known from elsewhere."""

    @property
    def unread(self) -> bool:
        """Whether nothing is known yet: a key that is not among them may be one all the same."""
        ...

    def find(self, hashed: str) -> tuple[Caller, float] | None:
        """Who has the key of this hash, and when it ends, seconds UTC."""
        ...


class FileKeys:
    """Callers by API key. A key taken out of its file, or whose line becomes wrong, stops working at the next look."""

    def __init__(
        self,
        paths: Sequence[Path],
        secret_file: Path,
        clock: Clock,
        *,
        grace_s: float,
        log: Any,
        more: MoreKeys | None = None,
    ) -> None:
        """grace_s: how long the keys of a file that cannot be read any more go on; more: asked where no file has a key.

        Raises OSError or ValueError when a file cannot be used: better no start than an open door.
        """
        self._secret = bytes.fromhex(secret_file.read_text(encoding="ascii").strip())
        self._clock, self._grace_s, self._log, self._more = clock, grace_s, log, more
        self._known = {path: self._parsed(path, _read(path)) for path in paths}
        if not any(known.callers for known in self._known.values()):
            faults = "".join(f"; {fault}" for known in self._known.values() for fault in known.faults)
            raise ValueError(f"{', '.join(map(str, paths))} holds no API key that works{faults}")

    def caller(self, credential: str | None) -> Caller:
        if not credential:
            message = "send an API key: Authorization: Bearer KEY, or x-api-key"
            raise Unauthenticated(message, reason="API_KEY_MISSING")
        hashed = key_hash(self._secret, credential)
        found = self._find(hashed)
        if found is not None:
            caller, expires_s = found
            if self._clock.now_us() / 1e6 < expires_s:
                return caller
            raise Unauthenticated("this API key has expired", reason="API_KEY_EXPIRED")
        too_old_s = self._clock.monotonic_s() - self._grace_s
        if any(known.read_s < too_old_s for known in self._known.values()) or (self._more and self._more.unread):
            message = "the gateway cannot read its API keys now"
            raise Unavailable(message, reason="KEYS_UNREADABLE", retry_after_s=LOOK_S)
        raise Unauthenticated("this API key is not known here", reason="API_KEY_INVALID")

    def _find(self, hashed: str) -> tuple[Caller, float] | None:
        too_old_s = self._clock.monotonic_s() - self._grace_s
        for known in self._known.values():
            found = known.callers.get(hashed) if known.read_s >= too_old_s else None
            if found is not None:
                return found
        return self._more.find(hashed) if self._more else None

    async def run(self) -> None:
        """Looks at the files for ever, apart from the loop: a disk that hangs stalls nobody, and its keys run out of grace."""
        while True:
            await asyncio.to_thread(self.look)
            await asyncio.sleep(LOOK_S)

    def look(self) -> None:
        """Reads every file again. What can be read takes effect at once; what is new about it is logged."""
        for path, before in self._known.items():
            try:
                data = _settled(path, before.data)
            except (OSError, ValueError) as error:
                trouble = (error.strerror if isinstance(error, OSError) else "") or str(error)
                if trouble != before.trouble:
                    self._log.error("API key file cannot be read", file=str(path), error=trouble, grace_s=self._grace_s)
                self._known[path] = replace(before, trouble=trouble)
                continue
            if data == before.data and not before.trouble:
                self._known[path] = replace(before, read_s=self._clock.monotonic_s())
            else:
                self._known[path] = self._parsed(path, data)

    def details(self) -> list[str]:
        """What is wrong, a line each, for people: no content of the files."""
        told = []
        for path, known in self._known.items():
            if known.trouble:
                told.append(f"API keys: {path.name} cannot be read: {known.trouble}")
            told += [f"API keys: {path.name} {fault}" for fault in known.faults[:_LOGGED_FAULTS]]
            if not known.callers and not known.faults:
                told.append(f"API keys: {path.name} holds no key: none of those that it had works")
        return told

    def count(self) -> int:
        """Keys that work now."""
        return sum(len(known.callers) for known in self._known.values())

    def faults(self) -> int:
        """Lines that are wrong now."""
        return sum(len(known.faults) for known in self._known.values())

    def age_s(self) -> float:
        """Seconds since the file that was read longest ago was read."""
        return self._clock.monotonic_s() - min(known.read_s for known in self._known.values())

    def _parsed(self, path: Path, data: bytes) -> Known:
        lines = parse_keys(data)
        for fault in lines.faults[:_LOGGED_FAULTS]:
            self._log.error("API key line is wrong", file=str(path), line=fault.line, error=fault.reason)
        tell = self._log.info if lines.keys else self._log.error
        tell("API keys read", file=str(path), keys=len(lines.keys), wrong_lines=len(lines.faults))
        callers = {key.hash: _caller(key) for _, key in lines.keys}
        return Known(data, callers, lines.faults, self._clock.monotonic_s())


def _caller(key: ApiKey) -> tuple[Caller, float]:
    """And when the key ends, seconds UTC."""
    return Caller(key.tenant, key.name, key.scopes), key.expires.timestamp() if key.expires else float("inf")


def _settled(path: Path, before: bytes) -> bytes:
    """The content; where it changed, as soon as two looks agree: a file that is being written is seen whole."""
    data = _read(path)
    for _ in range(_SETTLE_TRIES):
        if data == before:
            break
        time.sleep(_SETTLE_S)
        again, data = data, _read(path)
        if again == data:
            break
    return data


def _read(path: Path) -> bytes:
    """OSError when it cannot be read, ValueError when it is no file of keys."""
    # Non-blocking: a pipe in the place of the file must not hold the look for ever.
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(descriptor, "rb") as file:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise ValueError("is not a file")
        data = file.read(MAX_FILE_BYTES + 1)
    if len(data) > MAX_FILE_BYTES:
        raise ValueError(f"is larger than {MAX_FILE_BYTES} bytes")
    return data


class Anonymous:
    """Everybody is tenant default, subject anonymous. For loopback only."""

    def caller(self, credential: str | None) -> Caller:
        return ANONYMOUS
