"""What asyncpg raises when PostgreSQL is gone or about to go: one list for every room that uses it.

Imported by those rooms' adapters only; chassis itself needs no asyncpg.
"""

import asyncpg

# InternalClientError: a statement on a connection whose server has just said that it ends, before the connection is closed.
LOST: tuple[type[Exception], ...] = (
    OSError,
    asyncpg.PostgresConnectionError,
    asyncpg.OperatorInterventionError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
)
