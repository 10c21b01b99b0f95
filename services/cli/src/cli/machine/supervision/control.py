"""Starting, asking and ending a supervisor from the command."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

from cli.machine.kernel import living
from cli.machine.layout import Layout
from cli.machine.processes import end_group, last_lines
from cli.machine.spec import ChildSpec, specs_to_json
from cli.machine.supervision.orphans import end_orphans
from cli.machine.supervision.status import SupervisorStatus, is_held, read_status

POLL_S = 0.1
START_TIMEOUT_S = 20.0
HOPELESS_RESTARTS = 4
KILL_TIMEOUT_S = 10.0


class StartFailed(Exception):  # noqa: N818  # reads as what happened
    """The message says which child failed and shows its log's last lines."""


def start(layout: Layout, specs: Sequence[ChildSpec], *, in_front: bool = False) -> bool:
    """Give `specs` to the supervisor, starting one when there is none. Returns True when one was started.

    `in_front` ties it to this process: it drains when this process ends, however it ends.
    """
    _write_plan(layout.plan, specs)
    _wait(lambda: _settled(layout), START_TIMEOUT_S)
    status = running(layout)
    if status is not None:
        os.kill(status.pid, signal.SIGHUP)
        return False
    parent = [str(os.getpid())] if in_front else []
    log = layout.log("supervisor")
    with log.open("ab") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "cli.machine.supervision.supervisor", str(layout.state), *parent],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            cwd=layout.state,
        )
    _wait(lambda: running(layout) is not None or process.poll() is not None, START_TIMEOUT_S)
    if process.poll() is not None:
        raise StartFailed(f"the supervisor ended with {process.returncode}:\n{last_lines(log)}")
    process.returncode = 0  # it outlives this command: nobody waits for it
    return True


def clean_up(layout: Layout) -> list[str]:
    """End what a supervisor left that was killed together with its watchdog; the names of what had to be killed."""
    _wait(lambda: _settled(layout), START_TIMEOUT_S)
    left = None if is_held(layout.lock) else read_status(layout.status)
    if left is None:
        return []
    killed = end_orphans(left, KILL_TIMEOUT_S)
    layout.status.unlink(missing_ok=True)
    return killed


def running(layout: Layout) -> SupervisorStatus | None:
    """The status of a living supervisor; None when there is none or it has not told yet."""
    status = read_status(layout.status) if is_held(layout.lock) else None
    if status is None:
        return None
    author = living(status.pid)  # a killed one's file stays until the next one has cleaned up after it
    return status if author is not None and author.started == status.started else None


def wait_all_ready(
    layout: Layout,
    specs: Sequence[ChildSpec],
    timeout_s: float,
    shown: Callable[[SupervisorStatus], None],
) -> None:
    """Until every child of `specs` is ready as specified; StartFailed names the one that isn't."""
    wanted = {spec.name: spec.digest() for spec in specs}
    give_up = time.monotonic() + timeout_s
    while True:
        status = running(layout)
        if status is None and not is_held(layout.lock):
            raise StartFailed(f"the supervisor ended:\n{last_lines(layout.log('supervisor'))}")
        if status is not None:
            shown(status)
            states = {name: child.state for name, child in status.children.items() if child.digest == wanted.get(name)}
            if all(states.get(name) == "ready" for name in wanted):
                return
            for name, child in status.children.items():
                if child.restarts >= HOPELESS_RESTARTS and child.state != "ready":
                    raise StartFailed(f"{name} keeps ending ({child.last_exit}):\n{last_lines(layout.log(name))}")
            if time.monotonic() > give_up:
                late = next(name for name in wanted if states.get(name) != "ready")
                raise StartFailed(f"{late} was not ready in {timeout_s:.0f} s:\n{last_lines(layout.log(late))}")
        time.sleep(POLL_S)


def stop(layout: Layout, timeout_s: float, shown: Callable[[SupervisorStatus], None]) -> list[str]:
    """Drain and leave nothing. Returns the names of children that had to be killed as orphans of an earlier crash."""
    status = running(layout)
    if status is not None:
        with suppress(ProcessLookupError):
            os.kill(status.pid, signal.SIGTERM)
        give_up = time.monotonic() + timeout_s
        while is_held(layout.lock) and time.monotonic() < give_up:
            now = read_status(layout.status)
            if now is not None:
                shown(now)
            time.sleep(POLL_S)
        if is_held(layout.lock):
            end_group(status.pid)
    _wait(lambda: not is_held(layout.lock), KILL_TIMEOUT_S)
    left = read_status(layout.status)
    killed = end_orphans(left, 0.5) if left is not None else []
    layout.status.unlink(missing_ok=True)
    return killed


def _settled(layout: Layout) -> bool:
    """No supervisor, or one that answers and is not on its way out."""
    status = running(layout)
    return not is_held(layout.lock) or (status is not None and not status.draining and bool(status.children))


def _write_plan(path: Path, specs: Sequence[ChildSpec]) -> None:
    partial = path.with_suffix(".new")
    partial.touch(mode=0o600)
    partial.write_text(specs_to_json(specs))
    partial.replace(path)


def _wait(done: Callable[[], bool], timeout_s: float) -> None:
    give_up = time.monotonic() + timeout_s
    while not done() and time.monotonic() < give_up:
        time.sleep(POLL_S / 4)
