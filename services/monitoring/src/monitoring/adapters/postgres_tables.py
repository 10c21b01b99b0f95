"""Brings the label store's tables to this version, as their owner or as the role that serves."""

import asyncio
from typing import Any

import asyncpg

from chassis.errors import Unavailable
from chassis.postgres import LOST, Owner, grant_serving, not_migrated, not_the_owner, role_of, transport_of
from monitoring.adapters import postgres_schema as sql

FOREIGN = (asyncpg.PostgresError, TimeoutError, *LOST)
MIGRATION_S = 30.0
_DONE = "SELECT coalesce(max(version), 0) FROM monitoring.migrations"


async def migrate_owned(owner: Owner, url: str) -> None:
    """Migrates as the owner, over a connection of its own, and lets the URL's role read and write rows.

    Raises Unavailable, or FailedPrecondition where the tables are not the owner's.
    """
    try:
        async with asyncio.timeout(MIGRATION_S):
            connection = await asyncpg.connect(
                url, user=owner.role, password=owner.password(), timeout=3, **transport_of(url)
            )
            try:
                await connection.execute("BEGIN")
                await _migrate(connection)
                await grant_serving(connection, sql.SCHEMA, role_of(url))
                await connection.execute("COMMIT")
            finally:
                connection.terminate()
    except asyncpg.InsufficientPrivilegeError as error:
        raise not_the_owner(owner.role, sql.SCHEMA) from error
    except FOREIGN as error:
        raise down(error) from error


async def migrate_as_serving(connection: Any, role: str) -> None:
    """Migrates over a connection of the role that serves, which needs no right to where nothing is missing.

    Raises FailedPrecondition where it needs one that it hasn't.
    """
    try:
        if not await _is_current(connection):
            await connection.execute("BEGIN")
            await _migrate(connection)
            await connection.execute("COMMIT")
    except asyncpg.InsufficientPrivilegeError as error:
        raise not_migrated(role, sql.SCHEMA) from error


def down(error: Exception) -> Unavailable:
    """What a caller is told of a failure of the database."""
    return Unavailable(
        f"the label store does not answer: {type(error).__name__}", reason="LABEL_STORE_DOWN", retry_after_s=1.0
    )


async def _is_current(connection: Any) -> bool:
    if await connection.fetchval("SELECT to_regclass($1)", f"{sql.SCHEMA}.migrations") is None:
        return False
    return bool(await connection.fetchval(_DONE) >= len(sql.MIGRATIONS))


async def _migrate(connection: Any) -> None:
    """One process at a time does it, in a transaction that the caller ends."""
    await connection.execute("SELECT pg_advisory_xact_lock($1)", sql.LOCK)
    await connection.execute(sql.PREPARE)
    done = await connection.fetchval(_DONE)
    for version, statements in enumerate(sql.MIGRATIONS[done:], done + 1):
        await connection.execute(statements)
        await connection.execute("INSERT INTO monitoring.migrations (version) VALUES ($1)", version)
