"""Retrieval quality on SciFact with the real engines: nDCG@10 of each mode, and what a search costs.

    python -m bench.retrieval_quality --data DIR [--documents N] [--json FILE]

DIR holds scifact/{corpus.jsonl, queries.jsonl, qrels.tsv}. N abstracts are indexed, all judged ones among them (0: the
whole corpus; embedding takes about 15 a second on two cores). Exits 1 when hybrid misses .70 or is below dense or words.
"""

import argparse
import asyncio
import json
import math
import os
import statistics
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path

from chassis.clock import SystemClock
from chassis.postgres.migrations import migrate
from chassis.postgres.pool import PoolLimits, PostgresPool
from chassis.rpc.channel import Channel, StaticAddresses
from cli.machine.engines import postgres as postgres_engine
from inference import minilm
from retrieval.adapters.postgres_documents import PostgresDocuments
from retrieval.adapters.postgres_schema import DOCUMENTS
from retrieval.adapters.snowball_analyzer import SnowballAnalyzer
from retrieval.adapters.splitter_chunker import SplitterChunker
from retrieval.adapters.triton_embedder import TritonEmbedder
from retrieval.domain.ingest import Ingesting
from retrieval.domain.model import Collection, DocumentInput, Mode, Search
from retrieval.domain.search import EmbedLimits, Searching
from tests.engines import RunningPostgres, free_ports, running, triton_serving, triton_venv

MUST = 0.70
COLLECTION = Collection("scifact", max_characters=8000, overlap_characters=0)


class OneCollection:
    """The collection under test."""

    def find(self, name: str) -> Collection | None:
        return COLLECTION if name == COLLECTION.name else None

    def names(self) -> Sequence[str]:
        return [COLLECTION.name]


def ndcg(found: Sequence[str], relevant: Mapping[str, int], depth: int = 10) -> float:
    """Normalised discounted cumulative gain of the first `depth`, 0 to 1."""
    gain = sum(relevant.get(name, 0) / math.log2(rank + 2) for rank, name in enumerate(found[:depth]))
    return gain / sum(1 / math.log2(rank + 2) for rank in range(min(depth, len(relevant))))


def read(data: Path, count: int) -> tuple[list[DocumentInput], dict[str, str], dict[str, dict[str, int]]]:
    """Documents (all judged ones first), questions by id, judgements by question."""
    judged: dict[str, dict[str, int]] = defaultdict(dict)
    for line in (data / "qrels.tsv").read_text().splitlines()[1:]:
        query, document, grade = line.split("\t")
        judged[query][document] = int(grade)
    wanted = {document for found in judged.values() for document in found}
    rows = [json.loads(line) for line in (data / "corpus.jsonl").read_text().splitlines()]
    rows.sort(key=lambda row: row["_id"] not in wanted)
    documents = [DocumentInput(row["_id"], row["text"], "text/plain", row["title"]) for row in rows[: count or None]]
    queries = [json.loads(line) for line in (data / "queries.jsonl").read_text().splitlines()]
    return documents, {row["_id"]: row["text"] for row in queries if row["_id"] in judged}, judged


async def measure(url: str, triton: str, data: Path, count: int) -> dict[str, dict[str, float]]:
    """Scores and times by mode."""
    documents, queries, judged = read(data, count)
    clock, analyzer, collections = SystemClock(), SnowballAnalyzer(), OneCollection()
    pool, channel = (
        PostgresPool(DOCUMENTS, url, limits=PoolLimits(transaction_s=30.0)),
        Channel("minilm", StaticAddresses(triton)),
    )
    await pool.open()
    await migrate(pool)
    await channel.ready(60)
    store, embedder = PostgresDocuments(pool), TritonEmbedder(lambda name: channel)
    ingesting = Ingesting(store, embedder, SplitterChunker(), analyzer, collections, clock)
    searching = Searching(store, embedder, analyzer, collections, clock, EmbedLimits(30.0))
    for start in range(0, len(documents), 64):
        await ingesting.upsert("t", COLLECTION.name, documents[start : start + 64], clock.monotonic_s() + 600)
        print(f"\r{min(start + 64, len(documents))} of {len(documents)} indexed", end="", file=sys.stderr, flush=True)
    results: dict[str, dict[str, float]] = {}
    for mode in Mode:
        scores, took = [], []
        for name, text in queries.items():
            search = Search("t", COLLECTION.name, text, clock.monotonic_s() + 60, mode=mode)
            outcome = await searching.search(search)
            assert not outcome.degraded_reason
            scores.append(ndcg([passage.document_id for passage in outcome.passages], judged[name]))
            took.append(outcome.timings_ms["search"])
        results[mode.value] = {"ndcg_at_10": statistics.mean(scores), "search_p50_ms": statistics.median(took)}
    await pool.close()
    await channel.close()
    return results | {"size": {"documents": len(documents), "queries": len(queries)}}


def main() -> int:
    """Starts the engines, measures, prints, writes."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--data", type=Path, default=os.environ.get("MIZZEN_TEST_DATA"))
    parser.add_argument("--documents", type=int, default=1000)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    if options.data is None:
        parser.error("--data or MIZZEN_TEST_DATA names the directory that holds scifact/")
    started = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="mizzen-bench-", dir="/tmp") as name, ExitStack() as stack:
        directory = Path(name)
        directory.chmod(0o755)
        home = postgres_engine.prepare(directory / "postgres", directory / "keys")
        spec = postgres_engine.spec(home, free_ports(1)[0])
        postgres = stack.enter_context(running(RunningPostgres(spec, directory / "postgres.log", home=home)))
        package = directory / "models" / minilm.NAME
        package /= minilm.write_minilm_package(triton_venv(), directory / "models")
        triton = stack.enter_context(triton_serving([package], directory / "triton"))
        url = postgres.create_database()
        results = asyncio.run(measure(url, triton.grpc_address, options.data / "scifact", options.documents))
    size = results.pop("size")
    print(f"\n{size['documents']:.0f} documents, {size['queries']:.0f} questions, {time.monotonic() - started:.0f} s")
    for mode, values in results.items():
        print(f"{mode:8} nDCG@10 {values['ndcg_at_10']:.3f}   search p50 {values['search_p50_ms']:.1f} ms")
    if options.json:
        options.json.parent.mkdir(parents=True, exist_ok=True)
        options.json.write_text(json.dumps(results | {"size": size}, indent=1) + "\n")
    best = results["hybrid"]["ndcg_at_10"]
    return 0 if best >= max(MUST, results["dense"]["ndcg_at_10"], results["lexical"]["ndcg_at_10"]) else 1


if __name__ == "__main__":
    sys.exit(main())
