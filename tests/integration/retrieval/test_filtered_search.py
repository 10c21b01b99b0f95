"""Filtered search on PostgreSQL: what it finds against an exact search, and what it costs against a search without a filter."""

import asyncio
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from statistics import median

import pytest

from chassis.postgres.migrations import migrate
from chassis.postgres.pool import PoolLimits, PostgresPool
from retrieval.adapters import postgres_search
from retrieval.adapters.postgres_candidates import Wanted, nearest
from retrieval.adapters.postgres_documents import PostgresDocuments
from retrieval.adapters.postgres_schema import DOCUMENTS
from retrieval.domain.fusion import ranking
from retrieval.domain.model import IndexedDocument, Mode, Passage, Scope
from retrieval.domain.ports import DocumentStore
from tests.fakes.retrieval import MemoryDocuments
from tests.fakes.retrieval_corpus import BY_TOPIC, FILTERS, SELECTIVITIES, Corpus, Question, about_others, hits

CHUNKS = 4_000
QUESTIONS = 12
"""More than five: from the sixth execution on PostgreSQL would take a plan for any values."""
COMMON = "word0"
"""The generated word that most chunks have."""

LIMITS = PoolLimits(connections=1, transaction_s=30.0)


@dataclass(frozen=True, slots=True)
class Filled:
    """A filled database, the same documents in memory, and questions about them."""

    url: str
    exact: MemoryDocuments
    questions: list[Question]
    outside: list[str]
    """Words that only chunks without the filter of 50 % have."""


@pytest.fixture(scope="module")
def filled(postgres_module: str) -> Filled:
    corpus, exact = Corpus(), MemoryDocuments()
    documents = list(corpus.documents(CHUNKS, 2))

    async def fill() -> None:
        pool = PostgresPool(DOCUMENTS, postgres_module, limits=LIMITS)
        await pool.open()
        await migrate(pool)
        async with pool.transaction("", 5.0) as connection:
            for table in ("collections", "documents", "labels", "chunks", "embeddings", "postings", "terms"):
                # A search right after a first ingest must not wait for autovacuum to come by.
                await connection.execute(f"alter table {table} set (autovacuum_enabled = off)")
        for at in range(0, len(documents), 500):
            await PostgresDocuments(pool).replace("acme", "c", documents[at : at + 500], 1, 60.0)
        await exact.replace("acme", "c", documents, 1, 60.0)
        await pool.close()

    asyncio.run(fill())
    words: dict[bool, set[str]] = {True: set(), False: set()}
    for item in documents:
        carries = SELECTIVITIES["50 %"].items() <= dict(item.document.metadata).items()
        words[carries].update(*(chunk.terms for chunk in item.chunks))
    return Filled(postgres_module, exact, corpus.questions(QUESTIONS), sorted(words[False] - words[True])[:QUESTIONS])


@pytest.fixture
async def pool(filled: Filled) -> AsyncIterator[PostgresPool]:
    pool = PostgresPool(DOCUMENTS, filled.url, limits=LIMITS)
    await pool.open()
    yield pool
    await pool.close()


@pytest.fixture
def store(pool: PostgresPool) -> PostgresDocuments:
    return PostgresDocuments(pool)


async def found(
    store: DocumentStore,
    question: Question,
    mode: Mode,
    filters: dict[str, str],
    dense_weight: float = 0.5,
    tenant: str = "acme",
) -> tuple[Passage, ...]:
    rank = ranking(10, dense_weight)
    return (await store.search(Scope(tenant, "c", filters), question.probe(mode), rank, 30.0)).passages


async def recall(
    filled: Filled,
    store: DocumentStore,
    questions: list[Question],
    mode: Mode,
    filters: dict[str, str],
    dense_weight: float = 0.5,
    tenant: str = "acme",
) -> float:
    """The share of what an exact search finds that the store finds."""
    right = wanted = 0
    for question in questions:
        exact = await found(filled.exact, question, mode, filters, dense_weight, tenant)
        right += hits(await found(store, question, mode, filters, dense_weight, tenant), exact)
        wanted += len(exact)
    assert wanted
    return right / wanted


@pytest.mark.parametrize("exact_rows", [postgres_search.EXACT_ROWS, 20], ids=["counted", "graph"])
@pytest.mark.parametrize("mode", list(Mode))
@pytest.mark.parametrize("share", list(FILTERS))
async def test_a_filter_loses_nothing(
    filled: Filled, store: PostgresDocuments, share: str, mode: Mode, exact_rows: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(postgres_search, "EXACT_ROWS", exact_rows)
    monkeypatch.setattr(postgres_search, "EXACT_SHARE", 0.0)
    questions = about_others(filled.questions, FILTERS[share])
    assert len(questions) > 2
    assert await recall(filled, store, questions, mode, FILTERS[share]) >= 0.99


@pytest.mark.parametrize("mode", [Mode.DENSE, Mode.HYBRID])
@pytest.mark.parametrize("share", list(FILTERS))
async def test_a_collection_too_large_to_compare_goes_on_through_the_graph(
    filled: Filled, store: PostgresDocuments, share: str, mode: Mode, monkeypatch: pytest.MonkeyPatch
) -> None:
    compared: list[bool] = []

    def spied(wanted: Wanted, *, exact: bool) -> str:
        compared.append(exact)
        return nearest(wanted, exact=exact)

    monkeypatch.setattr(postgres_search, "nearest", spied)
    for name in ("EXACT_ROWS", "EXACT_SHARE", "COMPARED_MOST"):
        monkeypatch.setattr(postgres_search, name, 0)
    questions = about_others(filled.questions, FILTERS[share])
    assert await recall(filled, store, questions, mode, FILTERS[share]) >= 0.99
    # Where half of so few chunks carry the filter, and where they lie near the question, the first look is enough.
    enough = FILTERS[share] not in BY_TOPIC.values() or FILTERS[share] == BY_TOPIC["50 %"]
    assert enough or False in compared


@pytest.mark.parametrize("mode", list(Mode))
@pytest.mark.parametrize("kind", ["small", "huge"])
async def test_documents_of_very_different_sizes_lose_nothing(
    filled: Filled, pool: PostgresPool, kind: str, mode: Mode, monkeypatch: pytest.MonkeyPatch
) -> None:
    """How many documents have EXACT_ROWS chunks is judged by the collection's average: here it is wrong both ways."""
    monkeypatch.setattr(postgres_search, "EXACT_ROWS", 500)
    monkeypatch.setattr(postgres_search, "EXACT_SHARE", 0.0)
    exact, corpus = MemoryDocuments(), Corpus(seed=3)
    documents = [named(item, "huge") for item in corpus.documents(1_500, 1_500)]
    documents += [named(item, "small") for item in corpus.documents(300, 1)]
    for each in (exact, PostgresDocuments(pool)):
        await each.replace("skewed", "c", documents, 1, 60.0)
    skewed = Filled(filled.url, exact, corpus.questions(QUESTIONS), [])
    assert (
        await recall(skewed, PostgresDocuments(pool), skewed.questions, mode, {"kind": kind}, tenant="skewed") >= 0.99
    )


def named(item: IndexedDocument, kind: str) -> IndexedDocument:
    """The document with that label and a name of its own."""
    return replace(item, document=replace(item.document, id=f"{kind}-{item.document.id}", metadata={"kind": kind}))


@pytest.mark.parametrize("mode", [Mode.LEXICAL, Mode.HYBRID])
@pytest.mark.parametrize("filters", [{}, SELECTIVITIES["50 %"]], ids=["unfiltered", "50 %"])
async def test_a_rare_word_outside_of_the_scope_hides_no_common_one(
    filled: Filled, store: PostgresDocuments, filters: dict[str, str], mode: Mode, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The rare word leads, and has fewer chunks in scope than are wanted; the common word has hundreds."""
    monkeypatch.setattr(postgres_search, "EXACT_ROWS", 20)
    monkeypatch.setattr(postgres_search, "EXACT_SHARE", 0.0)
    monkeypatch.setattr(postgres_search, "POSTINGS", 100)
    questions = [
        Question(each.vector, (rare, COMMON), each.topic)
        for each, rare in zip(filled.questions, filled.outside, strict=True)
    ]
    assert len(await found(store, questions[0], mode, filters)) == 10
    assert await recall(filled, store, questions, mode, filters, dense_weight=0.05) >= 0.99


@pytest.mark.parametrize("mode", list(Mode))
async def test_a_filter_costs_no_more_than_a_few_searches_without_one(
    filled: Filled, store: PostgresDocuments, mode: Mode
) -> None:
    took_s: dict[str, list[float]] = {}
    for share, filters in {"none": {}, **SELECTIVITIES}.items():
        for question in filled.questions * 2:
            started = time.perf_counter()
            await found(store, question, mode, filters)
            took_s.setdefault(share, []).append(time.perf_counter() - started)
    for share in SELECTIVITIES:
        assert median(took_s[share]) < 10 * median(took_s["none"]) + 0.02, share
