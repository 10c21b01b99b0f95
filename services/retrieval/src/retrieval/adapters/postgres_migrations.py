"""Brings the schema to this version: numbered SQL files, each applied once, all in one transaction."""

import hashlib
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

import asyncpg

from chassis.errors import FailedPrecondition
from chassis.postgres import Owner, grant_serving, is_owned_by_server, not_migrated, not_the_owner, role_of
from retrieval.adapters.postgres_pool import SCHEMA, PoolLimits, PostgresPool

LOCK = int.from_bytes(hashlib.blake2b(b"mizzen.retrieval.migrations", digest_size=8).digest(), signed=True)

GRANT_LIMIT_S = 10.0


@dataclass(frozen=True, slots=True)
class Migration:
    """One numbered file. Its digest guards against a file edited after it was applied."""

    number: int
    name: str
    sql: str

    @property
    def digest(self) -> str:
        """SHA-256 of the text, hex."""
        return hashlib.sha256(self.sql.encode()).hexdigest()


def shipped() -> list[Migration]:
    """The migrations of this version, in order."""
    found = [
        entry for entry in files("retrieval.adapters").joinpath("migrations").iterdir() if entry.name.endswith(".sql")
    ]
    return sorted(
        (Migration(int(entry.name.split("_")[0]), entry.name, entry.read_text(encoding="utf-8")) for entry in found),
        key=lambda migration: migration.number,
    )


async def migrate_as(owner: Owner | None, pool: PostgresPool) -> bool:
    """Migrates as the owner of the tables, or without one as the pool's own role, which needs no right to where nothing is missing.

    Answers whether the pool's role could switch row-level security off. FailedPrecondition where the tables are not theirs.
    """
    if owner is not None:
        await migrate_owned(owner, pool.url)
    else:
        try:
            await migrate(pool)
        except asyncpg.InsufficientPrivilegeError as error:
            raise not_migrated(role_of(pool.url), SCHEMA) from error
    async with pool.transaction("", GRANT_LIMIT_S, readonly=True) as connection:
        return await is_owned_by_server(connection, SCHEMA)


async def migrate_owned(owner: Owner, url: str) -> None:
    """Migrates as the owner, over a connection of its own, and lets the URL's role read and write rows.

    FailedPrecondition where the tables are not the owner's.
    """
    owning = PostgresPool(url, owner.password, PoolLimits(connections=1), user=owner.role)
    try:
        await owning.open()
        await migrate(owning)
        async with owning.transaction("", GRANT_LIMIT_S, limit_s=GRANT_LIMIT_S) as connection:
            await connection.execute("select pg_advisory_xact_lock($1)", LOCK)
            await grant_serving(connection, SCHEMA, role_of(url))
    except asyncpg.InsufficientPrivilegeError as error:
        raise not_the_owner(owner.role, SCHEMA) from error
    finally:
        await owning.close()


async def migrate(pool: PostgresPool, timeout_s: float = 60.0) -> list[str]:
    """Applies what is missing and returns its names. Replicas that start together wait for each other.

    FailedPrecondition when an applied file was changed since. A newer schema than this version's is left alone.
    """
    async with pool.transaction("", timeout_s, limit_s=timeout_s) as connection:
        if not await _missing(connection):
            return []
        await connection.fetchval("select pg_advisory_xact_lock($1)", LOCK)
        if await connection.fetchval("select to_regnamespace($1)", SCHEMA) is None:
            await connection.execute(f"create schema {SCHEMA}")
        await connection.execute(
            "create table if not exists migrations (number integer primary key, name text not null, digest text not null)"
        )
        missing = await _missing(connection)
        for migration in missing:
            await connection.execute(migration.sql)
            await connection.execute(
                "insert into migrations values ($1, $2, $3)", migration.number, migration.name, migration.digest
            )
    return [migration.name for migration in missing]


async def _missing(connection: Any) -> list[Migration]:
    """What this version ships and the database lacks."""
    if await connection.fetchval("select to_regclass($1)", f"{SCHEMA}.migrations") is None:
        return shipped()
    done = dict(await connection.fetch("select number, digest from migrations"))
    for migration in shipped():
        if done.get(migration.number, migration.digest) != migration.digest:
            raise FailedPrecondition(
                f"{migration.name} was changed after it was applied to this database", reason="MIGRATION_CHANGED"
            )
    return [migration for migration in shipped() if migration.number not in done]
