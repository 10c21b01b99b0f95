"""What serves has the role that reads and writes rows; the owner of the tables is known only where they are migrated."""

import asyncio
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import asyncpg
import pytest

from chassis.errors import FailedPrecondition
from chassis.postgres.migrations import migrate, migrate_as, migrate_owned
from chassis.postgres.pool import PostgresPool
from chassis.postgres.roles import Owner
from cli.machine.engines import postgres as engine
from cli.machine.engines.passwords import password_file
from monitoring.adapters.postgres_labels import PostgresLabels
from monitoring.adapters.postgres_schema import LABELS
from monitoring.domain.model import Label, Stored
from retrieval.adapters.postgres_documents import PostgresDocuments
from retrieval.adapters.postgres_schema import DOCUMENTS
from tests.charts.rendering import CHART, PRESETS, Object, merged, named, objects, pods, render
from tests.contract.test_document_store import indexed
from tests.engines import RunningPostgres, free_ports, running
from tests.fakes.monitoring_records import START_US, request_ids

EXTERNAL = {
    "postgresql": {"mode": "external", "external": {"host": "db", "peers": [{"ipBlock": {"cidr": "10.0.0.9/32"}}]}}
}
(LABELLED,) = request_ids(1)


def mounts_of(secret: str, pod: Object) -> set[str]:
    """Names of the containers that a Secret's files are in."""
    volumes = {
        volume["name"]
        for volume in pod["spec"].get("volumes", [])
        for source in volume.get("projected", {}).get("sources", [])
        if source["secret"]["name"] == secret
    }
    every = (*pod["spec"].get("initContainers", []), *pod["spec"]["containers"])
    return {each["name"] for each in every if volumes & {mount["name"] for mount in each["volumeMounts"]}}


@pytest.mark.parametrize("preset", PRESETS)
def test_only_migrations_know_the_owner(preset: str) -> None:
    secret = "postgresql-owner" if preset.startswith("prod") else "mizzen-postgresql-owner"
    knowing = {}
    for name, pod in pods(objects(preset)):
        for container in pod["spec"]["containers"]:
            assert not [each for each in container.get("env", []) if "POSTGRES_OWNER" in each["name"]], name
        if holders := mounts_of(secret, pod):
            knowing[name] = holders
    migrated = {f"Deployment/mizzen-{room}": {"migrate"} for room in ("retrieval", "monitoring", "control")}
    bundled = {} if preset.startswith("prod") else {"StatefulSet/mizzen-postgresql": {"postgresql"}}
    assert knowing == migrated | bundled


@pytest.mark.parametrize("component", ["retrieval", "monitoring"])
def test_migrations_run_first_and_log_in_as_the_owner(component: str) -> None:
    pod = named(objects("prod"), "Deployment", f"mizzen-{component}")["spec"]["template"]["spec"]
    (first,) = pod["initContainers"]
    assert first["command"] == ["python3", "-m", f"{component}.migrate"]
    assert first["image"] == pod["containers"][0]["image"]
    env = {each["name"]: each.get("value") for each in first["env"]}
    assert env["MIZZEN_POSTGRES_OWNER"] == "mizzen_owner"
    assert env["MIZZEN_POSTGRES_OWNER_PASSWORD_FILE"] == "/etc/mizzen/owner/postgres-owner.password"
    assert env["MIZZEN_POSTGRES_URL"].startswith("postgresql://mizzen@")
    assert "owner" not in {mount["name"] for mount in pod["containers"][0]["volumeMounts"]}


def test_an_external_database_with_one_role_goes_on() -> None:
    found = render(EXTERNAL)
    pod = named(found, "Deployment", "mizzen-retrieval")["spec"]["template"]["spec"]
    assert "initContainers" not in pod
    assert "mizzen-postgresql-owner" not in str(found)


def test_an_owner_has_a_name_and_a_password() -> None:
    with pytest.raises(Exception, match=r"postgresql.ownerSecret: postgresql.external.owner is set"):
        render(merged(EXTERNAL, {"postgresql": {"external": {"owner": "o"}}}))
    with pytest.raises(Exception, match=r"postgresql.external.owner: postgresql.ownerSecret is set"):
        render(merged(EXTERNAL, {"postgresql": {"ownerSecret": "s"}}))


class Bundled(RunningPostgres):
    """The chart's start script on the laptop's binaries, in folders of its own."""

    @classmethod
    def at(cls, root: Path) -> "Bundled":
        home = engine.prepare(root / "laptop", root / "keys", durable=False)
        keys, data = root / "chart-keys", root / "chart"
        keys.mkdir()
        data.mkdir()
        for name, source in (
            ("password", home.password_file),
            ("superuser-password", home.superuser_password_file),
            ("owner-password", password_file(root / "owner")),
        ):
            (keys / name).write_text(source.read_text().strip())
        home = replace(home, owner_password_file=root / "owner")
        if home.uid is not None:
            shutil.chown(data, home.uid)
        spec = engine.spec(home, free_ports(1)[0], durable=False)
        text = (CHART / "files/postgresql-start.sh").read_text()
        for old, new in (
            ("/data/postgresql", f"{data}/postgresql"),
            ("/etc/mizzen/keys", str(keys)),
            ("5433", str(spec.ports[0])),
            ("directories=/tmp", "directories="),
        ):
            assert old in text
            text = text.replace(old, new)
        (root / "start.sh").write_text(text)
        env = {
            **spec.env,
            "PATH": f"{home.binaries}:{spec.env['PATH']}",
            "MAX_CONNECTIONS": "20",
            "SHARED_BUFFERS": "32MB",
        }
        # The pid of a killed server is the shell's own in a container: 1.
        lock = f"{data}/postgresql/postmaster.pid"
        script = f'[ ! -f {lock} ] || sed -i "1s/.*/$$/" {lock}; exec sh {root}/start.sh'
        return cls(replace(spec, command=("/bin/sh", "-c", script), env=env), root / "log", home=home)

    def migrate(self, room: str) -> None:
        """What the init container runs."""
        env = {
            "MIZZEN_POSTGRES_URL": f"postgresql://{engine.ROLE}@127.0.0.1:{self.port}/{engine.DATABASE}",
            "MIZZEN_POSTGRES_OWNER": engine.OWNER,
            "MIZZEN_POSTGRES_OWNER_PASSWORD_FILE": str(self.home.owner_password_file),
        }
        command = [sys.executable, "-m", f"{room}.migrate"]
        done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 0, done.stdout + done.stderr

    @property
    def owner(self) -> Owner:
        return Owner(engine.OWNER, lambda: self.home.owner_password_file.read_text().strip())


@pytest.fixture
def bundled() -> Iterator[Bundled]:
    root = Path(tempfile.mkdtemp(prefix="mizzen-test-", dir="/tmp"))
    root.chmod(0o755)
    try:
        yield Bundled.at(root)
    finally:
        shutil.rmtree(root, ignore_errors=True)


async def write(url: str, document: str, labels: PostgresLabels, pool: PostgresPool) -> None:
    """What a pod does all day; both adapters are open already."""
    await PostgresDocuments(pool).replace("acme", "c", [await indexed(document, "some text")], 1, 10.0)
    assert await labels.put("acme", [Label(LABELLED, 0, "probability", 1.0, START_US)], 5.0) == Stored(1, 0)


@pytest.mark.engines
def test_a_fresh_database_has_two_roles(bundled: Bundled) -> None:
    async def serve() -> None:
        url = bundled.url(engine.DATABASE)
        pool, labels = PostgresPool(DOCUMENTS, url), PostgresLabels(url)
        await pool.open()
        with pytest.raises(FailedPrecondition, match=r"mizzen may not change them: run `python -m retrieval.migrate`"):
            await migrate_as(None, pool)
        with pytest.raises(FailedPrecondition, match=r"run `python -m monitoring.migrate`"):
            await labels.migrate()
        for room in ("retrieval", "monitoring"):
            bundled.migrate(room)
        assert await migrate_as(None, pool) is False
        await labels.migrate()
        await write(url, "d", labels, pool)
        await labels.close()
        await pool.close()

    with running(bundled):
        asyncio.run(serve())


@pytest.mark.engines
def test_an_upgrade_from_one_role_goes_on_serving(bundled: Bundled) -> None:
    url = bundled.url(engine.DATABASE)
    hand_back = f"REASSIGN OWNED BY {engine.OWNER} TO {engine.ROLE}; DROP ROLE {engine.OWNER}"

    async def before() -> None:
        pool, labels = PostgresPool(DOCUMENTS, url), PostgresLabels(url)
        await pool.open()
        await migrate(pool)
        await labels.migrate()
        await write(url, "old", labels, pool)
        await labels.close()
        await pool.close()

    async def between() -> None:
        """Pods of the old release, before anybody has migrated."""
        pool, labels = PostgresPool(DOCUMENTS, url), PostgresLabels(url)
        await pool.open()
        await write(url, "between", labels, pool)
        await labels.close()
        await pool.close()

    async def after() -> None:
        await migrate_owned(bundled.owner, DOCUMENTS, url)
        await migrate_owned(bundled.owner, LABELS, url)
        pool = PostgresPool(DOCUMENTS, url)
        await pool.open()
        assert await migrate_as(None, pool) is False
        stored = await PostgresDocuments(pool).find("acme", "c", ["old", "between"], 5.0)
        assert [stored[name].chunks for name in ("old", "between")] == [1, 1]
        await pool.close()
        await refused()

    async def refused() -> None:
        connection = await asyncpg.connect(url)
        for statement in (
            "alter table retrieval.documents disable row level security",
            "create schema mine",
            "insert into retrieval.migrations values (99, 'x', 'x')",
        ):
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await connection.execute(statement)
        await connection.close()

    with running(bundled):
        engine.run_sql(bundled.home, bundled.port, hand_back, database=engine.DATABASE)
        asyncio.run(before())
        bundled.kill()  # no checkpoint, and its lock stays
    with running(bundled):
        asyncio.run(between())
        asyncio.run(after())
    with running(bundled):  # a start that has nothing to hand over gives no right back
        asyncio.run(refused())
