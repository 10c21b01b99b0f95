"""A connection whose server goes in the middle of a transaction: the caller is told so, and nobody gets that connection again."""

from typing import Any

import asyncpg
import pytest

from chassis.errors import NotFound, Unavailable
from chassis.postgres.pool import PostgresPool
from retrieval.adapters.postgres_schema import DOCUMENTS


class Connection:
    """Fails at each statement from `fails_at` on, as asyncpg does while its server says goodbye."""

    def __init__(self, fails_at: str, error: Exception) -> None:
        self.fails_at = fails_at
        self.error: Exception | None = None
        self._given = error
        self.is_terminated = False
        self.statements: list[str] = []

    async def execute(self, statement: str, *_: object) -> None:
        self.statements.append(statement.split(maxsplit=1)[0])
        if statement.split(maxsplit=1)[0] == self.fails_at:
            self.error = self._given
        if self.error is not None:
            raise self.error

    def is_closed(self) -> bool:
        return self.is_terminated

    def terminate(self) -> None:
        self.is_terminated = True


class Held:
    """asyncpg's pool, with one connection."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self.given_back = 0

    async def acquire(self) -> Connection:
        return self.connection

    async def release(self, _: Connection) -> None:
        self.given_back += 1


def pool_of(connection: Connection) -> tuple[PostgresPool, Held]:
    pool: Any = PostgresPool(DOCUMENTS, "postgresql://nowhere")
    pool._pool = Held(connection)
    return pool, pool._pool


@pytest.mark.parametrize("fails_at", ["begin", "select", "commit"])
@pytest.mark.parametrize(
    "error",
    [
        asyncpg.InternalClientError("cannot switch to state 15; another operation (2) is in progress"),
        asyncpg.ConnectionDoesNotExistError("connection was closed in the middle of operation"),
        asyncpg.AdminShutdownError("terminating connection due to administrator command"),
        ConnectionResetError(),
    ],
    ids=lambda error: type(error).__name__,
)
async def test_it_is_unavailable_and_thrown_away(fails_at: str, error: Exception) -> None:
    connection = Connection(fails_at, error)
    pool, held = pool_of(connection)
    with pytest.raises(Unavailable) as caught:
        async with pool.transaction("acme", 5.0):
            pass
    assert caught.value.reason == "STORE_UNAVAILABLE"
    assert connection.is_terminated
    assert held.given_back == 1


async def test_an_error_of_ours_is_rolled_back_and_the_connection_kept() -> None:
    connection = Connection("never", OSError())
    pool, held = pool_of(connection)
    with pytest.raises(NotFound):
        async with pool.transaction("acme", 5.0):
            raise NotFound("there is no such document")
    assert connection.statements[-1] == "rollback"
    assert (connection.is_terminated, held.given_back) == (False, 1)
