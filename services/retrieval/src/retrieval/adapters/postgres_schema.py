"""What retrieval keeps in PostgreSQL: documents, chunks and vectors. Its tables are in `migrations`."""

from typing import Any

from pgvector.asyncpg import register_vector

from chassis.errors import FailedPrecondition
from chassis.postgres.pool import Schema


async def _with_vectors(connection: Any) -> None:
    schema = await connection.fetchval(
        "select nspname from pg_extension join pg_namespace n on n.oid = extnamespace where extname = 'vector'"
    )
    if schema is None:
        raise FailedPrecondition(
            "the database has no extension vector: a superuser runs `create extension vector` in it once",
            reason="EXTENSION_MISSING",
        )
    await register_vector(connection, schema=schema)


# The setting is pgvector's: a search of the graph ends with its first look (postgres_search).
DOCUMENTS = Schema("retrieval", "the document store", _with_vectors, (("hnsw.iterative_scan", "off"),))
