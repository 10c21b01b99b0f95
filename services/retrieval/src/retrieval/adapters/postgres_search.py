"""Finding candidates in PostgreSQL: vectors by inner product, terms by BM25, both scores for every candidate."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from pgvector import SparseVector

from retrieval.adapters.postgres_candidates import Wanted, best_of_each, every_chunk, first_look, nearest
from retrieval.adapters.postgres_rows import DIMENSIONS, passage_of, term_id
from retrieval.domain import lexical
from retrieval.domain.model import Found, Probe, Ranked, Scope, Scores
from retrieval.domain.ports import Rank

EXACT_ROWS = 5_000
"""Vectors that are compared one by one rather than through HNSW: a graph search under a narrow filter loses recall."""
EXACT_SHARE = 0.05
EXACT_MOST = 50_000
"""Where the scope is less than EXACT_SHARE of the table it is compared one by one up to EXACT_MOST rows (some 50 ms)."""
COMPARED_MOST = 200_000
"""Chunks of a collection up to which the scope is compared one by one when the graph's first look meets too few of it."""
VIEW_A_CANDIDATE = 4
VIEW_A_CANDIDATE_FILTERED = 8
"""Neighbours that a search of the graph keeps in view for each candidate wanted, at least; more where a filter passes a part."""
VIEW_OF_LARGE = 400
"""Neighbours up to which the view grows with the collection, one for 200 of its chunks."""
VIEW_MOST = 1_000
"""Neighbours in view at most: pgvector's limit of hnsw.ef_search."""
TRUSTED = 1 / 2
"""The near part of what the graph keeps in view, in which all chunks that a filter wants have to be: the far part is incomplete."""
POSTINGS = 20_000
"""Postings of the rarest terms that are read to find lexical candidates. Commoner terms only count in the full score, unless
these terms bring fewer candidates than are wanted."""


@dataclass(frozen=True, slots=True)
class Statistics:
    """Sizes behind one search: chunks of the collection and about how many of all tenants' collections, in how many chunks of the
    collection each known query term is, how many documents it has, and how many vectors the graph will keep in view."""

    chunks: int
    all_chunks: int
    frequencies: Mapping[int, int]
    documents: int = 0
    view: int = 0

    def rarities(self) -> dict[int, float]:
        """The idf of each known term."""
        return {term: lexical.rarity(self.chunks, count) for term, count in self.frequencies.items()}

    def documents_of(self, chunks: int) -> int:
        """How many documents have about so many chunks: counted first, as counting chunks costs as much as scoring them."""
        return max(1, chunks * self.documents // max(self.chunks, 1))

    def exact_most(self) -> int:
        """The most vectors in scope that are compared one by one: the graph is over all tenants' vectors."""
        return min(EXACT_MOST, max(EXACT_ROWS, int(EXACT_SHARE * self.all_chunks)))

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
    statistics = await _statistics(connection, scope, list(ids), probe.candidates)
    if not statistics.chunks:
        return Found()
    rarities = statistics.rarities()
    found = await _candidates(connection, scope, probe, statistics, rarities)
    dense = _column(found, "dense") if probe.vector is not None else None
    bm25 = _column(found, "lexical") if probe.terms else None
    ranked = rank(dense, bm25) if found else []
    passages = await _passages(connection, scope, [row["chunk"] for row in found], ranked, dense, bm25)
    return Found(tuple(passages), {ids[term]: value for term, value in rarities.items()})


async def _candidates(
    connection: Any, scope: Scope, probe: Probe, statistics: Statistics, rarities: Mapping[int, float]
) -> Sequence[Any]:
    """Chunks in scope with both scores. A filter of few chunks is scored whole."""
    wanted = Wanted(probe.vector is not None, bool(rarities), len(scope.filters), probe.candidates)
    keys, values = list(scope.filters), list(scope.filters.values())
    sparse = SparseVector(dict(rarities), DIMENSIONS)

    def led_by(leading: list[int]) -> tuple[Any, ...]:
        weights = [rarities[term] for term in leading]
        return (scope.tenant, scope.collection, probe.vector, leading, sparse, keys, values, weights)

    leading = statistics.leading_terms()
    given = led_by(leading)
    if scope.filters:
        scored = await connection.fetch(
            every_chunk(wanted, EXACT_ROWS, statistics.documents_of(EXACT_ROWS)), *given, None
        )
        if scored[0]["fits"]:
            return [row for row in scored if row["chunk"] is not None]
    near = await _nearest(connection, wanted, statistics, given) if wanted.dense else []
    found: Sequence[Any] = await connection.fetch(best_of_each(wanted), *given, near)
    if len(leading) < len(rarities) and sum(row["led"] for row in found) < wanted.candidates:
        found = await connection.fetch(best_of_each(wanted), *led_by(list(rarities)), near)
    return found


async def _nearest(connection: Any, wanted: Wanted, statistics: Statistics, given: tuple[Any, ...]) -> list[int]:
    """The nearest chunks in scope. What the graph keeps in view is around the question. Where the scope lies elsewhere,
    a search that goes on through the graph meets enough chunks, but not the nearest."""

    async def chunks(*, exact: bool) -> list[int]:
        return [row["chunk"] for row in await connection.fetch(nearest(wanted, exact=exact), *given, None)]

    if statistics.chunks <= statistics.exact_most():
        return await chunks(exact=True)
    view = await connection.fetch(first_look(wanted, statistics.view), *given, None)
    trusted = int(len(view) * TRUSTED) if wanted.filters else len(view)
    near = [row["chunk"] for row in view[:trusted] if row["carried"]]
    if len(near) >= wanted.candidates:
        return near[: wanted.candidates]
    if statistics.chunks > COMPARED_MOST:
        await connection.execute(_GO_ON)
        met = await chunks(exact=False)
        if len(met) == wanted.candidates:
            return met
    return await chunks(exact=True)


async def _statistics(connection: Any, scope: Scope, terms: list[int], candidates: int) -> Statistics:
    least = candidates * (VIEW_A_CANDIDATE_FILTERED if scope.filters else VIEW_A_CANDIDATE)
    given = (scope.tenant, scope.collection, terms, least, VIEW_OF_LARGE, VIEW_MOST)
    rows = await connection.fetch(_STATISTICS, *given)
    if not rows:
        return Statistics(0, 0, {})
    frequencies = {row["term"]: row["frequency"] for row in rows if row["frequency"]}
    return Statistics(rows[0]["chunks"], rows[0]["all_chunks"], frequencies, rows[0]["documents"], int(rows[0]["view"]))


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


# The graph is searched wider in a large collection, where it misses more.
_STATISTICS = """
select c.chunks, c.documents, (select reltuples from pg_class where oid = 'embeddings'::regclass)::bigint as all_chunks,
       t.term, t.frequency,
       set_config('hnsw.ef_search',
         least($6::bigint, greatest($4::bigint, least($5::bigint, c.chunks / 200)))::text, true) as view
from collections c
left join terms t on t.tenant = $1 and t.collection = $2 and t.term = any($3::integer[])
where c.tenant = $1 and c.collection = $2
"""

_GO_ON = "select set_config('hnsw.iterative_scan', 'strict_order', true)"

_PASSAGES = """
select c.chunk, c.document, c.position, c.heading, c.content, c.line_start, c.line_end,
       d.source, d.title, d.metadata::text
from chunks c join documents d on d.tenant = $1 and d.collection = $2 and d.document = c.document
where c.tenant = $1 and c.collection = $2 and c.chunk = any($3::bigint[])
"""
