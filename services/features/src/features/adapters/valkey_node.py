"""One node of the store: keeps a connection, reconnects with backoff, fails calls while there is none."""

import asyncio
import logging
import ssl
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote, urlsplit

from features.adapters.valkey_wire import Command, Wire, unavailable

_log = logging.getLogger(__name__)
CONNECT_TIMEOUT_S = 2.0
FIRST_PAUSE_S = 0.05
LONGEST_PAUSE_S = 1.0


@dataclass(frozen=True, slots=True)
class NodeOptions:
    """How to reach any node of one store: credentials, database, TLS and the bounds of Wire.

    `credentials` answers (), (password,) or (user, password); it is asked at each connection and may raise OSError.
    """

    credentials: Callable[[], tuple[str, ...]] = tuple
    database: int = 0
    tls: bool = False
    max_in_flight: int = 20_000
    stalled_s: float = 2.0


@dataclass(frozen=True, slots=True)
class Address:
    """Host and port of a node."""

    host: str
    port: int


def parse_url(
    url: str, max_in_flight: int, stalled_s: float, credentials: Callable[[], tuple[str, ...]] | None = None
) -> tuple[Address, NodeOptions]:
    """`redis[s]://[user:password@]host[:port][/database]`; `credentials` win over the URL's. ValueError when it is not one."""
    parts = urlsplit(url)
    if parts.scheme not in ("redis", "rediss") or not parts.hostname:
        raise ValueError("an online store is written redis://host:port/0 or rediss://host:port/0")
    database = int(parts.path.strip("/") or 0)
    own = tuple(unquote(part) for part in (parts.username, parts.password) if part) if parts.password else ()
    options = NodeOptions(credentials or (lambda: own), database, parts.scheme == "rediss", max_in_flight, stalled_s)
    return Address(parts.hostname, parts.port or 6379), options


class Node:
    """A node's connection. `start` once; `close` once."""

    def __init__(self, address: Address, options: NodeOptions) -> None:
        self.address = address
        self._options = options
        self._wire: Wire | None = None
        self._task: asyncio.Task[None] | None = None
        self._tried = asyncio.Event()

    @property
    def is_open(self) -> bool:
        """Whether calls can be sent now."""
        return self._wire is not None and self._wire.is_open

    def start(self) -> None:
        """Starts connecting; never waits."""
        if self._task is None:
            self._task = asyncio.create_task(self._stay_connected(), name=f"online-store-{self.address.port}")

    async def close(self) -> None:
        """Ends the connection; calls in flight fail."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        if self._wire is not None:
            self._wire.abort()

    async def call(self, commands: Sequence[Command], timeout_s: float) -> list[Any]:
        """Replies of `commands`; Unavailable after `timeout_s` or without a connection."""
        wire = self._wire
        if wire is None:
            wire = await self._first_wire(timeout_s)
        return await wire.send(commands, timeout_s)

    async def _first_wire(self, timeout_s: float) -> Wire:
        if not self._tried.is_set():
            # The very first call may come before the first connection is there.
            try:
                await asyncio.wait_for(self._tried.wait(), timeout_s)
            except TimeoutError:
                raise unavailable("the online store could not be connected in time") from None
        if self._wire is None:
            raise unavailable("the online store is not connected")
        return self._wire

    async def _stay_connected(self) -> None:
        pause_s = FIRST_PAUSE_S
        while True:
            try:
                wire = await self._connect()
            except (OSError, TimeoutError, ssl.SSLError) as error:
                _log.warning("online store at %s:%s: %s", self.address.host, self.address.port, error or "timed out")
                self._tried.set()
                await asyncio.sleep(pause_s)
                pause_s = min(LONGEST_PAUSE_S, pause_s * 2)
                continue
            pause_s = FIRST_PAUSE_S
            self._wire = wire
            self._tried.set()
            await asyncio.shield(wire.lost)
            self._wire = None
            _log.warning("online store at %s:%s: connection lost", self.address.host, self.address.port)

    async def _connect(self) -> Wire:
        loop = asyncio.get_running_loop()
        options = self._options
        credentials = options.credentials()
        context = ssl.create_default_context() if options.tls else None
        async with asyncio.timeout(CONNECT_TIMEOUT_S):
            _, wire = await loop.create_connection(
                lambda: Wire(options.max_in_flight, options.stalled_s),
                self.address.host,
                self.address.port,
                ssl=context,
            )
        greetings: list[Command] = [(b"PING",)]
        if options.database:
            greetings.insert(0, (b"SELECT", options.database))
        if credentials:
            greetings.insert(0, (b"AUTH", *credentials))
        try:
            # A stopped server still accepts connections; only its answer counts.
            for reply in await wire.send(greetings, CONNECT_TIMEOUT_S):
                if isinstance(reply, Exception):
                    raise OSError(str(reply))
        except BaseException as error:
            wire.abort()
            if isinstance(error, OSError) or not isinstance(error, Exception):
                raise
            raise OSError(str(error)) from error
        return wire
