"""What rooms that use PostgreSQL share: what asyncpg raises when it is gone or about to go, and who owns the tables.

Imported by those rooms' adapters only; chassis itself needs no asyncpg.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import asyncpg

from chassis.errors import FailedPrecondition
from chassis.settings import Postgres

# InternalClientError: a statement on a connection whose server has just said that it ends, before the connection is closed.
LOST: tuple[type[Exception], ...] = (
    OSError,
    asyncpg.PostgresConnectionError,
    asyncpg.OperatorInterventionError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
)


@dataclass(frozen=True, slots=True)
class Owner:
    """The role that owns the tables and migrates them. `password` is asked for at each connection."""

    role: str
    password: Callable[[], str | None]

    @classmethod
    def of(cls, settings: Postgres) -> "Owner | None":
        """The owner that the settings name, if they do."""
        return cls(settings.postgres_owner, settings.postgres_owner_password) if settings.postgres_owner else None

    @classmethod
    def needed(cls, settings: Postgres) -> "Owner":
        """The owner that the settings name; SystemExit, with a sentence, where they name none."""
        owner = cls.of(settings)
        if owner is None:
            raise SystemExit("MIZZEN_POSTGRES_OWNER: name the role that owns the tables")
        return owner


_GRANTS = (
    "grant usage on schema %1$I to %2$I",
    "grant select, insert, update, delete on all tables in schema %1$I to %2$I",
    "grant usage on all sequences in schema %1$I to %2$I",
    "revoke insert, update, delete on %1$I.migrations from %2$I",
)
_MAINTAIN = "grant maintain on all tables in schema %1$I to %2$I"  # analyze and vacuum, from PostgreSQL 17 on


def role_of(url: str) -> str:
    """The user of a postgresql:// URL."""
    return unquote(urlsplit(url).username or "")


def transport_of(url: str) -> dict[str, Any]:
    """What to tell asyncpg of TLS: nothing, but for a server on this very machine whose URL says nothing either.

    Asking such a server for TLS first costs a round trip, and a server that goes while it is asked leaves an error in asyncpg's
    hands that nobody collects ("Future exception was never retrieved").
    """
    parts = urlsplit(url)
    is_near = parts.hostname in ("127.0.0.1", "::1", "localhost")
    return {"ssl": False} if is_near and "sslmode" not in parse_qs(parts.query) else {}


async def grant_serving(connection: Any, schema: str, role: str) -> None:
    """Lets `role` read and write the rows of a schema's tables, and nothing else. Run as the tables' owner."""
    newer = await connection.fetchval("select current_setting('server_version_num')::int >= 170000")
    for template in (*_GRANTS, _MAINTAIN) if newer else _GRANTS:
        await connection.execute(
            await connection.fetchval("select format($1, $2::text, $3::text)", template, schema, role)
        )


async def is_owned_by_server(connection: Any, schema: str) -> bool:
    """Whether the role of this connection owns tables of the schema, and so could switch their row-level security off."""
    found = await connection.fetchval(
        "select exists (select from pg_class where relnamespace = to_regnamespace($1) and relkind = 'r' "
        "and pg_has_role(relowner, 'member'))",
        schema,
    )
    return bool(found)


def not_the_owner(owner: str, schema: str) -> FailedPrecondition:
    """What to say where the owner may not migrate: the tables are of a time before there was one."""
    return FailedPrecondition(
        f"the tables of schema {schema} don't belong to {owner}: a superuser runs `reassign owned by` the serving role "
        f"`to {owner}` in the database once",
        reason="TABLES_OF_ANOTHER_ROLE",
    )


def not_migrated(role: str, schema: str) -> FailedPrecondition:
    """What to say where tables are missing that the serving role may not make."""
    return FailedPrecondition(
        f"the tables of schema {schema} are not of this version and {role} may not change them: run "
        f"`python -m {schema}.migrate` with MIZZEN_POSTGRES_OWNER",
        reason="TABLES_NOT_MIGRATED",
    )
