"""LabelStore on PostgreSQL: row-level security by tenant, nothing waits longer than it may."""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any

import asyncpg
import numpy as np

from chassis.errors import MizzenError
from chassis.postgres import Owner, is_owned_by_server, role_of, transport_of
from monitoring.adapters import postgres_schema as sql
from monitoring.adapters.postgres_tables import FOREIGN, MIGRATION_S, down, migrate_as_serving, migrate_owned
from monitoring.domain.model import Label, Labelled, Stored, Window
from monitoring.domain.windows import ORIGIN_US

_log = logging.getLogger(__name__)
_SLOW_S = 10.0


class PostgresLabels:
    """A small pool that connects when it is asked to, so that the database may be absent at start and lost later."""

    def __init__(self, url: str, password: Callable[[], str | None] | None = None, owner: Owner | None = None) -> None:
        """`password` is asked for at each connection; without it the URL's counts. `owner` migrates, else the URL's role."""
        self._url = url
        self._password = password
        self._owner = owner
        self._pool: asyncpg.Pool | None = None
        self._migrated = False
        self._opening = asyncio.Lock()

    async def migrate(self) -> None:
        """Brings the tables up to date; one process at a time does it.

        Raises Unavailable, or FailedPrecondition where the tables are not the owner's.
        """
        if self._owner is not None:
            await migrate_owned(self._owner, self._url)
        else:
            async with self._connection(MIGRATION_S) as connection:
                await migrate_as_serving(connection, role_of(self._url))
        self._migrated = True
        async with self._connection(_SLOW_S) as connection:
            if await is_owned_by_server(connection, sql.SCHEMA):
                _log.warning("the serving role owns the tables of schema %s: set MIZZEN_POSTGRES_OWNER", sql.SCHEMA)

    async def put(self, tenant: str, labels: Sequence[Label], timeout_s: float) -> Stored:
        """See LabelStore."""
        async with self._as_tenant(tenant, timeout_s) as connection:
            await connection.execute("INSERT INTO monitoring.tenants VALUES ($1) ON CONFLICT DO NOTHING", tenant)
            stored = await connection.fetchval(
                sql.PUT,
                tenant,
                [label.request_id for label in labels],
                [label.row for label in labels],
                [label.output for label in labels],
                [label.value for label in labels],
                [label.event_time_us for label in labels],
            )
        return Stored(stored, len(labels) - stored)

    async def waiting(self, limit: int) -> list[tuple[str, str]]:
        """See LabelStore."""
        found: list[tuple[str, str]] = []
        for tenant in await self._tenants():
            async with self._as_tenant(tenant, _SLOW_S) as connection:
                rows = await connection.fetch(sql.WAITING, tenant, limit - len(found))
            found.extend((tenant, row[0]) for row in rows)
        return found

    async def match(
        self, tenant: str, asked: Sequence[str], found: Sequence[tuple[str, int, str, str, float, int]]
    ) -> int:
        """See LabelStore."""
        columns = [list(column) for column in zip(*found, strict=True)] or [[] for _ in range(6)]
        async with self._as_tenant(tenant, _SLOW_S) as connection:
            joined = await connection.fetchval(sql.JOIN, tenant, *columns)
            await connection.execute(sql.POSTPONE, tenant, list(asked))
        return int(joined)

    async def labelled(self, tenant: str, endpoint: str, output: str, size_us: int, timeout_s: float) -> list[Labelled]:
        """See LabelStore."""
        async with self._as_tenant(tenant, timeout_s) as connection:
            rows = await connection.fetch(sql.LABELLED, tenant, endpoint, output, size_us, ORIGIN_US)
        found = []
        for place, predicted, value in rows:
            start = ORIGIN_US + place * size_us
            found.append(Labelled(Window(start, start + size_us), np.array(predicted), np.array(value)))
        return found

    async def purge(self, older_than_us: int) -> int:
        """See LabelStore."""
        purged = 0
        for tenant in await self._tenants():
            async with self._as_tenant(tenant, _SLOW_S) as connection:
                purged += await connection.fetchval(sql.PURGE, tenant, older_than_us)
        return purged

    async def waiting_count(self) -> int:
        """See LabelStore."""
        count = 0
        for tenant in await self._tenants():
            async with self._as_tenant(tenant, _SLOW_S) as connection:
                count += await connection.fetchval(
                    "SELECT count(*) FROM monitoring.labels WHERE tenant = $1 AND endpoint IS NULL", tenant
                )
        return count

    async def close(self) -> None:
        """Closes the connections, without waiting for a database that does not answer."""
        if self._pool is not None:
            self._pool.terminate()

    async def _tenants(self) -> list[str]:
        if not self._migrated:
            return []
        async with self._connection(_SLOW_S) as connection:
            rows = await connection.fetch("SELECT tenant FROM monitoring.tenants ORDER BY tenant")
        return [row[0] for row in rows]

    @asynccontextmanager
    async def _as_tenant(self, tenant: str, timeout_s: float) -> AsyncIterator[Any]:
        async with self._connection(timeout_s) as connection:
            # No connection.transaction(): its rollback would wait on a server that has stopped answering.
            await connection.execute("BEGIN")
            await connection.execute("SELECT set_config('mizzen.tenant', $1, true)", tenant)
            yield connection
            await connection.execute("COMMIT")

    @asynccontextmanager
    async def _connection(self, timeout_s: float) -> AsyncIterator[Any]:
        """A connection for at most `timeout_s` seconds, all statements together. Raises Unavailable."""
        connection: Any = None
        whole = False
        pool = await self._open()
        try:
            async with asyncio.timeout(timeout_s):
                connection = await pool.acquire()
                yield connection
            whole = True
        except MizzenError:
            raise
        except FOREIGN as error:
            raise down(error) from error
        finally:
            if connection is not None:
                _give_back(pool, connection, whole=whole)

    async def _open(self) -> asyncpg.Pool:
        async with self._opening:
            if self._pool is None:
                # No connection is made here (min_size 0); `timeout` is that of connecting.
                self._pool = await asyncpg.create_pool(
                    self._url,
                    password=self._password,
                    min_size=0,
                    max_size=4,
                    timeout=3,
                    command_timeout=30,
                    **transport_of(self._url),
                )
            return self._pool


_returning: set[asyncio.Task[None]] = set()


def _give_back(pool: asyncpg.Pool, connection: Any, *, whole: bool) -> None:
    """Returns a connection; one that was cut off in the middle is dropped, for its server may never answer."""
    if not whole:
        with suppress(asyncpg.InterfaceError):  # the pool took a broken one back by itself
            connection.terminate()
    task = asyncio.ensure_future(pool.release(connection))
    _returning.add(task)
    task.add_done_callback(_returned)


def _returned(task: asyncio.Task[None]) -> None:
    _returning.discard(task)
    if not task.cancelled():
        task.exception()
