"""A real supervisor with stand-in children: what dies comes back, and in the end nothing is left."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from cli.machine import kernel
from cli.machine.layout import Layout
from cli.machine.spec import ChildSpec, Ready, specs_to_json
from cli.machine.supervision import control, status
from tests.engines import free_ports

# Listens on its port, and has a child of its own in the same group and a region in shared memory, as tritonserver has.
STAND_IN = """
import os, signal, socket, sys, time
port, region = int(sys.argv[1]), sys.argv[2]
if os.fork() == 0:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    time.sleep(600)
open("/dev/shm/" + region + str(os.getpid()), "w").close()
signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
server = socket.create_server(("127.0.0.1", port))
while True:
    server.accept()[0].close()
"""


def stand_in(name: str, directory: Path, *, command: tuple[str, ...] | None = None, stage: int = 0) -> ChildSpec:
    port = free_ports(1)[0]
    prefix = f"mizzen-test-{os.getpid()}-{name}-"
    return ChildSpec(
        name=name,
        command=command or (sys.executable, "-I", "-S", "-c", STAND_IN, str(port), prefix),
        env={"PATH": os.environ["PATH"]},
        cwd=str(directory),
        ready=Ready("tcp", port),
        stop_timeout_s=5.0,
        shm_prefix=prefix,
        ports=(port,),
        stage=stage,
    )


def ignore(_: status.SupervisorStatus) -> None:
    """Nobody looks at the progress here."""


def eventually(done: Callable[[], bool], timeout_s: float = 10.0) -> None:
    give_up = time.monotonic() + timeout_s
    while not done():
        assert time.monotonic() < give_up, "not in time"
        time.sleep(0.02)


def groups(layout: Layout) -> set[int]:
    now = control.running(layout)
    assert now is not None
    return {child.pid for child in now.children.values() if child.pid}


def left_of(groups_before: set[int]) -> list[kernel.LivingProcess]:
    return [process for process in kernel.all_living() if process.session in groups_before]


def regions() -> list[str]:
    return [path.name for path in Path("/dev/shm").glob(f"mizzen-test-{os.getpid()}-*")]


@pytest.fixture
def layout(tmp_path: Path) -> Iterator[Layout]:
    made = Layout(tmp_path / "state")
    made.make()
    yield made
    control.stop(made, 10.0, ignore)


@pytest.fixture
def specs(tmp_path: Path) -> list[ChildSpec]:
    return [stand_in("one", tmp_path), stand_in("two", tmp_path, stage=1)]


@pytest.fixture
def supervised(layout: Layout, specs: list[ChildSpec]) -> Layout:
    control.start(layout, specs)
    control.wait_all_ready(layout, specs, 20.0, ignore)
    return layout


def test_a_killed_child_comes_back_without_its_old_group(supervised: Layout, specs: list[ChildSpec]) -> None:
    before = control.running(supervised)
    assert before is not None
    old = before.children["one"].pid
    os.kill(old, signal.SIGKILL)

    def replaced() -> bool:
        now = control.running(supervised)
        return now is not None and now.children["one"].pid not in (0, old)

    eventually(replaced)
    control.wait_all_ready(supervised, specs, 10.0, ignore)
    now = control.running(supervised)
    assert now is not None
    assert (now.children["one"].restarts, now.children["one"].last_exit) == (1, "SIGKILL")
    assert now.children["two"].pid == before.children["two"].pid
    assert left_of({old}) == []
    assert len(regions()) == 2


def test_down_leaves_nothing(supervised: Layout) -> None:
    started = groups(supervised)
    assert len(left_of(started)) == 4
    control.stop(supervised, 20.0, ignore)
    assert left_of(started) == []
    assert regions() == []
    assert not status.is_held(supervised.lock)
    assert not supervised.status.exists()


def test_a_killed_supervisor_leaves_nothing(supervised: Layout) -> None:
    started = groups(supervised)
    now = control.running(supervised)
    assert now is not None
    os.kill(now.pid, signal.SIGKILL)
    eventually(lambda: left_of(started) == [] and regions() == [], 15.0)
    eventually(lambda: not supervised.status.exists())


def test_up_after_a_killed_supervisor_and_watchdog_cleans_up(supervised: Layout, specs: list[ChildSpec]) -> None:
    started = groups(supervised)
    now = control.running(supervised)
    assert now is not None
    words = ("cli.machine.supervision.watchdog", str(supervised.state))
    watchdogs = [each.pid for each in kernel.all_living() if all(word in _command(each.pid) for word in words)]
    assert len(watchdogs) == 1
    for pid in [*watchdogs, now.pid]:
        os.kill(pid, signal.SIGKILL)
    eventually(lambda: not status.is_held(supervised.lock))
    assert control.start(supervised, specs)
    control.wait_all_ready(supervised, specs, 20.0, ignore)
    assert left_of(started) == []


def _command(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_text().replace("\0", " ")
    except OSError:
        return ""


def test_the_same_plan_restarts_nothing_and_another_only_what_changed(
    supervised: Layout, specs: list[ChildSpec], tmp_path: Path
) -> None:
    before = control.running(supervised)
    assert before is not None
    assert not control.start(supervised, specs)
    changed = [specs[0], stand_in("two", tmp_path), stand_in("three", tmp_path)]
    assert not control.start(supervised, changed)
    control.wait_all_ready(supervised, changed, 20.0, ignore)
    now = control.running(supervised)
    assert now is not None
    assert set(now.children) == {"one", "two", "three"}
    assert now.children["one"].pid == before.children["one"].pid
    assert now.children["two"].pid != before.children["two"].pid


def test_a_child_that_keeps_ending_is_shown_with_its_last_lines(layout: Layout, tmp_path: Path) -> None:
    broken = stand_in("broken", tmp_path, command=("sh", "-c", "echo the disk is made of cheese; exit 3"))
    control.start(layout, [broken])
    with pytest.raises(control.StartFailed, match=r"broken keeps ending \(exit 3\):\n.*made of cheese"):
        control.wait_all_ready(layout, [broken], 20.0, ignore)


def test_a_supervisor_in_front_drains_when_its_command_is_killed(layout: Layout, specs: list[ChildSpec]) -> None:
    code = (
        "import sys, time; from pathlib import Path; from cli.machine.layout import Layout;"
        "from cli.machine.spec import specs_from_json;"
        "from cli.machine.supervision import control;"
        "control.start(Layout(Path(sys.argv[1])), specs_from_json(sys.argv[2]), in_front=True); time.sleep(600)"
    )
    command = subprocess.Popen([sys.executable, "-c", code, str(layout.state), specs_to_json(specs)])
    eventually(lambda: (now := control.running(layout)) is not None and now.all_ready(), 20.0)
    started = groups(layout)
    command.kill()
    command.wait()
    eventually(lambda: left_of(started) == [] and not status.is_held(layout.lock), 15.0)
    assert regions() == []
