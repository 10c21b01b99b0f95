"""LabelStore on PostgreSQL: row-level security by tenant, nothing waits longer than it may."""

import logging
import math
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

import numpy as np

from chassis.postgres.migrations import migrate_as
from chassis.postgres.pool import PoolLimits, PostgresPool
from chassis.postgres.roles import Owner
from monitoring.adapters import postgres_schema as sql
from monitoring.domain.model import Label, Labelled, Stored, Window
from monitoring.domain.windows import ORIGIN_US

_log = logging.getLogger(__name__)
_SLOW_S = 10.0
_LIMITS = PoolLimits(connections=4, connect_s=3.0)


class PostgresLabels:
    """A small pool that connects when it is asked to, so that the database may be absent at start and lost later."""

    def __init__(self, url: str, password: Callable[[], str | None] | None = None, owner: Owner | None = None) -> None:
        """`password` is asked for at each connection; without it the URL's counts. `owner` migrates, else the URL's role."""
        self._pool = PostgresPool(sql.LABELS, url, password, _LIMITS)
        self._owner = owner
        self._migrated = False

    async def migrate(self) -> None:
        """Brings the tables up to date; one process at a time does it.

        Raises Unavailable, or FailedPrecondition where the tables are not the owner's.
        """
        owns = await migrate_as(self._owner, self._pool)
        self._migrated = True
        if owns:
            _log.warning("the serving role owns the tables of schema %s: set MIZZEN_POSTGRES_OWNER", sql.LABELS.name)

    async def put(self, tenant: str, labels: Sequence[Label], timeout_s: float) -> Stored:
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
        found: list[tuple[str, str]] = []
        for tenant in await self._tenants():
            async with self._as_tenant(tenant, _SLOW_S) as connection:
                rows = await connection.fetch(sql.WAITING, tenant, limit - len(found))
            found.extend((tenant, row[0]) for row in rows)
        return found

    async def match(
        self, tenant: str, asked: Sequence[str], found: Sequence[tuple[str, int, str, str, float, int]]
    ) -> int:
        columns = [list(column) for column in zip(*found, strict=True)] or [[] for _ in range(6)]
        async with self._as_tenant(tenant, _SLOW_S) as connection:
            joined = await connection.fetchval(sql.JOIN, tenant, *columns)
            await connection.execute(sql.POSTPONE, tenant, list(asked))
        return int(joined)

    async def labelled(self, tenant: str, endpoint: str, output: str, size_us: int, timeout_s: float) -> list[Labelled]:
        async with self._as_tenant(tenant, timeout_s) as connection:
            rows = await connection.fetch(sql.LABELLED, tenant, endpoint, output, size_us, ORIGIN_US)
        found = []
        for place, predicted, value in rows:
            start = ORIGIN_US + place * size_us
            found.append(Labelled(Window(start, start + size_us), np.array(predicted), np.array(value)))
        return found

    async def purge(self, older_than_us: int) -> int:
        purged = 0
        for tenant in await self._tenants():
            async with self._as_tenant(tenant, _SLOW_S) as connection:
                purged += await connection.fetchval(sql.PURGE, tenant, older_than_us)
        return purged

    async def waiting_count(self) -> int:
        count = 0
        for tenant in await self._tenants():
            async with self._as_tenant(tenant, _SLOW_S) as connection:
                count += await connection.fetchval(
                    "SELECT count(*) FROM monitoring.labels WHERE tenant = $1 AND endpoint IS NULL", tenant
                )
        return count

    async def close(self) -> None:
        """Closes the connections, without waiting for a database that does not answer."""
        await self._pool.close()

    async def _tenants(self) -> list[str]:
        if not self._migrated:
            return []
        async with self._as_tenant("", _SLOW_S) as connection:
            rows = await connection.fetch("SELECT tenant FROM monitoring.tenants ORDER BY tenant")
        return [row[0] for row in rows]

    @asynccontextmanager
    async def _as_tenant(self, tenant: str, timeout_s: float) -> AsyncIterator[Any]:
        """A transaction of at most `timeout_s` seconds. Raises Unavailable: a late database is away, whoever's time is over."""
        async with self._pool.transaction(tenant, math.inf, limit_s=timeout_s) as connection:
            yield connection
