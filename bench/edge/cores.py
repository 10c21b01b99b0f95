"""The load generator apart from what it loads: on a core of its own."""

import contextlib
import json
import os
from collections.abc import Iterator
from pathlib import Path

from bench.edge.platform import Platform


@contextlib.contextmanager
def apart(platform: Platform) -> Iterator[None]:
    """The last core for this process and its children, the others for the platform; nothing on a machine of one core."""
    cores = sorted(os.sched_getaffinity(0))
    if len(cores) == 1:
        yield
        return
    _keep(_tasks(platform), set(cores[:-1]))
    os.sched_setaffinity(0, {cores[-1]})
    try:
        yield
    finally:
        os.sched_setaffinity(0, set(cores))
        _keep(_tasks(platform), set(cores))


def _keep(tasks: Iterator[int], cores: set[int]) -> None:
    for task in tasks:
        with contextlib.suppress(ProcessLookupError):
            os.sched_setaffinity(task, cores)


def _tasks(platform: Platform) -> Iterator[int]:
    """Threads of the platform's processes and of all that these started."""
    status = json.loads((platform.state / "run/status.json").read_text())
    processes = [int(child["pid"]) for child in status["children"].values()]
    while processes:
        for task in Path(f"/proc/{processes.pop()}/task").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                processes += map(int, (task / "children").read_text().split())
                yield int(task.name)
