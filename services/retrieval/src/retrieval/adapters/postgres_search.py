"""Finding candidates in PostgreSQL: vectors by inner product, terms by BM25, both scores for every candidate."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from pgvector import SparseVector

from retrieval.adapters.postgres_rows import DIMENSIONS, passage_of, term_id
from retrieval.domain import lexical
from retrieval.domain.model import Found, Probe, Ranked, Scope, Scores
from retrieval.domain.ports import Rank

EXACT_ROWS = 5_000
"""Vectors that are compared one by one rather than through HNSW: a graph search under a narrow filter loses recall."""
EXACT_SHARE = 0.05
EXACT_MOST = 50_000
"""Where the scope is less than EXACT_SHARE of the table it is compared one by one up to EXACT_MOST rows (some 50 ms)."""
POSTINGS = 5_000
"""Postings of the rarest terms that are read to find lexical candidates; commoner terms only count in the full score."""


@dataclass(frozen=True, slots=True)
class Statistics:
    """Sizes behind one search: chunks of the collection, and in how many of them each known query term is."""

    chunks: int
    frequencies: Mapping[int, int]

    def rarities(self) -> dict[int, float]:
        """The idf of each known term."""
        return {term: lexical.rarity(self.chunks, count) for term, count in self.frequencies.items()}

    def leading_terms(self) -> list[int]:
        """The rarest terms, as many as POSTINGS allows, at least one."""
        chosen: list[int] = []
        read = 0
        for term, count in sorted(self.frequencies.items(), key=lambda item: item[1]):
            read += count
            if chosen and read > POSTINGS:
                break
            chosen.append(term)
        return chosen


async def search(connection: Any, scope: Scope, probe: Probe, rank: Rank) -> Found:
    """See DocumentStore.search; runs in the caller's transaction, which is bound to the scope's tenant."""
    ids = {term_id(term): term for term in probe.terms}
    statistics = await _statistics(connection, scope, list(ids))
    if not statistics.chunks:
        return Found()
    rarities = statistics.rarities()
    documents, rows = None, statistics.chunks
    if scope.filters:
        documents, rows = await _filtered(connection, scope)
        if not documents:
            return Found(rarity={ids[term]: value for term, value in rarities.items()})
    exact = probe.vector is not None and await _narrow(connection, rows)
    sparse = SparseVector(rarities, DIMENSIONS)
    sql = _candidates_sql(probe, exact=exact, lexical=bool(rarities), filtered=documents is not None)
    leading = statistics.leading_terms()
    weights = [rarities[term] for term in leading]
    found = await connection.fetch(
        sql, scope.tenant, scope.collection, probe.vector, leading, sparse, documents, weights
    )
    dense = _column(found, "dense") if probe.vector is not None else None
    bm25 = _column(found, "lexical") if probe.terms else None
    ranked = rank(dense, bm25) if found else []
    passages = await _passages(connection, scope, [row["chunk"] for row in found], ranked, dense, bm25)
    return Found(tuple(passages), {ids[term]: value for term, value in rarities.items()})


async def _statistics(connection: Any, scope: Scope, terms: list[int]) -> Statistics:
    rows = await connection.fetch(_STATISTICS, scope.tenant, scope.collection, terms)
    if not rows:
        return Statistics(0, {})
    return Statistics(rows[0]["chunks"], {row["term"]: row["frequency"] for row in rows if row["frequency"]})


async def _filtered(connection: Any, scope: Scope) -> tuple[list[str], int]:
    """Documents that carry all filters, and how many chunks they have."""
    keys, values = list(scope.filters), list(scope.filters.values())
    rows = await connection.fetch(_FILTERED, scope.tenant, scope.collection, keys, values)
    return [row["document"] for row in rows], sum(row["chunks"] for row in rows)


async def _narrow(connection: Any, rows: int) -> bool:
    """Whether `rows` vectors in scope are better compared one by one. The graph is over all tenants' vectors."""
    if rows <= EXACT_ROWS or rows > EXACT_MOST:
        return rows <= EXACT_ROWS
    all_rows = await connection.fetchval("select reltuples from pg_class where oid = 'embeddings'::regclass")
    return bool(rows < EXACT_SHARE * all_rows)


def _candidates_sql(probe: Probe, *, exact: bool, lexical: bool, filtered: bool) -> str:
    only = "and {0}document = any($6::text[])" if filtered else ""
    distance = "(embedding <#> $3) + 0" if exact else "embedding <#> $3"
    parts: list[str] = []
    if probe.vector is not None:
        parts.append(
            f"(select chunk from embeddings where tenant = $1 and collection = $2 {only.format('')} "  # noqa: S608
            f"order by {distance} limit {int(probe.candidates)})"
        )
    if lexical:
        member = f"join chunks c on c.tenant = $1 and c.collection = $2 and c.chunk = p.chunk {only.format('c.')}"
        parts.append(
            "(select p.chunk from unnest($4::integer[], $7::real[]) as wanted (term, rarity) "  # noqa: S608
            "join postings p on p.tenant = $1 and p.collection = $2 and p.term = wanted.term "
            f"{member if filtered else ''} group by p.chunk order by sum(p.weight * wanted.rarity) desc, p.chunk "
            f"limit {int(probe.candidates)})"
        )
    near = "-(e.embedding <#> $3)" if probe.vector is not None else "0.0::float8"
    union = " union ".join(parts) or "select 0::bigint where false"
    # The last line names every parameter with its type, whichever parts are in use.
    return (
        f"select f.chunk, {near} as dense, -(c.weights <#> $5) as lexical from ({union}) f(chunk) "  # noqa: S608
        "join chunks c on c.tenant = $1 and c.collection = $2 and c.chunk = f.chunk "
        "join embeddings e on e.tenant = $1 and e.collection = $2 and e.chunk = f.chunk "
        "where ($3::vector is null or true) and ($4::integer[] is null or true) and ($6::text[] is null or true) "
        "and ($7::real[] is null or true)"
    )


def _column(rows: Sequence[Any], name: str) -> Scores:
    return np.array([row[name] for row in rows], dtype=np.float64)


async def _passages(
    connection: Any,
    scope: Scope,
    chunks: list[int],
    ranked: Sequence[Ranked],
    dense: Scores | None,
    bm25: Scores | None,
) -> list[Any]:
    if not ranked:
        return []
    rows = await connection.fetch(_PASSAGES, scope.tenant, scope.collection, [chunks[item.index] for item in ranked])
    by_chunk = {row["chunk"]: row for row in rows}
    return [
        passage_of(
            by_chunk[chunks[item.index]],
            item,
            0.0 if dense is None else float(dense[item.index]),
            0.0 if bm25 is None else float(bm25[item.index]),
        )
        for item in ranked
    ]


_STATISTICS = """
select c.chunks, t.term, t.frequency
from collections c
left join terms t on t.tenant = $1 and t.collection = $2 and t.term = any($3::integer[])
where c.tenant = $1 and c.collection = $2
"""

_FILTERED = """
select document, d.chunks
from (
    select l.document from labels l join unnest($3::text[], $4::text[]) as wanted (key, value) using (key, value)
    where l.tenant = $1 and l.collection = $2
    group by l.document having count(*) = cardinality($3::text[])
) carrying join documents d using (document)
where d.tenant = $1 and d.collection = $2
"""

_PASSAGES = """
select c.chunk, c.document, c.position, c.heading, c.content, c.line_start, c.line_end,
       d.source, d.title, d.metadata::text
from chunks c join documents d on d.tenant = $1 and d.collection = $2 and d.document = c.document
where c.tenant = $1 and c.collection = $2 and c.chunk = any($3::bigint[])
"""
