"""The real engines for tests, one of each per test process and only when asked for.

valkey             redis:// URL, emptied before each test        valkey_server    its RunningEngine, to break it
valkey_cluster     the same, a cluster of one node with all slots
postgres           URL of a fresh database for each test; the role is the application's, not a superuser
postgres_module    the same, one database for each test module   postgres_server  its RunningPostgres, to break it
triton             RunningTriton serving MiniLM; `triton_serving(repositories)` starts another one
"""

import contextlib
import itertools
import os
import random
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import psutil
import pytest
from redis import Redis

from cli.machine import processes
from cli.machine.engines import postgres as postgres_engine
from cli.machine.engines import valkey as valkey_engine
from cli.machine.engines.passwords import password_file
from cli.machine.spec import ChildSpec

ROOT = Path(__file__).parents[1]
_numbers = itertools.count()
E = TypeVar("E", bound="RunningEngine")


def free_ports(count: int, *, also: int = 0) -> list[int]:
    """Ports that were free a moment ago, all different; with `also`, the ports that much higher were free as well (a cluster
    node's bus has the node's port plus 10,000).

    They lie below the range that the kernel takes for clients' ends: an engine that is started again must find its port free.
    """
    ports: list[int] = []
    while len(ports) < count:
        port = random.randrange(11_000, 32_000 - also)
        taken = {each + offset for each in ports for offset in (0, also)}
        if not taken & {port, port + also} and _is_free(port) and _is_free(port + also):
            ports.append(port)
    return ports


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


@dataclass
class RunningEngine:
    """An engine that a test may break: `kill` is SIGKILL to all of it, `start` brings it back on its port."""

    spec: ChildSpec
    log: Path
    child: subprocess.Popen[bytes] | None = None

    def start(self, timeout_s: float = 60.0) -> None:
        self.child = processes.spawn(self.spec, self.log)
        try:
            processes.wait_ready(self.spec, self.child, self.log, timeout_s)
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        if self.child is not None:
            processes.stop(self.spec, self.child)
            self.child = None

    def kill(self) -> None:
        if self.child is not None:
            # PostgreSQL's backends are groups of their own, and may answer a last query before they see that the server is gone.
            under: Any = []
            with contextlib.suppress(psutil.NoSuchProcess):  # it may have ended by itself
                under = psutil.Process(self.child.pid).children(recursive=True)
            self.child.kill()
            self.child.wait()
            processes.end_group(self.child.pid)
            for process in under:
                with contextlib.suppress(psutil.NoSuchProcess):
                    process.kill()
                    while process.is_running() and process.status() != psutil.STATUS_ZOMBIE:
                        time.sleep(0.001)
            processes.sweep_shared_memory(self.spec.shm_prefix)
            self.child = None

    def pause(self) -> None:
        """SIGSTOP: the engine keeps its connections and answers nothing. End with `resume`."""
        self._signal_all(signal.SIGSTOP)

    def resume(self) -> None:
        self._signal_all(signal.SIGCONT)

    def _signal_all(self, number: signal.Signals) -> None:
        """The engine and all under it: PostgreSQL's backends are process groups of their own."""
        if self.child is not None:
            engine: Any = psutil.Process(self.child.pid)
            for process in (engine, *engine.children(recursive=True)):
                process.send_signal(number)

    @property
    def port(self) -> int:
        return self.spec.ports[0]


@dataclass
class RunningValkey(RunningEngine):
    """`url` logs in."""

    password: str = field(kw_only=True)

    @property
    def url(self) -> str:
        return f"redis://:{self.password}@127.0.0.1:{self.port}/0"


@dataclass
class RunningPostgres(RunningEngine):
    """`create_database()` gives the URL of a new one with pgvector, owned by the application's role or another one."""

    home: postgres_engine.PostgresHome = field(kw_only=True)

    def create_database(self, owner: str = postgres_engine.ROLE) -> str:
        name = f"test_{next(_numbers)}"
        postgres_engine.run_sql(self.home, self.port, f"CREATE DATABASE {name} OWNER {owner}")
        return self.url(name)

    def drop_database(self, url: str) -> None:
        postgres_engine.run_sql(self.home, self.port, f"DROP DATABASE {url.rsplit('/', 1)[1]} WITH (FORCE)")

    def url(self, database: str) -> str:
        password = self.home.password_file.read_text().strip()
        return f"postgresql://{postgres_engine.ROLE}:{password}@127.0.0.1:{self.port}/{database}"


@dataclass
class RunningTriton(RunningEngine):
    """`grpc_address` is host:port."""

    @property
    def grpc_address(self) -> str:
        return f"127.0.0.1:{self.spec.ports[0]}"

    @property
    def metrics_port(self) -> int:
        return self.spec.ports[1]


@contextmanager
def running(engine: E) -> Iterator[E]:
    engine.start()
    try:
        yield engine
    finally:
        engine.stop()


@pytest.fixture(scope="session")
def engine_directory() -> Iterator[Path]:
    """One folder for all engines of this test process, where any user can reach it (PostgreSQL isn't root)."""
    directory = Path(tempfile.mkdtemp(prefix="mizzen-test-", dir="/tmp"))
    directory.chmod(0o755)
    yield directory
    shutil.rmtree(directory, ignore_errors=True)


@pytest.fixture(scope="session")
def valkey_server(engine_directory: Path) -> Iterator[RunningValkey]:
    password = password_file(engine_directory / "valkey.password")
    spec = valkey_engine.spec(free_ports(1)[0], engine_directory / "valkey", password_file=password)
    with running(RunningValkey(spec, engine_directory / "valkey.log", password=password.read_text().strip())) as engine:
        yield engine


@pytest.fixture
def valkey(valkey_server: RunningValkey) -> str:
    _flush(valkey_server.port, valkey_server.password)
    return valkey_server.url


@pytest.fixture(scope="session")
def valkey_cluster_server(engine_directory: Path) -> Iterator[RunningValkey]:
    port, file = free_ports(1, also=10_000)[0], password_file(engine_directory / "valkey-cluster.password")
    spec = valkey_engine.spec(port, engine_directory / "valkey-cluster", password_file=file, cluster=True)
    password = file.read_text().strip()
    with running(RunningValkey(spec, engine_directory / "valkey-cluster.log", password=password)) as engine:
        valkey_engine.own_all_slots(engine.port, password)
        yield engine


@pytest.fixture
def valkey_cluster(valkey_cluster_server: RunningValkey) -> str:
    _flush(valkey_cluster_server.port, valkey_cluster_server.password)
    return valkey_cluster_server.url


def _flush(port: int, password: str) -> None:
    with Redis(port=port, password=password, socket_timeout=5) as client:
        client.flushall()


@pytest.fixture(scope="session")
def postgres_server(engine_directory: Path) -> Iterator[RunningPostgres]:
    home = postgres_engine.prepare(engine_directory / "postgres", engine_directory / "keys", durable=False)
    spec = postgres_engine.spec(home, free_ports(1)[0], durable=False)
    with running(RunningPostgres(spec, engine_directory / "postgres.log", home=home)) as engine:
        yield engine


@pytest.fixture
def postgres(postgres_server: RunningPostgres) -> Iterator[str]:
    url = postgres_server.create_database()
    yield url
    postgres_server.drop_database(url)


@pytest.fixture(scope="module")
def postgres_module(postgres_server: RunningPostgres) -> Iterator[str]:
    url = postgres_server.create_database()
    yield url
    postgres_server.drop_database(url)


def triton_venv() -> Path:
    """The venv with tritonserver: MIZZEN_TRITON_VENV, else .venv-triton beside the sources (`make setup` makes it)."""
    return Path(os.environ.get("MIZZEN_TRITON_VENV", ROOT / ".venv-triton"))


@contextmanager
def triton_serving(repositories: Sequence[Path], directory: Path, load_s: float = 60.0) -> Iterator[RunningTriton]:
    """A tritonserver of its own over `repositories`, with its files under `directory`."""
    from cli.machine.engines import triton as triton_engine

    directory.mkdir(parents=True, exist_ok=True)
    grpc_port, metrics_port = free_ports(2)
    spec = triton_engine.spec(
        *(triton_venv(), repositories, directory), grpc_port=grpc_port, metrics_port=metrics_port, load_s=load_s
    )
    with running(RunningTriton(spec, directory / "triton.log")) as engine:
        yield engine


@pytest.fixture(scope="session")
def minilm_package(engine_directory: Path) -> Path:
    """A Triton repository root that holds the model `minilm`."""
    from inference import minilm

    models = engine_directory / "models"
    return models / minilm.NAME / minilm.write_minilm_package(triton_venv(), models)


@pytest.fixture(scope="session")
def triton(engine_directory: Path, minilm_package: Path) -> Iterator[RunningTriton]:
    with triton_serving([minilm_package], engine_directory / "triton") as engine:
        yield engine
