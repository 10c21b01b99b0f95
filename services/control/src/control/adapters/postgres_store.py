"""API keys and the audit log in one database: a change of a key and its entry are one transaction."""

import json
import math
from collections.abc import Sequence
from typing import Any

import asyncpg

from chassis.errors import AlreadyExists
from chassis.postgres.pool import PostgresPool
from control.adapters import postgres_schema as sql
from control.domain.model import Change, Key, KnownKeys, Outcome

LIMIT_S = 5.0


class PostgresKeys:
    """See ports.Keys."""

    def __init__(self, pool: PostgresPool) -> None:
        self._pool = pool

    async def add(self, key: Key, change: Change) -> None:
        try:
            async with _transaction(self._pool) as connection:
                await connection.execute(
                    sql.ADD_KEY, key.tenant, key.id, key.name, list(key.scopes), key.hash, key.created_us, key.created_by,
                    key.expires_us,
                )  # fmt: skip
                await connection.execute(sql.NEW_VERSION)
                await _append(connection, change)
        except asyncpg.UniqueViolationError as error:
            message = f"tenant {key.tenant} has a key {key.name} already: choose another name, or revoke it first"
            raise AlreadyExists(message, reason="KEY_EXISTS", field="name") from error

    async def revoke(self, key_id: str, change: Change) -> tuple[Key, bool] | None:
        async with _transaction(self._pool) as connection:
            done = await connection.execute(sql.REVOKE_KEY, key_id, change.at_us, change.subject)
            was_in_force = bool(done != "UPDATE 0")
            if was_in_force:
                await connection.execute(sql.NEW_VERSION)
                await _append(connection, change)
            row = await connection.fetchrow(sql.KEY, key_id)
        return None if row is None else (_key(row), was_in_force)

    async def get(self, key_id: str) -> Key | None:
        async with _transaction(self._pool, readonly=True) as connection:
            row = await connection.fetchrow(sql.KEY, key_id)
        return None if row is None else _key(row)

    async def page(self, tenant: str, *, revoked: bool, after: str, limit: int) -> list[Key]:
        async with _transaction(self._pool, readonly=True) as connection:
            rows = await connection.fetch(sql.KEYS_PAGE, tenant, revoked, after, limit)
        return [_key(row) for row in rows]

    async def known(self, version: str) -> KnownKeys:
        async with _transaction(self._pool, readonly=True) as connection:
            now = await connection.fetchval(sql.VERSION)
            if now == version:
                return KnownKeys(now, None)
            rows = await connection.fetch(sql.KEYS_IN_FORCE)
        return KnownKeys(now, tuple(_key(row) for row in rows))

    async def by_hash(self, hashed: str) -> Key | None:
        async with _transaction(self._pool, readonly=True) as connection:
            row = await connection.fetchrow(sql.KEY_BY_HASH, hashed)
        return None if row is None else _key(row)


class PostgresAudit:
    """See ports.AuditLog."""

    def __init__(self, pool: PostgresPool) -> None:
        self._pool = pool

    async def append(self, change: Change) -> None:
        async with _transaction(self._pool) as connection:
            await _append(connection, change)

    async def page(self, *, object_: str, subject: str, before: str, limit: int) -> list[Change]:
        async with _transaction(self._pool, readonly=True) as connection:
            rows = await connection.fetch(sql.AUDIT_PAGE, object_, subject, before, limit)
        return [_change(row) for row in rows]


async def _append(connection: Any, change: Change) -> None:
    step = 0 if change.outcome is Outcome.BEGUN else 1
    await connection.execute(
        sql.APPEND, change.id, step, change.request_id, change.at_us, change.tenant, change.subject, change.action,
        change.object, change.outcome.value, json.dumps(change.detail),
    )  # fmt: skip


def _transaction(pool: PostgresPool, *, readonly: bool = False) -> Any:
    """Of no tenant: admins see all of them. Raises Unavailable after LIMIT_S at most."""
    return pool.transaction("", math.inf, readonly=readonly, limit_s=LIMIT_S)


def _change(row: Sequence[Any]) -> Change:
    return Change(
        id=row[0], request_id=row[1], at_us=row[2], tenant=row[3], subject=row[4], action=row[5], object=row[6],
        outcome=Outcome(row[7]), detail=json.loads(row[8]),
    )  # fmt: skip


def _key(row: Sequence[Any]) -> Key:
    return Key(
        id=row[0], tenant=row[1], name=row[2], scopes=tuple(row[3]), hash=row[4], created_us=row[5], created_by=row[6],
        expires_us=row[7], revoked_us=row[8], revoked_by=row[9],
    )  # fmt: skip
