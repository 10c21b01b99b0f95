"""A dead Python stub ends the server, and nothing of it is left, so that its supervisor can start it again."""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import tritonclient.grpc as grpcclient

from cli import models
from cli.machine.engines.triton import serving
from inference import launcher
from tests.engines import RunningTriton, triton_serving
from tests.unit.inference.onnx_models import doubling

pytestmark = pytest.mark.engines


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningTriton]:
    folder = tmp_path_factory.mktemp("stub-death")
    root = doubling(doubling(folder / "models"), "misfit")
    config = root / "misfit" / "config.pbtxt"
    config.write_text(config.read_text().replace('name: "y"', 'name: "z"'))
    with triton_serving([root], folder / "state") as engine:
        yield engine


@pytest.fixture
def server(engine: RunningTriton) -> RunningTriton:
    """The module's server, started again where the test before ended it."""
    if engine.child is None or engine.child.poll() is not None:
        engine.start()
    return engine


def until(condition: Callable[[], bool], timeout_s: float) -> None:
    give_up = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < give_up, "not in time"
        time.sleep(0.05)


def members(group: int) -> dict[int, str]:
    """Pid → name of the living processes of a process group."""
    found = {}
    for entry in Path("/proc").iterdir():
        try:
            if entry.name.isdecimal():
                name, _, rest = (entry / "stat").read_text().partition("(")[2].rpartition(")")
                fields = rest.split()
                if int(fields[2]) == group and fields[0] != "Z":
                    found[int(entry.name)] = name
        except OSError:
            continue
    return found


def shared_memory(server: RunningTriton) -> list[Path]:
    return list(Path("/dev/shm").glob(f"{server.spec.shm_prefix}*"))


def named(server: RunningTriton, name: str) -> list[int]:
    assert server.child is not None
    return [pid for pid, own in members(server.child.pid).items() if own.startswith(name)]


def test_a_model_that_cannot_load_is_no_dead_stub(server: RunningTriton) -> None:
    assert server.child is not None
    (triton,) = named(server, "tritonserver")
    until(lambda: all(launcher.state_of(pid)[0] != "Z" for pid in launcher.children(triton)), 2)
    with grpcclient.InferenceServerClient(server.grpc_address) as client:
        assert client.is_model_ready("doubling")
    (line,) = models.not_served(server.port, serving(Path(server.spec.cwd)))
    assert line.startswith("model misfit is not served: ")
    assert "'z'" in line


@pytest.mark.parametrize("victim", ["triton_python_b", "tritonserver"])
def test_the_server_ends_whole_when_a_part_dies(server: RunningTriton, victim: str) -> None:
    assert server.child is not None
    assert shared_memory(server)
    os.kill(named(server, victim)[0], signal.SIGKILL)
    status = server.child.wait(timeout=10)
    assert status == (launcher.STUB_DIED if victim == "triton_python_b" else 128 + signal.SIGKILL)
    assert not members(server.child.pid)
    assert not shared_memory(server)


def test_a_killed_launcher_takes_the_server_with_it(server: RunningTriton) -> None:
    assert server.child is not None
    group = server.child.pid
    (triton,) = named(server, "tritonserver")
    os.kill(launcher.state_of(triton)[1], signal.SIGKILL)
    until(lambda: not members(group), 10)
    server.kill()  # nobody was left to sweep the shared memory but the supervisor
    assert not shared_memory(server)


def test_it_serves_again_and_a_polite_end_is_clean(server: RunningTriton) -> None:
    assert server.child is not None
    with grpcclient.InferenceServerClient(server.grpc_address) as client:
        assert client.is_model_ready("doubling")
    server.child.send_signal(signal.SIGTERM)
    assert server.child.wait(timeout=20) == 0
    assert not members(server.child.pid)
    assert not shared_memory(server)


def test_the_empty_folders_that_triton_leaves_are_removed(tmp_path: Path) -> None:
    mark = f"{os.getpid()}-{time.monotonic_ns()}"
    earlier, empty, full = (Path(f"/tmp/python_env_{mark}-{name}") for name in ("earlier", "empty", "full"))
    earlier.mkdir()
    try:
        made = f"mkdir {empty} {full} && touch {full}/in-use"
        repository = f"--model-repository={doubling(tmp_path / 'models')}"
        command = [
            sys.executable,
            "-I",
            launcher.__file__,
            f"none-{mark}",
            str(tmp_path / "serving"),
            sys.executable,
            "",
            "20",
        ]
        command += ["sh", "-c", made, repository]
        assert subprocess.run(command, check=False, timeout=20).returncode == 0
        assert [path.is_dir() for path in (earlier, empty, full)] == [True, False, True]
    finally:
        for path in (earlier, empty, full):
            shutil.rmtree(path, ignore_errors=True)
