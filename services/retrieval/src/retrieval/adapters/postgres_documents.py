"""The document store on PostgreSQL with pgvector: writes and listings. The search is in postgres_search."""

import json
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import asyncpg
from pgvector import SparseVector

from chassis.errors import MizzenError
from chassis.postgres.pool import PostgresPool
from retrieval.adapters.postgres_rows import DIMENSIONS, ChunkRow, chunk_rows, document_of
from retrieval.adapters.postgres_search import search
from retrieval.domain.model import CollectionCounts, Document, DocumentInput, Found, IndexedDocument, Probe, Scope
from retrieval.domain.ports import Rank

DOCUMENT_COLUMNS = "document, collection, title, source, digest, fingerprint, chunks, updated_at_us, metadata::text"

WRITE_LIMIT_S = 30.0
"""A write of many chunks may take longer than a search."""
ANALYZE_LIMIT_S = 10.0
ANALYZE_FROM = 500
"""Chunks of a collection below which a wrong plan costs nothing."""


class PostgresDocuments:
    """DocumentStore over a PostgresPool; one transaction a call."""

    def __init__(self, pool: PostgresPool) -> None:
        self._pool = pool

    async def replace(
        self, tenant: str, collection: str, documents: Sequence[IndexedDocument], now_us: int, timeout_s: float
    ) -> None:
        """See DocumentStore. Writers of one tenant's collection take turns from the first statement on."""
        async with self._pool.transaction(tenant, timeout_s, limit_s=WRITE_LIMIT_S) as connection:
            counts = await _locked_counts(connection, tenant, collection)
            removed = await _remove(connection, tenant, collection, [item.document.id for item in documents])
            total = sum(len(item.chunks) for item in documents)
            numbers = await connection.fetch("select nextval('chunk_ids') as n from generate_series(1, $1)", total)
            rows = chunk_rows(documents, [row["n"] for row in numbers])
            chunks = counts["chunks"] - removed["chunks"] + total
            terms = counts["terms"] - removed["terms"] + sum(row.length for row in rows)
            await _insert_documents(connection, tenant, collection, documents, now_us)
            await _insert_chunks(connection, tenant, collection, rows, terms / max(chunks, 1))
            kept = counts["documents"] - removed["documents"] + len(documents)
            await connection.execute(_SET_COUNTS, tenant, collection, kept, chunks, terms)
            outgrown = chunks >= ANALYZE_FROM and await connection.fetchval(_OUTGROWN, chunks)
        if outgrown:
            await self._analyze()

    async def _analyze(self) -> None:
        """Tells the planner how large the tables are now. Autovacuum would, a minute later; until then it expects one row of a
        collection and compares all with all. What was stored is stored: a failure here is left to autovacuum."""
        with suppress(MizzenError, asyncpg.PostgresError):
            async with self._pool.transaction("", ANALYZE_LIMIT_S, limit_s=ANALYZE_LIMIT_S) as connection:
                if await connection.fetchval("select pg_try_advisory_xact_lock(hashtext('mizzen.retrieval.analyze'))"):
                    await connection.execute(
                        "analyze collections, documents, labels, chunks, embeddings, postings, terms"
                    )

    async def relabel(
        self, tenant: str, collection: str, documents: Sequence[DocumentInput], now_us: int, timeout_s: float
    ) -> None:
        ids = [document.id for document in documents]
        async with self._pool.transaction(tenant, timeout_s, limit_s=WRITE_LIMIT_S) as connection:
            await _locked_counts(connection, tenant, collection)
            await connection.execute(
                "delete from labels where tenant = $1 and collection = $2 and document = any($3::text[])",
                *(tenant, collection, ids),
            )
            await connection.executemany(
                _RELABEL,
                [
                    (tenant, collection, d.id, d.title, d.source, json.dumps(dict(d.metadata)), now_us)
                    for d in documents
                ],
            )
            await _insert_labels(connection, tenant, collection, documents)

    async def find(self, tenant: str, collection: str, ids: Sequence[str], timeout_s: float) -> dict[str, Document]:
        async with self._pool.transaction(tenant, timeout_s, readonly=True) as connection:
            rows = await connection.fetch(
                f"select {DOCUMENT_COLUMNS} from documents "  # noqa: S608 - constant columns
                "where tenant = $1 and collection = $2 and document = any($3::text[])",
                *(tenant, collection, list(ids)),
            )
        return {row["document"]: document_of(row) for row in rows}

    async def page(self, tenant: str, collection: str, after: str, limit: int, timeout_s: float) -> Sequence[Document]:
        async with self._pool.transaction(tenant, timeout_s, readonly=True) as connection:
            rows = await connection.fetch(
                f"select {DOCUMENT_COLUMNS} from documents "  # noqa: S608 - constant columns
                "where tenant = $1 and collection = $2 and document > $3 order by document limit $4",
                *(tenant, collection, after, limit),
            )
        return [document_of(row) for row in rows]

    async def delete(self, tenant: str, collection: str, document: str, timeout_s: float) -> bool:
        async with self._pool.transaction(tenant, timeout_s, limit_s=WRITE_LIMIT_S) as connection:
            counts = await _locked_counts(connection, tenant, collection)
            removed = await _remove(connection, tenant, collection, [document])
            left = [counts[name] - removed[name] for name in ("documents", "chunks", "terms")]
            await connection.execute(_SET_COUNTS, tenant, collection, *left)
        return bool(removed["documents"])

    async def counts(self, tenant: str, timeout_s: float) -> dict[str, CollectionCounts]:
        async with self._pool.transaction(tenant, timeout_s, readonly=True) as connection:
            rows = await connection.fetch(
                "select collection, documents, chunks from collections where tenant = $1 and documents > 0", tenant
            )
        return {row["collection"]: CollectionCounts(row["documents"], row["chunks"]) for row in rows}

    async def search(self, scope: Scope, probe: Probe, rank: Rank, timeout_s: float) -> Found:
        async with self._pool.transaction(scope.tenant, timeout_s, readonly=True) as connection:
            return await search(connection, scope, probe, rank)


async def _locked_counts(connection: Any, tenant: str, collection: str) -> Any:
    await connection.execute(
        "insert into collections (tenant, collection) values ($1, $2) on conflict do nothing", tenant, collection
    )
    return await connection.fetchrow(
        "select documents, chunks, terms from collections where tenant = $1 and collection = $2 for update",
        *(tenant, collection),
    )


async def _remove(connection: Any, tenant: str, collection: str, ids: list[str]) -> Any:
    return await connection.fetchrow(_REMOVE, tenant, collection, ids)


async def _insert_documents(
    connection: Any, tenant: str, collection: str, documents: Sequence[IndexedDocument], now_us: int
) -> None:
    await connection.executemany(
        _INSERT_DOCUMENT,
        [
            (
                *(tenant, collection, item.document.id, item.document.title, item.document.source),
                *(item.document.media_type, item.document.text, item.digest, item.fingerprint),
                *(json.dumps(dict(item.document.metadata)), len(item.chunks), now_us),
            )
            for item in documents
        ],
    )
    await _insert_labels(connection, tenant, collection, [item.document for item in documents])


async def _insert_labels(connection: Any, tenant: str, collection: str, documents: Sequence[DocumentInput]) -> None:
    labels = [(key, value, item.id) for item in documents for key, value in item.metadata.items()]
    if labels:
        keys, values, ids = (list(column) for column in zip(*labels, strict=True))
        await connection.execute(_INSERT_LABELS, tenant, collection, keys, values, ids)


async def _insert_chunks(
    connection: Any, tenant: str, collection: str, rows: Sequence[ChunkRow], average_length: float
) -> None:
    weighed = [(row, row.weights(average_length)) for row in rows]
    await connection.executemany(
        _INSERT_CHUNK,
        [
            (
                *(tenant, collection, row.number, row.document, row.chunk.chunk.position, row.chunk.chunk.heading),
                *(row.chunk.chunk.text, row.chunk.chunk.line_start, row.chunk.chunk.line_end, row.length),
                *(list(row.counts), SparseVector(weights, DIMENSIONS)),
            )
            for row, weights in weighed
        ],
    )
    await connection.executemany(
        "insert into embeddings values ($1, $2, $3, $4, $5)",
        [(tenant, collection, row.number, row.document, row.chunk.vector) for row in rows],
    )
    postings = sorted((term, row.number, value) for row, weights in weighed for term, value in weights.items())
    terms, numbers, values = (list(column) for column in zip(*postings, strict=True)) if postings else ([], [], [])
    await connection.execute(_INSERT_POSTINGS, tenant, collection, terms, numbers, values)
    frequencies = sorted(Counter(terms).items())
    await connection.execute(
        _ADD_TERMS, tenant, collection, [term for term, _ in frequencies], [count for _, count in frequencies]
    )


_OUTGROWN = "select $1::bigint > 2 * reltuples from pg_class where oid = 'chunks'::regclass"

_SET_COUNTS = """
update collections set documents = $3, chunks = $4, terms = $5 where tenant = $1 and collection = $2
"""

_RELABEL = """
update documents set title = $4, source = $5, metadata = $6::text::jsonb, updated_at_us = $7
where tenant = $1 and collection = $2 and document = $3
"""

_REMOVE = """
with doomed as (
    delete from chunks where tenant = $1 and collection = $2 and document = any($3::text[])
    returning chunk, terms, length
), gone as (
    select chunk, unnest(terms) as term from doomed
), vectors as (
    delete from embeddings e where tenant = $1 and collection = $2 and document = any($3::text[])
), posted as (
    delete from postings p using gone
    where p.tenant = $1 and p.collection = $2 and p.term = gone.term and p.chunk = gone.chunk
), counted as (
    update terms t set frequency = frequency - n from (select term, count(*) as n from gone group by term) g
    where t.tenant = $1 and t.collection = $2 and t.term = g.term
), labelled as (
    delete from labels where tenant = $1 and collection = $2 and document = any($3::text[])
), removed as (
    delete from documents where tenant = $1 and collection = $2 and document = any($3::text[]) returning document
)
select (select count(*) from doomed) as chunks, (select coalesce(sum(length), 0) from doomed) as terms,
       (select count(*) from removed) as documents
"""

_INSERT_DOCUMENT = """
insert into documents values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10::text::jsonb, $11, $12)
"""

_INSERT_LABELS = """
insert into labels select $1, $2, key, value, document
from unnest($3::text[], $4::text[], $5::text[]) as given (key, value, document)
"""

_INSERT_CHUNK = """
insert into chunks values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)
"""

_INSERT_POSTINGS = """
insert into postings (tenant, collection, term, chunk, weight)
select $1, $2, term, chunk, weight from unnest($3::integer[], $4::bigint[], $5::real[]) as given (term, chunk, weight)
"""

_ADD_TERMS = """
insert into terms select $1, $2, term, n from unnest($3::integer[], $4::integer[]) as given (term, n)
on conflict (tenant, collection, term) do update set frequency = terms.frequency + excluded.frequency
"""
