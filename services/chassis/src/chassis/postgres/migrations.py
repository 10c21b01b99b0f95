"""Brings a schema to this version: numbered SQL files, each applied once, all in one transaction."""

import hashlib
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

import asyncpg

from chassis.errors import FailedPrecondition
from chassis.postgres.pool import PoolLimits, PostgresPool, Schema
from chassis.postgres.roles import Owner, grant_serving, is_owned_by_server, not_migrated, not_the_owner, role_of

GRANT_LIMIT_S = 10.0
# A table of before migrations had names and digests, when they were counted as versions.
_WITH_DIGESTS = """
do $$ begin
    if exists (select from pg_attribute where attrelid = to_regclass('migrations') and attname = 'version' and not attisdropped)
    then
        alter table migrations rename column version to number;
        alter table migrations add column name text not null default '', add column digest text not null default '';
    end if;
end $$
"""


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


def shipped(schema: Schema) -> list[Migration]:
    """The migrations of this version, in order."""
    folder = files(f"{schema.name}.adapters").joinpath("migrations")
    found = [entry for entry in folder.iterdir() if entry.name.endswith(".sql")]
    return sorted(
        (Migration(int(entry.name.split("_")[0]), entry.name, entry.read_text(encoding="utf-8")) for entry in found),
        key=lambda migration: migration.number,
    )


async def migrate_as(owner: Owner | None, pool: PostgresPool) -> bool:
    """Migrates as the owner of the tables, or without one as the pool's own role, which needs no right to where nothing is missing.

    Answers whether the pool's role could switch row-level security off. FailedPrecondition where the tables are not theirs.
    """
    schema = pool.schema
    if owner is not None:
        await migrate_owned(owner, schema, pool.url)
    else:
        try:
            await migrate(pool)
        except asyncpg.InsufficientPrivilegeError as error:
            raise not_migrated(role_of(pool.url), schema.name) from error
    async with pool.transaction("", GRANT_LIMIT_S, readonly=True) as connection:
        return await is_owned_by_server(connection, schema.name)


async def migrate_owned(owner: Owner, schema: Schema, url: str) -> None:
    """Migrates as the owner, over a connection of its own, and lets the URL's role read and write rows.

    FailedPrecondition where the tables are not the owner's.
    """
    owning = PostgresPool(schema, url, owner.password, PoolLimits(connections=1), user=owner.role)
    try:
        await migrate(owning)
        async with owning.transaction("", GRANT_LIMIT_S, limit_s=GRANT_LIMIT_S) as connection:
            await connection.execute("select pg_advisory_xact_lock($1)", _lock(schema))
            await grant_serving(connection, schema.name, role_of(url))
    except asyncpg.InsufficientPrivilegeError as error:
        raise not_the_owner(owner.role, schema.name) from error
    finally:
        await owning.close()


async def migrate(pool: PostgresPool, timeout_s: float = 60.0) -> list[str]:
    """Applies what is missing and returns its names. Replicas that start together wait for each other.

    FailedPrecondition when an applied file was changed since. A newer schema than this version's is left alone.
    """
    schema = pool.schema
    async with pool.transaction("", timeout_s, limit_s=timeout_s) as connection:
        if not await _missing(connection, schema):
            return []
        await connection.fetchval("select pg_advisory_xact_lock($1)", _lock(schema))
        if await connection.fetchval("select to_regnamespace($1)", schema.name) is None:
            await connection.execute(f"create schema {schema.name}")
        await connection.execute(_WITH_DIGESTS)
        await connection.execute(
            "create table if not exists migrations (number integer primary key, name text not null, digest text not null)"
        )
        missing = await _missing(connection, schema)
        for migration in missing:
            await connection.execute(migration.sql)
            await connection.execute(
                "insert into migrations (number, name, digest) values ($1, $2, $3)",
                migration.number,
                migration.name,
                migration.digest,
            )
    return [migration.name for migration in missing]


async def _missing(connection: Any, schema: Schema) -> list[Migration]:
    """What this version ships and the database lacks."""
    done = await _applied(connection, schema)
    for migration in shipped(schema):
        if done.get(migration.number, "") not in ("", migration.digest):
            raise FailedPrecondition(
                f"{migration.name} was changed after it was applied to this database", reason="MIGRATION_CHANGED"
            )
    return [migration for migration in shipped(schema) if migration.number not in done]


async def _applied(connection: Any, schema: Schema) -> dict[int, str]:
    """Number → digest, empty where the table is of a time before there were digests."""
    columns = await connection.fetch(
        "select attname from pg_attribute where attrelid = to_regclass($1) and attnum > 0 and not attisdropped",
        f"{schema.name}.migrations",
    )
    names = {row[0] for row in columns}
    if not names:
        return {}
    if "digest" in names:
        return dict(await connection.fetch("select number, digest from migrations"))
    return dict(await connection.fetch("select version, '' from migrations"))


def _lock(schema: Schema) -> int:
    digest = hashlib.blake2b(f"mizzen.{schema.name}.migrations".encode(), digest_size=8).digest()
    return int.from_bytes(digest, signed=True)
