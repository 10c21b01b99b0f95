"""Stands over tritonserver: ``python -I launcher.py SHARED_MEMORY_PREFIX tritonserver …``, standard library only.

Triton never replaces a Python stub that died: the model's readiness stays true and a part of its requests fails for good. Here
a dead stub ends the server, and whoever supervises it (``mizzen up``, the kubelet) starts it again. Whichever way the
server ends, no stub, no shared memory and no temporary folder of it is left. A killed launcher takes the server with it.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

WATCHED = {signal.SIGTERM, signal.SIGINT, signal.SIGCHLD}
LOOK_S = 0.5  # how often the known stubs are looked at
DISCOVER_S = 2.0  # how often new ones are looked for: reading all of /proc takes some milliseconds
SHARED_MEMORY = Path("/dev/shm")  # noqa: S108 - where Linux keeps POSIX shared memory
# Triton's Python backend makes one at each start, for environments to unpack, wherever TMPDIR points; it never removes it.
TEMPORARY, ENVIRONMENTS = Path("/tmp"), "python_env_*"  # noqa: S108 - Triton's names
STUB_DIED = 70
_PR_SET_PDEATHSIG, _PR_SET_CHILD_SUBREAPER = 1, 36


def run(prefix: str, command: list[str]) -> int:
    """Runs the server to its end; its exit code (128 + signal when killed), or 70 after a stub died."""
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)  # stubs that outlive the server become ours to end
    signal.pthread_sigmask(signal.SIG_BLOCK, WATCHED)
    others = set(TEMPORARY.glob(ENVIRONMENTS))
    server = subprocess.Popen(command, preexec_fn=_in_child(libc))  # noqa: S603, PLW1509 - single-threaded here
    code = watch(server)
    if server.poll() is None:
        server.kill()
        server.wait()
    end_children()
    for path in SHARED_MEMORY.glob(f"{prefix}*"):
        path.unlink(missing_ok=True)
    for found in set(TEMPORARY.glob(ENVIRONMENTS)) - others:
        with contextlib.suppress(OSError):  # another server's that is in use, or another user's
            found.rmdir()
    return code


def watch(server: subprocess.Popen[bytes]) -> int:
    """Passes signals on until the server ends or one of its stubs has died."""
    stubs: set[int] = set()
    suspects: set[int] = set()
    discover_at = 0.0
    stopping = False
    while True:
        received = signal.sigtimedwait(WATCHED, LOOK_S)
        if received and received.si_signo not in WATCHED:
            received = None  # CPython answers rubbish when a SIGCONT interrupts the wait after its time is over
        if received and received.si_signo != signal.SIGCHLD:
            stopping = True
            server.send_signal(received.si_signo)
        code = server.poll()
        if code is not None:
            return code if code >= 0 else 128 - code
        if received or stopping:
            continue
        if time.monotonic() >= discover_at:
            stubs, discover_at = children(server.pid), time.monotonic() + DISCOVER_S
        # A stub that ends by Triton's will is reaped at once; one seen dead twice died by itself.
        dead = {pid for pid in stubs if state_of(pid) == ("Z", server.pid)}
        if dead & suspects:
            print(f"a Python stub of Triton died (pid {min(dead & suspects)}): ending the server", file=sys.stderr)  # noqa: T201
            return STUB_DIED
        suspects = dead


def children(parent: int) -> set[int]:
    """Pids of the processes whose parent is ``parent``, dead ones that were not reaped included."""
    pids = (int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdecimal())
    return {pid for pid in pids if state_of(pid)[1] == parent}


def state_of(pid: int) -> tuple[str, int]:
    """(state letter, parent's pid); ("", 0) once it is gone. Z is dead and not reaped."""
    try:
        state, parent = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[:2]
    except OSError:
        return "", 0
    return state, int(parent)


def end_children(timeout_s: float = 5.0) -> None:
    """Kills and reaps whatever is left under this process."""
    deadline = time.monotonic() + timeout_s
    while (left := children(os.getpid())) and time.monotonic() < deadline:
        for pid in left:
            try:
                os.kill(pid, signal.SIGKILL)
                os.waitpid(pid, 0)
            except (ProcessLookupError, ChildProcessError):
                pass


def _in_child(libc: ctypes.CDLL) -> Callable[[], None]:
    def prepare() -> None:
        libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        signal.pthread_sigmask(signal.SIG_SETMASK, set())

    return prepare


if __name__ == "__main__":
    sys.exit(run(sys.argv[1], sys.argv[2:]))
