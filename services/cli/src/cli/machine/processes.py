"""Starting a child in its own process group, and ending a group so that nothing of it is left."""

import os
import signal
import subprocess
import time
from contextlib import suppress
from pathlib import Path

from cli.machine.kernel import group_members
from cli.machine.readiness import is_ready
from cli.machine.spec import ChildSpec

SHARED_MEMORY = Path("/dev/shm")  # noqa: S108  # where POSIX shared memory is
POLL_S = 0.02
LOG_BYTES = 32 * 1024 * 1024
"""A larger log is put aside at the next start; one older part is kept."""


def spawn(spec: ChildSpec, log: Path) -> subprocess.Popen[bytes]:
    """Start `spec` as leader of a new session, output appended to `log`, dying with the calling process."""
    log.parent.mkdir(parents=True, exist_ok=True)
    if log.exists() and log.stat().st_size > LOG_BYTES:
        log.replace(log.with_suffix(".log.1"))
    with log.open("ab") as output:
        return subprocess.Popen(
            spec.argv(os.getpid()),
            env=dict(spec.env),
            cwd=spec.cwd,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )


def wait_ready(spec: ChildSpec, child: subprocess.Popen[bytes], log: Path, timeout_s: float = 60.0) -> None:
    """Return when `spec` answers; RuntimeError with the log's last lines when it ends first or takes too long."""
    give_up = time.monotonic() + timeout_s
    while not is_ready(spec.ready):
        if child.poll() is not None:
            raise RuntimeError(f"{spec.name} ended with {child.returncode}:\n{last_lines(log)}")
        if time.monotonic() > give_up:
            raise RuntimeError(f"{spec.name} was not ready in {timeout_s:.0f} s:\n{last_lines(log)}")
        time.sleep(POLL_S)


def stop(spec: ChildSpec, child: subprocess.Popen[bytes]) -> int:
    """Ask politely, wait, then kill the whole group and sweep what it left; returns the exit status."""
    with suppress(ProcessLookupError):
        child.send_signal(spec.stop_signal)
    try:
        status = child.wait(spec.stop_timeout_s)
    except subprocess.TimeoutExpired:
        end_group(child.pid)
        status = child.wait()
    end_group(child.pid)
    sweep_shared_memory(spec.shm_prefix)
    return status


def end_group(group: int, timeout_s: float = 5.0) -> None:
    """SIGKILL every member of a process group and wait until they are gone. A group of the caller is refused."""
    if group in (0, os.getpgrp()):
        raise ValueError(f"refusing to end the caller's own group {group}")
    give_up = time.monotonic() + timeout_s
    while time.monotonic() < give_up:
        try:
            os.killpg(group, signal.SIGKILL)
        except ProcessLookupError:
            return
        except PermissionError:  # only zombies of another user are left
            return
        if not group_members(group):
            return
        time.sleep(POLL_S)


def sweep_shared_memory(prefix: str) -> int:
    """Remove the regions under /dev/shm whose names start with `prefix`; returns how many. Empty prefix: none."""
    if not prefix or not SHARED_MEMORY.is_dir():
        return 0
    left = [path for path in SHARED_MEMORY.iterdir() if path.name.startswith(prefix)]
    for path in left:
        path.unlink(missing_ok=True)
    return len(left)


def last_lines(log: Path, count: int = 15) -> str:
    """The end of a log file, for showing why a child failed."""
    try:
        with log.open("rb") as file:
            file.seek(max(0, log.stat().st_size - 16384))
            return "\n".join(file.read().decode(errors="replace").splitlines()[-count:])
    except OSError:
        return ""
