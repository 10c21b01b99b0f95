"""Search under filters that 1 %, 10 % and 50 % of 50,000 chunks carry: latency, and recall against an exact search. The label is
independent of the topic, or follows it and the question is about another topic (1 %, 10 %, 25 % and 50 %).

    python -m bench.edge.filtered_search [--chunks N]

Alone it starts a PostgreSQL of its own; as a probe of `make chaos-edge` it uses the running platform's, in a tenant of its own.
Documents, vectors and questions are generated (tests/fakes/retrieval_corpus.py): the figures are of the store, not of an embedder.
"""

import argparse
import asyncio
import itertools
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from bench.edge.model import Figure
from bench.edge.platform import Platform
from chassis.postgres.migrations import migrate
from chassis.postgres.pool import PoolLimits, PostgresPool
from cli.machine.engines import postgres as engine
from retrieval.adapters import postgres_search
from retrieval.adapters.postgres_documents import PostgresDocuments
from retrieval.adapters.postgres_schema import DOCUMENTS
from retrieval.domain.fusion import ranking
from retrieval.domain.model import Mode, Passage, Scope
from tests.engines import RunningPostgres, free_ports, running
from tests.fakes.retrieval_corpus import BY_TOPIC, SELECTIVITIES, Corpus, Question, about_others, hits

CHUNKS, CHUNKS_A_DOCUMENT, QUESTIONS = 50_000, 5, 200
EXACT_QUESTIONS = 30
MOST_MS, LEAST_RECALL = 60.0, 0.99
EVERY_CHUNK = 1_000_000_000
"""More than any collection of this bench has."""
TENANT, COLLECTION = "bench", "filtered"
LIMITS = PoolLimits(connections=1, transaction_s=600.0)


async def measure(platform: Platform, chunks: int = CHUNKS) -> list[Figure]:
    """A figure a mode and share. What was stored is removed again."""
    password = (platform.state / "keys" / engine.PASSWORD_FILE).read_text().strip()
    url = f"postgresql://{engine.ROLE}:{password}@127.0.0.1:{platform.ports['postgres']}/{engine.DATABASE}"
    pool = PostgresPool(DOCUMENTS, url, limits=LIMITS)
    await pool.open()
    try:
        return await _measured(pool, chunks)
    finally:
        async with pool.transaction(TENANT, 600.0, limit_s=600.0) as connection:
            for table in ("documents", "labels", "chunks", "embeddings", "postings", "terms", "collections"):
                await connection.execute(f"delete from {table} where tenant = $1", TENANT)
        await pool.close()


async def _measured(pool: PostgresPool, chunks: int) -> list[Figure]:
    store, corpus = PostgresDocuments(pool), Corpus()
    await fill(store, corpus, chunks)
    questions = corpus.questions(QUESTIONS)
    figures: list[Figure] = []
    for share, filters in SELECTIVITIES.items():
        figures += [await _figure(store, questions, mode, filters, f"of {share} of {chunks:,}") for mode in Mode]
    for share, filters in BY_TOPIC.items():
        others = about_others(questions, filters)
        what = f"on other topics than the question's, {share} of {chunks:,}"
        figures += [await _figure(store, others, mode, filters, what) for mode in Mode]
    return figures


async def fill(store: PostgresDocuments, corpus: Corpus, chunks: int) -> None:
    """Stores so many chunks of it."""
    documents = corpus.documents(chunks, CHUNKS_A_DOCUMENT)
    while some := list(itertools.islice(documents, 200)):
        await store.replace(TENANT, COLLECTION, some, 1, 600.0)


async def searched(
    store: PostgresDocuments, questions: list[Question], mode: Mode, filters: dict[str, str], exact: int
) -> tuple[list[float], float]:
    """Milliseconds of each search, and the recall of the first `exact` of them against comparing every chunk in scope."""
    took_ms: list[float] = []
    answers: list[tuple[Passage, ...]] = []
    for question in questions:
        started = time.perf_counter()
        answers.append(await _found(store, question, mode, filters))
        took_ms.append((time.perf_counter() - started) * 1e3)
    return took_ms, await _recall(store, questions[:exact], answers, mode, filters)


async def _figure(
    store: PostgresDocuments, questions: list[Question], mode: Mode, filters: dict[str, str], what: str
) -> Figure:
    took_ms, recall = await searched(store, questions, mode, filters, EXACT_QUESTIONS)
    middle, high = float(np.median(took_ms)), float(np.quantile(took_ms, 0.99))
    return Figure(
        f"{mode} search under a filter {what} generated chunks",
        f"p50 {middle:.1f} ms, p99 {high:.1f} ms, recall {recall:.3f}",
        f"p99 ≤ {MOST_MS:.0f} ms, recall ≥ {LEAST_RECALL}",
        high <= MOST_MS and recall >= LEAST_RECALL,
    )


async def _found(
    store: PostgresDocuments, question: Question, mode: Mode, filters: dict[str, str]
) -> tuple[Passage, ...]:
    scope = Scope(TENANT, COLLECTION, filters)
    return (await store.search(scope, question.probe(mode), ranking(10, 0.5), 600.0)).passages


async def _recall(
    store: PostgresDocuments,
    questions: list[Question],
    answers: list[tuple[Passage, ...]],
    mode: Mode,
    filters: dict[str, str],
) -> float:
    """Against the same store made to score every chunk that carries the filter."""
    usual = postgres_search.EXACT_ROWS
    postgres_search.EXACT_ROWS = EVERY_CHUNK
    try:
        exact = [await _found(store, question, mode, filters) for question in questions]
    finally:
        postgres_search.EXACT_ROWS = usual
    found = sum(hits(answer, wanted) for answer, wanted in zip(answers, exact, strict=False))
    return found / max(sum(map(len, exact)), 1)


async def _alone(url: str, chunks: int) -> list[Figure]:
    pool = PostgresPool(DOCUMENTS, url, limits=LIMITS)
    await pool.open()
    await migrate(pool)
    try:
        return await _measured(pool, chunks)
    finally:
        await pool.close()


def main() -> int:
    """0 when every figure keeps its bound."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--chunks", type=int, default=CHUNKS, help="generated chunks")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="mizzen-bench-", dir="/tmp") as name:
        directory = Path(name)
        directory.chmod(0o755)
        home = engine.prepare(directory / "postgres", directory / "keys", durable=False)
        spec = engine.spec(home, free_ports(1)[0], durable=False)
        with running(RunningPostgres(spec, directory / "postgres.log", home=home)) as server:
            figures = asyncio.run(_alone(server.create_database(), options.chunks))
    for figure in figures:
        mark = "" if figure.met else "   MISSED"
        print(f"{figure.promise}: {figure.figure} (bound: {figure.bound}){mark}")
    return 0 if all(figure.met for figure in figures) else 1


if __name__ == "__main__":
    sys.exit(main())
