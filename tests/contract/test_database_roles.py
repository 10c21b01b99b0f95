"""The serving role reads and writes rows of its own tenant and can change nothing about the tables; another role owns them."""

import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import asyncpg
import pytest

from chassis.errors import FailedPrecondition
from chassis.postgres.migrations import migrate, migrate_as
from chassis.postgres.pool import PostgresPool
from chassis.postgres.roles import Owner, is_owned_by_server
from cli.machine.engines import postgres as engine
from monitoring.adapters.postgres_labels import PostgresLabels
from monitoring.domain.model import Label, Stored
from retrieval.adapters.postgres_documents import PostgresDocuments
from retrieval.adapters.postgres_schema import DOCUMENTS
from tests.contract.test_document_store import indexed
from tests.engines import RunningPostgres, free_ports, running
from tests.fakes.monitoring_records import START_US, request_ids

pytestmark = pytest.mark.engines
TENANT_TABLES = (
    *(
        f"retrieval.{name}"
        for name in ("collections", "documents", "labels", "chunks", "embeddings", "postings", "terms")
    ),
    "monitoring.labels",
)
TABLES = (*TENANT_TABLES, "retrieval.migrations", "monitoring.migrations", "monitoring.tenants")
REFUSED = (
    "alter table {0} disable row level security",
    "alter table {0} no force row level security",
    "alter table {0} add column mine text",
    "alter table {0} owner to current_user",
    "create policy mine on {0} using (true)",
    "drop table {0}",
    "truncate {0}",
)
BEYOND_TABLES = (
    "create table retrieval.mine ()",
    "create schema mine",
    "set role {owner}",
    "set session authorization {owner}",
    "alter role current_user bypassrls",
    "grant {owner} to current_user",
    "drop policy own_tenant on retrieval.documents",
    "alter sequence retrieval.chunk_ids owned by none",
    "insert into retrieval.migrations values (99, 'x', 'x')",
)
(LABELLED,) = request_ids(1)


def owner_of(server: RunningPostgres) -> Owner:
    return Owner(engine.OWNER, lambda: server.home.owner_password_file.read_text().strip())


@pytest.fixture
def database(postgres_server: RunningPostgres) -> Iterator[str]:
    url = postgres_server.create_database(engine.OWNER)
    yield url
    postgres_server.drop_database(url)


@pytest.fixture
async def serving(database: str, postgres_server: RunningPostgres) -> AsyncIterator[asyncpg.Connection]:
    """A connection of the serving role to a database with rows of two tenants, written by the services' own adapters."""
    owner = owner_of(postgres_server)
    pool, labels = PostgresPool(DOCUMENTS, database), PostgresLabels(database, owner=owner)
    await pool.open()
    assert await migrate_as(owner, pool) is False
    await labels.migrate()
    for tenant in ("acme", "bolt"):
        texts = [f"text {n} of {tenant}" for n in range(600)]
        await PostgresDocuments(pool).replace(tenant, "c", [await indexed("d", *texts, team="x")], 1, 30.0)
        assert await labels.put(tenant, [Label(LABELLED, 0, "probability", 1.0, START_US)], 5.0) == Stored(1, 0)
    connection = await asyncpg.connect(database)
    yield connection
    await connection.close()
    await labels.close()
    await pool.close()


async def test_it_changes_nothing_about_the_tables(serving: asyncpg.Connection) -> None:
    statements = [statement.format(table) for table in TABLES for statement in REFUSED]
    statements += [statement.format(owner=engine.OWNER) for statement in BEYOND_TABLES]
    for statement in statements:
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await serving.execute(statement)
    await serving.execute("set row_security = off")
    for table in TENANT_TABLES:
        with pytest.raises(asyncpg.InsufficientPrivilegeError):  # it may ask to be shown all, and is refused
            await serving.fetch(f"select * from {table}")


async def test_it_sees_one_tenant_and_without_the_setting_nobody(serving: asyncpg.Connection) -> None:
    for tenant, seen in (("acme", {"acme"}), ("bolt", {"bolt"}), ("", set()), (None, set())):
        async with serving.transaction():
            if tenant is not None:
                await serving.execute("select set_config('mizzen.tenant', $1, true)", tenant)
            for table in TENANT_TABLES:
                assert {row["tenant"] for row in await serving.fetch(f"select tenant from {table}")} == seen, table
    for table in TENANT_TABLES:
        forced = "select relrowsecurity and relforcerowsecurity from pg_class where oid = $1::text::regclass"
        assert await serving.fetchval(forced, table), table
    assert not await is_owned_by_server(serving, "retrieval")
    assert not await is_owned_by_server(serving, "monitoring")


async def test_its_writes_keep_the_planner_informed(serving: asyncpg.Connection) -> None:
    assert await serving.fetchval("select reltuples from pg_class where oid = 'retrieval.chunks'::regclass") >= 600


async def test_tables_of_the_serving_role_go_on_working_and_are_told_of(
    postgres: str, postgres_server: RunningPostgres, caplog: pytest.LogCaptureFixture
) -> None:
    pool, labels = PostgresPool(DOCUMENTS, postgres), PostgresLabels(postgres)
    await pool.open()
    assert await migrate_as(None, pool) is True
    await labels.migrate()
    assert "the serving role owns the tables of schema monitoring" in caplog.text
    owner = owner_of(postgres_server)
    with pytest.raises(FailedPrecondition, match="reassign owned by"):
        await migrate_as(owner, pool)
    with pytest.raises(FailedPrecondition, match="reassign owned by"):
        await PostgresLabels(postgres, owner=owner).migrate()
    await labels.close()
    await pool.close()


async def test_a_laptop_with_tables_of_the_serving_role_hands_them_over(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    """A state directory of a release before there was an owner: its rows stay and its tables change hands."""
    root = Path(tempfile.mkdtemp(prefix="mizzen-test-", dir="/tmp"))
    root.chmod(0o755)
    try:
        home = engine.prepare(root / "postgres", root / "keys", durable=False)
        server = RunningPostgres(engine.spec(home, free_ports(1)[0], durable=False), root / "log", home=home)
        url = server.url(engine.DATABASE)
        with running(server):
            before = f"ALTER DATABASE {engine.DATABASE} OWNER TO {engine.ROLE}; DROP ROLE {engine.OWNER}"
            engine.run_sql(home, server.port, before)
            pool, labels = PostgresPool(DOCUMENTS, url), PostgresLabels(url)
            await pool.open()
            await migrate(pool)
            await labels.migrate()
            await PostgresDocuments(pool).replace("acme", "c", [await indexed("d", "some text")], 1, 10.0)
            await labels.put("acme", [Label(LABELLED, 0, "probability", 1.0, START_US)], 5.0)
            await labels.close()
            await pool.close()
        home.owner_password_file.unlink()
        home = engine.prepare(root / "postgres", root / "keys", durable=False)
        with running(server):
            owner, pool = owner_of(server), PostgresPool(DOCUMENTS, url)
            await pool.open()
            assert await migrate_as(owner, pool) is False
            labels = PostgresLabels(url, owner=owner)
            await labels.migrate()
            stored = await PostgresDocuments(pool).find("acme", "c", ["d"], 5.0)
            assert stored["d"].chunks == 1
            assert await PostgresDocuments(pool).delete("acme", "c", "d", 5.0)
            assert await labels.waiting_count() == 1
            await labels.close()
            await pool.close()
    finally:
        shutil.rmtree(root, ignore_errors=True)
