"""Brings the schema to this version: numbered SQL files, each applied once, all in one transaction."""

import hashlib
from dataclasses import dataclass
from importlib.resources import files

from chassis.errors import FailedPrecondition
from retrieval.adapters.postgres_pool import SCHEMA, PostgresPool

LOCK = int.from_bytes(hashlib.blake2b(b"mizzen.retrieval.migrations", digest_size=8).digest(), signed=True)


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


async def migrate(pool: PostgresPool, timeout_s: float = 60.0) -> list[str]:
    """Applies what is missing and returns its names. Replicas that start together wait for each other.

    FailedPrecondition when an applied file was changed since. A newer schema than this version's is left alone.
    """
    applied: list[str] = []
    async with pool.transaction("", timeout_s, limit_s=timeout_s) as connection:
        await connection.fetchval("select pg_advisory_xact_lock($1)", LOCK)
        await connection.execute(f"create schema if not exists {SCHEMA}")
        await connection.execute(
            "create table if not exists migrations (number integer primary key, name text not null, digest text not null)"
        )
        done = dict(await connection.fetch("select number, digest from migrations"))
        for migration in shipped():
            digest = done.get(migration.number)
            if digest is None:
                await connection.execute(migration.sql)
                await connection.execute(
                    "insert into migrations values ($1, $2, $3)", migration.number, migration.name, migration.digest
                )
                applied.append(migration.name)
            elif digest != migration.digest:
                raise FailedPrecondition(
                    f"{migration.name} was changed after it was applied to this database", reason="MIGRATION_CHANGED"
                )
    return applied
