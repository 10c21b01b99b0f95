"""Processes under measurement: started on a core of their own, measured by the CPU time of their whole tree."""

import base64
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import psutil

from bench.results import median

SERVER_CORE, LOAD_CORE = 0, (os.cpu_count() or 1) - 1
LOAD = Path(__file__).with_name("load.py")


def free_port() -> int:
    """A port that was free a moment ago."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        return int(bound.getsockname()[1])


class Processes(ExitStack):
    """Children that all end, as groups, when the block does."""

    def start(
        self,
        command: Sequence[str | Path],
        *,
        core: int,
        log: Path,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
    ) -> psutil.Process:
        """Starts `command` in a group of its own, pinned to `core`, writing to `log`."""
        with log.open("ab") as out:
            child = subprocess.Popen(
                [str(word) for word in command],
                stdout=out,
                stderr=out,
                env={**os.environ, **(env or {})},
                cwd=cwd,
                start_new_session=True,
                preexec_fn=lambda: os.sched_setaffinity(0, {core}),  # noqa: PLW1509  # this program has one thread
            )
        self.callback(_end, child)
        return psutil.Process(child.pid)


def _end(child: subprocess.Popen[bytes]) -> None:
    tree = (
        [psutil.Process(child.pid), *psutil.Process(child.pid).children(recursive=True)] if child.poll() is None else []
    )
    for process in tree:
        if process.is_running():
            process.terminate()
    _, alive = psutil.wait_procs(tree, timeout=10)
    for process in alive:
        process.kill()
    child.wait()


def wait_until(true: Callable[[], bool], *, log: Path, timeout_s: float = 90) -> None:
    """Polls until `true()`; SystemExit with the end of the log when it takes longer."""
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        try:
            if true():
                return
        except OSError:
            pass
        time.sleep(0.1)
    raise SystemExit(f"not ready in {timeout_s} s: {log.read_text()[-3000:]}")


def listens(port: int) -> Callable[[], bool]:
    """True once something accepts connections on `port`."""

    def asked() -> bool:
        with socket.create_connection(("127.0.0.1", port), timeout=1):
            return True

    return asked


def cpu_s(processes: Sequence[psutil.Process]) -> float:
    """User and system CPU seconds of the processes and their living descendants."""
    total = 0.0
    for process in processes:
        for each in (process, *process.children(recursive=True)):
            times = each.cpu_times()
            total += times.user + times.system
    return total


def measure(servers: Sequence[psutil.Process], plan: dict[str, Any]) -> dict[str, float]:
    """Runs one load and adds `cpu_us`: CPU µs of the servers per request. SystemExit when a request failed."""
    plan = {**plan, "body": base64.b64encode(plan["body"]).decode()}
    before = cpu_s(servers)
    done = subprocess.run(
        [sys.executable, LOAD, json.dumps(plan)],
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
        preexec_fn=lambda: os.sched_setaffinity(0, {LOAD_CORE}),
    )
    if done.returncode:
        raise SystemExit(done.stderr[-2000:])
    answer: dict[str, float] = json.loads(done.stdout)
    if answer["failed"]:
        raise SystemExit(f"{answer['failed']:.0f} of {answer['requests']:.0f} requests failed: {done.stderr[-2000:]}")
    # The kernel counts CPU time in ticks of 10 ms: enough requests make that small.
    answer["cpu_us"] = (cpu_s(servers) - before) / answer["requests"] * 1e6
    return answer


def cpu_us_in_turns(
    sides: Sequence[tuple[Sequence[psutil.Process], dict[str, Any]]], warm_up: Sequence[int], repeats: int
) -> list[float]:
    """For each (servers, plan): the median of CPU µs per request of `repeats` loads, the sides taking turns.

    warm_up: requests of each side before anything counts.
    """
    for (servers, plan), requests in zip(sides, warm_up, strict=True):
        measure(servers, {**plan, "requests": requests})
    turns = [[measure(servers, plan)["cpu_us"] for servers, plan in sides] for _ in range(repeats)]
    return [median(side) for side in zip(*turns, strict=True)]
