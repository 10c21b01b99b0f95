"""Connections to PostgreSQL: bounded in number and in time, each transaction bound to one tenant."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import asyncpg
from pgvector.asyncpg import register_vector

from chassis.errors import Aborted, DeadlineExceeded, FailedPrecondition, MizzenError, ResourceExhausted, Unavailable
from chassis.postgres import LOST, transport_of

SCHEMA = "retrieval"
RETRY_AFTER_S = 1.0


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
        url: str,
        password: Callable[[], str | None] | None = None,
        limits: PoolLimits | None = None,
        *,
        user: str = "",
    ) -> None:
        """`password` is read at each connect, so that a rotated one needs no restart; without it the URL's counts.

        `user` stands in for the URL's.
        """
        self.url = url
        self._login: dict[str, Any] = {} if password is None else {"password": password}
        self._login |= transport_of(url) | ({"user": user} if user else {})
        self._limits = limits or PoolLimits()
        self._pool: Any = None
        self._opening = asyncio.Lock()
        self._users = 0

    async def open(self) -> None:
        """Makes the first connection. Unavailable while PostgreSQL cannot be reached; call again."""
        async with self._opening:
            if self._pool is None:
                with _translated():
                    self._pool = await asyncpg.create_pool(
                        self.url,
                        **self._login,
                        min_size=1,
                        max_size=self._limits.connections,
                        timeout=self._limits.connect_s,
                        init=_prepare,
                        reset=_keep,
                        server_settings={"search_path": f"{SCHEMA},public", "jit": "off", "application_name": SCHEMA},
                    )

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
        if self._pool is None:
            raise _unavailable("the document store is not connected yet", "STORE_UNAVAILABLE")
        try:
            with _translated():
                async with asyncio.timeout(budget_s), self._connection() as connection:
                    await connection.execute(_READ if readonly else "begin")
                    plans = "force_custom_plan" if readonly else "auto"
                    await connection.execute(_SETTINGS, tenant, str(int(budget_s * 1000) + 1), plans)
                    yield connection
                    await connection.execute("commit")
        except TimeoutError as error:
            if timeout_s <= limit_s:
                raise DeadlineExceeded("the document store was late", reason="STORE_TIMEOUT") from error
            raise _unavailable("the document store does not answer", "STORE_TIMEOUT") from error

    @asynccontextmanager
    async def _connection(self) -> AsyncIterator[Any]:
        if self._users >= self._limits.waiting + self._limits.connections:
            raise ResourceExhausted(
                "too many requests wait for the document store", reason="STORE_BUSY", retry_after_s=0.2
            )
        pool = self._pool
        self._users += 1
        try:
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


_READ = "begin isolation level repeatable read read only"

# One round trip. The search settings belong to pgvector: a search of the graph ends with its first look (postgres_search).
# Reads are planned for their own values each time: a plan for any value, which PostgreSQL takes from the sixth execution of a
# statement on, expects one row of a filter that may carry half of the collection.
_SETTINGS = """
select set_config('mizzen.tenant', $1, true), set_config('statement_timeout', $2, true),
       set_config('hnsw.iterative_scan', 'off', true), set_config('plan_cache_mode', $3, true)
"""


async def _prepare(connection: Any) -> None:
    schema = await connection.fetchval(
        "select nspname from pg_extension join pg_namespace n on n.oid = extnamespace where extname = 'vector'"
    )
    if schema is None:
        raise FailedPrecondition(
            "the database has no extension vector: a superuser runs `create extension vector` in it once",
            reason="EXTENSION_MISSING",
        )
    await register_vector(connection, schema=schema)


async def _undo(connection: Any) -> None:
    """Rolls back; a connection whose server is going is thrown away instead."""
    if not connection.is_closed():
        try:
            await connection.execute("rollback")
        except LOST:
            connection.terminate()


async def _keep(connection: Any) -> None:
    """Nothing to reset: every setting is local to its transaction."""


class _translated:  # noqa: N801 - reads as a word in `with`
    """Foreign errors become MizzenErrors where they leave the driver."""

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
            raise ResourceExhausted("the document store's disk is full", reason="STORE_FULL") from error
        if isinstance(error, asyncpg.InsufficientResourcesError):
            raise _unavailable("the document store has no resources left", "STORE_BUSY") from error
        if isinstance(error, asyncpg.InvalidAuthorizationSpecificationError):
            raise _unavailable("the document store refuses our password", "STORE_REFUSED") from error
        if isinstance(error, LOST):
            raise _unavailable("the document store cannot be reached", "STORE_UNAVAILABLE") from error


def _unavailable(message: str, reason: str) -> Unavailable:
    return Unavailable(message, reason=reason, retry_after_s=RETRY_AFTER_S)
