"""The status file: what the supervisor tells about its children, and what a later `up` or `down` cleans up by."""

import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Literal

State = Literal["starting", "ready", "unready", "waiting", "stopping", "stopped"]


@dataclass(slots=True)
class ChildStatus:
    """`started` is the leader's start in the kernel's ticks: with the pid it names one process of a boot for good."""

    name: str
    state: State = "waiting"
    pid: int = 0
    started: int = 0
    since: float = 0.0
    restarts: int = 0
    last_exit: str = ""
    ports: tuple[int, ...] = ()
    digest: str = ""
    shm_prefix: str = ""


@dataclass(slots=True)
class SupervisorStatus:
    """`draining` is set from the first TERM on."""

    pid: int = 0
    started: int = 0
    boot: str = ""
    draining: bool = False
    children: dict[str, ChildStatus] = field(default_factory=dict)

    def all_ready(self) -> bool:
        return bool(self.children) and all(child.state == "ready" for child in self.children.values())


def write_status(path: Path, status: SupervisorStatus) -> None:
    """Replace the file as a whole: a reader sees the old one or the new one."""
    partial = path.with_suffix(".new")
    partial.write_text(json.dumps(asdict(status)))
    partial.replace(path)


def read_status(path: Path) -> SupervisorStatus | None:
    """None when there is no file, or one that another version wrote."""
    try:
        found = json.loads(path.read_text())
        children = {
            name: ChildStatus(**{**child, "ports": tuple(child["ports"])})
            for name, child in found.pop("children").items()
        }
        return SupervisorStatus(**found, children=children)
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return None


def is_held(lock: Path) -> bool:
    """Whether a supervisor lives: the kernel gives its lock back however it ends."""
    try:
        with lock.open("r") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            return False
    except FileNotFoundError:
        return False
    except BlockingIOError:
        return True


@contextmanager
def holding(lock: Path) -> Iterator[None]:
    """Hold the lock; BlockingIOError when another supervisor does. Children don't inherit it."""
    descriptor = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    finally:
        os.close(descriptor)
