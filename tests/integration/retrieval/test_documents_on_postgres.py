"""What only PostgreSQL can show: row-level security, faults, killed writers, migrations."""

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg
import pytest

from chassis.errors import DeadlineExceeded, FailedPrecondition, MizzenError, ResourceExhausted, Unavailable
from chassis.postgres import migrations as postgres_migrations
from chassis.postgres.migrations import Migration, migrate, shipped
from chassis.postgres.pool import PoolLimits, PostgresPool
from retrieval.adapters.postgres_documents import PostgresDocuments
from retrieval.adapters.postgres_schema import DOCUMENTS
from retrieval.domain.fusion import ranking
from retrieval.domain.model import (
    Chunk,
    DocumentInput,
    EmbeddingModel,
    IndexedChunk,
    IndexedDocument,
    Probe,
    Scope,
)
from tests.engines import RunningPostgres
from tests.fakes.retrieval import FakeEmbedder

TABLES = ("collections", "documents", "labels", "chunks", "embeddings", "postings", "terms")
LIMITS = PoolLimits(connections=4, waiting=4, connect_s=0.5, transaction_s=0.5)


@pytest.fixture
async def pool(postgres: str) -> AsyncIterator[PostgresPool]:
    pool = PostgresPool(DOCUMENTS, postgres)
    await pool.open()
    await migrate(pool)
    yield pool
    await pool.close()


@pytest.fixture
async def impatient(pool: PostgresPool, postgres: str) -> AsyncIterator[PostgresPool]:
    """A second pool with short limits."""
    impatient = PostgresPool(DOCUMENTS, postgres, limits=LIMITS)
    await impatient.open()
    yield impatient
    await impatient.close()


async def indexed(name: str, chunks: int = 1, **metadata: str) -> IndexedDocument:
    texts = [f"document {name} holds chunk number {i}" for i in range(chunks)]
    vectors = await FakeEmbedder().embed(EmbeddingModel(), texts, 1.0)
    pieces = tuple(
        IndexedChunk(Chunk(i, "", text, i + 1, i + 1), vectors[i], Counter(text.split()))
        for i, text in enumerate(texts)
    )
    return IndexedDocument(DocumentInput(name, "\n".join(texts), metadata=metadata), "digest", "fingerprint", pieces)


async def search(store: PostgresDocuments, timeout_s: float, tenant: str = "acme") -> int:
    found = await store.search(Scope(tenant, "c"), Probe(None, ("document",), 10), ranking(10, 0.5), timeout_s)
    return len(found.passages)


async def until_answered(store: PostgresDocuments, within_s: float) -> float:
    """Seconds until a search is answered again."""
    started = time.monotonic()
    while True:
        try:
            await search(store, 1.0)
            return time.monotonic() - started
        except MizzenError:
            assert time.monotonic() - started < within_s
            await asyncio.sleep(0.02)


async def test_row_level_security_hides_other_tenants_without_any_where(pool: PostgresPool) -> None:
    store = PostgresDocuments(pool)
    for tenant in ("acme", "bolt"):
        await store.replace(tenant, "c", [await indexed("d", 2, team=tenant)], 1, 5.0)
    for tenant, seen in (("acme", {"acme"}), ("bolt", {"bolt"}), ("", set())):
        async with pool.transaction(tenant, 5.0) as connection:
            for table in TABLES:
                assert {row["tenant"] for row in await connection.fetch(f"select tenant from {table}")} == seen, table


async def test_row_level_security_refuses_writes_for_another_tenant(pool: PostgresPool) -> None:
    store = PostgresDocuments(pool)
    await store.replace("bolt", "c", [await indexed("d")], 1, 5.0)
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        async with pool.transaction("acme", 5.0) as connection:
            await connection.execute("insert into collections (tenant, collection) values ('bolt', 'x')")
    async with pool.transaction("acme", 5.0) as connection:
        for table in TABLES:
            assert await connection.execute(f"delete from {table}") == "DELETE 0"
            assert await connection.execute(f"update {table} set collection = 'stolen'") == "UPDATE 0"
    assert await search(store, 5.0, "bolt") == 1


async def test_the_role_is_no_superuser_and_settings_end_with_the_transaction(
    pool: PostgresPool, postgres: str
) -> None:
    async with pool.transaction("acme", 5.0) as connection:
        assert not await connection.fetchval(
            "select rolsuper or rolbypassrls from pg_roles where rolname = current_user"
        )
    connection = await asyncpg.connect(postgres)
    rows = await connection.fetch("select relname from pg_class where relforcerowsecurity and relrowsecurity")
    await connection.close()
    assert {row["relname"] for row in rows} >= set(TABLES)
    async with pool.transaction("", 5.0) as connection:
        assert await connection.fetchval("select current_setting('mizzen.tenant')") == ""


async def test_an_index_serves_each_search_under_row_level_security(pool: PostgresPool) -> None:
    store = PostgresDocuments(pool)
    await store.replace("acme", "c", [await indexed(f"d{i}", 4, team=f"t{i % 50}") for i in range(200)], 1, 30.0)
    async with pool.transaction("acme", 5.0) as connection:
        await connection.execute("analyze")
        await connection.execute("set local enable_seqscan = off")
        plans = {
            table: "\n".join(
                row[0]
                for row in await connection.fetch(f"explain select 1 from {table} where tenant = 'acme' and {where}")
            )
            for table, where in {
                "postings": "collection = 'c' and term = any(array[1, 2])",
                "labels": "collection = 'c' and key = 'team' and value = 't7'",
                "embeddings": "collection = 'c' and document = any(array['d1', 'd2'])",
            }.items()
        }
    for table, column in (("postings", "term"), ("labels", "value"), ("embeddings", "document")):
        condition = next(line for line in plans[table].splitlines() if "Index Cond" in line)
        assert column in condition, plans[table]


async def test_the_graph_finds_what_an_exact_scan_finds(pool: PostgresPool, monkeypatch: pytest.MonkeyPatch) -> None:
    store = PostgresDocuments(pool)
    await store.replace("acme", "c", [await indexed(f"d{i}", 4) for i in range(150)], 1, 30.0)
    await store.replace("bolt", "c", [await indexed(f"e{i}", 4) for i in range(150)], 1, 30.0)
    vector = (await FakeEmbedder().embed(EmbeddingModel(), ["document d7 holds chunk number 3"], 1.0))[0]
    found = {}
    for name, rows, share in (("exact", 10_000, 1.0), ("graph", 0, 0.0)):
        monkeypatch.setattr("retrieval.adapters.postgres_search.EXACT_ROWS", rows)
        monkeypatch.setattr("retrieval.adapters.postgres_search.EXACT_SHARE", share)
        outcome = await store.search(Scope("acme", "c"), Probe(vector, (), 40), ranking(10, 1.0), 5.0)
        found[name] = [round(passage.dense_score, 5) for passage in outcome.passages]
    assert found["graph"] == found["exact"]
    assert found["exact"][0] == pytest.approx(1.0, abs=1e-4)


async def test_a_killed_server_is_unavailable_at_once_and_used_again_when_back(
    pool: PostgresPool, postgres_server: RunningPostgres
) -> None:
    store = PostgresDocuments(pool)
    await store.replace("acme", "c", [await indexed("d")], 1, 5.0)
    postgres_server.kill()
    try:
        for _ in range(8):
            started = time.monotonic()
            with pytest.raises(Unavailable) as caught:
                await search(store, 5.0)
            assert time.monotonic() - started < 1.0
            assert caught.value.retry_after_s
        with pytest.raises(Unavailable):
            await store.replace("acme", "c", [await indexed("x")], 1, 5.0)
    finally:
        postgres_server.start()
    await until_answered(store, 5.0)
    assert await search(store, 5.0) == 1


async def test_a_stalled_server_is_no_worse_than_a_killed_one(
    pool: PostgresPool, impatient: PostgresPool, postgres_server: RunningPostgres
) -> None:
    store = PostgresDocuments(pool)
    await store.replace("acme", "c", [await indexed("d")], 1, 5.0)
    store = PostgresDocuments(impatient)
    postgres_server.pause()
    try:
        for timeout_s, kind in ((0.2, DeadlineExceeded), (5.0, Unavailable)):
            started = time.monotonic()
            answers = await asyncio.gather(*(search(store, timeout_s) for _ in range(8)), return_exceptions=True)
            assert time.monotonic() - started < min(timeout_s, LIMITS.transaction_s) + 1.0
            assert {type(answer) for answer in answers} == {kind}
        many = await asyncio.gather(*(search(store, 0.3) for _ in range(20)), return_exceptions=True)
        assert {type(answer) for answer in many} == {DeadlineExceeded, ResourceExhausted}
    finally:
        postgres_server.resume()
    assert await until_answered(store, 5.0) < 3.0
    assert await search(store, 5.0) == 1


async def test_a_cancelled_caller_gives_its_connection_back(pool: PostgresPool) -> None:
    store = PostgresDocuments(pool)
    await store.replace("acme", "c", [await indexed("d")], 1, 5.0)
    for delay_s in (0.0, 0.001, 0.002, 0.004) * 10:
        task = asyncio.create_task(search(store, 5.0))
        await asyncio.sleep(delay_s)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    assert await asyncio.gather(*(search(store, 5.0) for _ in range(8))) == [1] * 8


async def test_writers_of_one_document_leave_one_whole_document(pool: PostgresPool) -> None:
    store = PostgresDocuments(pool)
    sizes = [3, 1, 5, 2]
    batches = [[await indexed("d", size), await indexed(f"own{n}")] for n, size in enumerate(sizes)]
    await asyncio.gather(*(store.replace("acme", "c", batch, 1, 10.0) for batch in batches))
    stored = (await store.find("acme", "c", ["d"], 5.0))["d"]
    assert stored.chunks in sizes
    counts = (await store.counts("acme", 5.0))["c"]
    assert (counts.documents, counts.chunks) == (5, stored.chunks + 4)
    await assert_consistent(pool)


WRITER = """
import asyncio, sys
sys.path.insert(0, {root!r})
from retrieval.adapters.postgres_documents import PostgresDocuments
from retrieval.adapters.postgres_schema import DOCUMENTS
from chassis.postgres.pool import PostgresPool
from tests.integration.retrieval.test_documents_on_postgres import indexed

async def main():
    pool = PostgresPool(DOCUMENTS, {url!r})
    await pool.open()
    store = PostgresDocuments(pool)
    for round in range(1000):
        for number in range(5):
            await store.replace("acme", "c", [await indexed(f"d{{number}}", 20 + round % 7)], round, 30.0)
            print(number, round, flush=True)

asyncio.run(main())
"""


async def test_a_killed_writer_leaves_no_half_document(pool: PostgresPool, postgres: str, tmp_path: Path) -> None:
    script = tmp_path / "writer.py"
    script.write_text(WRITER.format(root=str(Path(__file__).parents[3]), url=postgres))
    store = PostgresDocuments(pool)
    for delay_s in (0.05, 0.11, 0.17, 0.23, 0.31):
        writer = subprocess.Popen([sys.executable, str(script)], stdout=subprocess.PIPE, text=True)
        assert writer.stdout
        assert await asyncio.to_thread(writer.stdout.readline)
        await asyncio.sleep(delay_s)
        os.kill(writer.pid, signal.SIGKILL)
        acknowledged = {
            line.split()[0]: int(line.split()[1]) for line in writer.stdout.read().splitlines() if " " in line
        }
        writer.wait()
        writer.stdout.close()
        await assert_consistent(pool)
        stored = await store.find("acme", "c", [f"d{number}" for number in acknowledged], 5.0)
        assert all(stored[f"d{number}"].updated_at_us >= turn for number, turn in acknowledged.items())


async def assert_consistent(pool: PostgresPool) -> None:
    """Counts, chunks, vectors, postings and frequencies of a tenant agree with each other."""
    async with pool.transaction("acme", 5.0, readonly=True) as connection:
        documents = dict(await connection.fetch("select document, chunks from documents"))
        assert dict(await connection.fetch("select document, count(*) from chunks group by document")) == documents
        assert dict(await connection.fetch("select document, count(*) from embeddings group by document")) == documents
        counts = await connection.fetchrow("select documents, chunks, terms from collections")
        length = await connection.fetchval("select sum(length) from chunks")
        assert tuple(counts) == (len(documents), sum(documents.values()), length)
        frequencies = dict(await connection.fetch("select term, frequency from terms where frequency <> 0"))
        assert dict(await connection.fetch("select term, count(*) from postings group by term")) == frequencies
        orphans = "select count(*) from postings p where not exists (select 1 from chunks c where c.chunk = p.chunk)"
        assert await connection.fetchval(orphans) == 0


async def test_replicas_that_start_together_migrate_once(postgres: str) -> None:
    pools = [PostgresPool(DOCUMENTS, postgres) for _ in range(4)]
    try:
        await asyncio.gather(*(pool.open() for pool in pools))
        applied = await asyncio.gather(*(migrate(pool) for pool in pools))
        assert sorted(map(len, applied)) == [0, 0, 0, len(shipped(DOCUMENTS))]
        assert await migrate(pools[0]) == []
    finally:
        await asyncio.gather(*(pool.close() for pool in pools))


async def test_a_migration_that_fails_leaves_the_schema_as_it_was(
    pool: PostgresPool, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = [
        *shipped(DOCUMENTS),
        Migration(9998, "9998.sql", "create table half ()"),
        Migration(9999, "9999.sql", "select nonsense"),
    ]
    monkeypatch.setattr(postgres_migrations, "shipped", lambda _schema: broken)
    with pytest.raises(asyncpg.UndefinedColumnError):
        await migrate(pool)
    async with pool.transaction("", 5.0) as connection:
        assert await connection.fetchval("select to_regclass('half')") is None
    edited = [Migration(1, "0001.sql", "select 1")]
    monkeypatch.setattr(postgres_migrations, "shipped", lambda _schema: edited)
    with pytest.raises(FailedPrecondition, match=r"0001\.sql was changed"):
        await migrate(pool)


async def test_a_database_without_the_extension_says_what_is_missing(
    postgres: str, postgres_server: RunningPostgres
) -> None:
    from cli.machine.engines.postgres import run_sql

    run_sql(postgres_server.home, postgres_server.port, "drop extension vector", database=postgres.rsplit("/", 1)[1])
    pool = PostgresPool(DOCUMENTS, postgres)
    with pytest.raises(FailedPrecondition, match="create extension vector"):
        await pool.open()


async def test_nobody_answers_before_the_pool_is_open_or_with_a_wrong_password(postgres: str) -> None:
    pool = PostgresPool(DOCUMENTS, postgres, lambda: "wrong", LIMITS)
    with pytest.raises(Unavailable):
        await search(PostgresDocuments(pool), 1.0)
    with pytest.raises(Unavailable, match="refuses our password"):
        await pool.open()
