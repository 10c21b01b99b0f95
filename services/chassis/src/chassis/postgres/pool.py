"""Connections to PostgreSQL: bounded in number and in time, each transaction bound to one tenant."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import asyncpg

from chassis.errors import Aborted, DeadlineExceeded, MizzenError, ResourceExhausted, Unavailable
from chassis.postgres.roles import LOST, transport_of

RETRY_AFTER_S = 1.0
_READ = "begin isolation level repeatable read read only"


@dataclass(frozen=True, slots=True)
class Schema:
    """What a room keeps in PostgreSQL."""

    name: str
    """Of the schema, which is the room's; its migrations are the package's ``adapters/migrations``."""
    called: str
    """What callers are told of: "the document store"."""
    prepare: Callable[[Any], Awaitable[None]] | None = None
    """Done with each new connection."""
    settings: tuple[tuple[str, str], ...] = ()
    """Of each transaction: PostgreSQL's names and values, written here and never by a caller."""


@dataclass(frozen=True, slots=True)
class PoolLimits:
    """Bounds: open connections, callers waiting for one, seconds to connect, seconds for one transaction."""

    connections: int = 8
    waiting: int = 64
    connect_s: float = 2.0
    transaction_s: float = 5.0


class PostgresPool:
    """Hands out transactions. A connection that was late or cut is thrown away at once, never waited for."""

    def __init__(
        self,
        schema: Schema,
        url: str,
        password: Callable[[], str | None] | None = None,
        limits: PoolLimits | None = None,
        *,
        user: str = "",
    ) -> None:
        """`password` is read at each connect, so that a rotated one needs no restart; without it the URL's counts.

        `user` stands in for the URL's. Nothing is connected yet: PostgreSQL may be absent now and lost later.
        """
        self.schema = schema
        self.url = url
        self._login: dict[str, Any] = {} if password is None else {"password": password}
        self._login |= transport_of(url) | ({"user": user} if user else {})
        self._limits = limits or PoolLimits()
        self._pool: Any = None
        self._opening = asyncio.Lock()
        self._users = 0
        self._translated = _Translated(schema.called)
        self._begin = _settings(schema.settings)

    async def open(self) -> None:
        """Makes the first connection. Unavailable while PostgreSQL cannot be reached; call again."""
        with self._translated:
            async with (await self._opened()).acquire():
                pass

    async def close(self) -> None:
        """Cuts all connections; transactions still open are rolled back."""
        if self._pool is not None:
            self._pool.terminate()
            self._pool = None

    @asynccontextmanager
    async def transaction(
        self, tenant: str, timeout_s: float, *, readonly: bool = False, limit_s: float | None = None
    ) -> AsyncIterator[Any]:
        """One transaction that sees `tenant` only, committed at the end. Reads see one snapshot.

        Unavailable: not reachable, or stalled for `limit_s`. DeadlineExceeded: `timeout_s` is over first.
        """
        limit_s = self._limits.transaction_s if limit_s is None else limit_s
        budget_s = min(timeout_s, limit_s)
        if timeout_s <= 0:
            raise DeadlineExceeded("the deadline is over")
        try:
            with self._translated:
                async with asyncio.timeout(budget_s), self._connection() as connection:
                    # No connection.transaction(): its rollback would wait for a server that answers no more.
                    await connection.execute(_READ if readonly else "begin")
                    plans = "force_custom_plan" if readonly else "auto"
                    await connection.execute(self._begin, tenant, str(int(budget_s * 1000) + 1), plans)
                    yield connection
                    await connection.execute("commit")
        except TimeoutError as error:
            if timeout_s <= limit_s:
                raise DeadlineExceeded(f"{self.schema.called} was late", reason="STORE_TIMEOUT") from error
            raise _unavailable(f"{self.schema.called} does not answer", "STORE_TIMEOUT") from error

    async def _opened(self) -> Any:
        async with self._opening:
            if self._pool is None:
                name = self.schema.name
                # It connects when a connection is first asked for (min_size 0); `timeout` is that of connecting.
                self._pool = await asyncpg.create_pool(
                    self.url,
                    **self._login,
                    min_size=0,
                    max_size=self._limits.connections,
                    timeout=self._limits.connect_s,
                    init=self.schema.prepare,
                    reset=_keep,
                    server_settings={"search_path": f"{name},public", "jit": "off", "application_name": name},
                )
            return self._pool

    @asynccontextmanager
    async def _connection(self) -> AsyncIterator[Any]:
        if self._users >= self._limits.waiting + self._limits.connections:
            raise ResourceExhausted(
                f"too many requests wait for {self.schema.called}", reason="STORE_BUSY", retry_after_s=0.2
            )
        self._users += 1
        try:
            pool = self._pool or await self._opened()
            connection = await pool.acquire()
            try:
                yield connection
            except (TimeoutError, asyncio.CancelledError):
                # Asking a stalled server to roll back would hang as well; it ends the statement by its own timeout.
                connection.terminate()
                raise
            except BaseException:
                await _undo(connection)
                raise
            finally:
                await pool.release(connection)
        finally:
            self._users -= 1


def _settings(own: Iterable[tuple[str, str]]) -> str:
    """The statement that begins a transaction, in one round trip: $1 the tenant, $2 milliseconds, $3 how it is planned.

    Reads are planned for their own values each time: a plan for any value, which PostgreSQL takes from the sixth execution of a
    statement on, expects one row of a filter that may carry half of the table.
    """
    given = {"mizzen.tenant": "$1", "statement_timeout": "$2", "plan_cache_mode": "$3"}
    given |= {name: f"'{value}'" for name, value in own}
    return "select " + ", ".join(f"set_config('{name}', {value}, true)" for name, value in given.items())


async def _undo(connection: Any) -> None:
    """Rolls back; a connection whose server is going is thrown away instead."""
    if not connection.is_closed():
        try:
            await connection.execute("rollback")
        except LOST:
            connection.terminate()


async def _keep(connection: Any) -> None:
    """Nothing to reset: every setting is local to its transaction."""


class _Translated:
    """Foreign errors become MizzenErrors where they leave the driver."""

    def __init__(self, store: str) -> None:
        self._store = store

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        if error is None or isinstance(error, MizzenError | TimeoutError):
            return
        if isinstance(error, asyncpg.QueryCanceledError):
            raise TimeoutError from error
        if isinstance(error, asyncpg.DeadlockDetectedError | asyncpg.SerializationError):
            raise Aborted("a concurrent change won", reason="STORE_CONFLICT", retry_after_s=0.1) from error
        if isinstance(error, asyncpg.DiskFullError):
            raise ResourceExhausted(f"the disk of {self._store} is full", reason="STORE_FULL") from error
        if isinstance(error, asyncpg.InsufficientResourcesError):
            raise _unavailable(f"{self._store} has no resources left", "STORE_BUSY") from error
        if isinstance(error, asyncpg.InvalidAuthorizationSpecificationError):
            raise _unavailable(f"{self._store} refuses our password", "STORE_REFUSED") from error
        if isinstance(error, LOST):
            raise _unavailable(f"{self._store} cannot be reached", "STORE_UNAVAILABLE") from error


def _unavailable(message: str, reason: str) -> Unavailable:
    return Unavailable(message, reason=reason, retry_after_s=RETRY_AFTER_S)
