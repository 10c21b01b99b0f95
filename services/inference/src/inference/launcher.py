"""Stands over tritonserver: ``python -I launcher.py PREFIX SERVING EXAMINER MODELS SECONDS tritonserver …``.

PREFIX is that of the server's shared memory. Before the server starts, EXAMINER (a Python with ``inference.staging``) copies and
examines its repositories into the private folder SERVING, and the server reads the copies: nothing is served unexamined. MODELS
are the names, separated by commas, of the models that may run code. SECONDS bounds how long models may take to load.

Triton opens its ports when every model has loaded or failed, and waits for ever for one that does neither, such as a graph with an
endless loop that is warmed up. When SECONDS are over, the server starts again without such models; SERVING/left_out.json says
why.

Only the standard library is used: it runs in the server's venv.

Triton never replaces a Python stub that died: the model's readiness stays true and a part of its requests fails for good. Here
a dead stub ends the server, and whoever supervises it (``mizzen up``, the kubelet) starts it again. Whichever way the
server ends, no stub, no shared memory and no temporary folder of it is left. A killed launcher takes the server with it.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path
from typing import IO

WATCHED = {signal.SIGTERM, signal.SIGINT, signal.SIGCHLD}
LOOK_S = 0.5  # how often the known stubs are looked at
DISCOVER_S = 2.0  # how often new ones are looked for: reading all of /proc takes some milliseconds
SHARED_MEMORY = Path("/dev/shm")  # noqa: S108 - where Linux keeps POSIX shared memory
# Triton's Python backend makes one at each start, for environments to unpack, wherever TMPDIR points; it never removes it.
TEMPORARY, ENVIRONMENTS = Path("/tmp"), "python_env_*"  # noqa: S108 - Triton's names
REPOSITORY_FLAGS = ("--model-repository", "--model-store")
LAST_LINES_S = 2.0
STUB_DIED, LOADS_FOR_EVER = 70, 71
LEFT_OUT = "left_out.json"
# Lines of Triton's log, which has no other way to tell how far a start is.
LOADING = re.compile(rb"[\" ]loading: (.+):\d+\b")
LOADED = re.compile(rb"(?:successfully loaded|failed to load) '(.+?)'")
STARTED = b"Started GRPCInferenceService"
_PR_SET_PDEATHSIG, _PR_SET_CHILD_SUBREAPER = 1, 36


@dataclass(frozen=True, slots=True)
class Staging:
    """``command`` copies and examines what follows it into ``folder`` (``inference.staging``)."""

    command: tuple[str, ...]
    folder: Path


class Start:
    """How far a server is that may take ``seconds`` to load its models, read from its log, which is passed on."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self._give_up = time.monotonic() + seconds
        self._unfinished: set[str] = set()
        self._started = False
        self._reader: threading.Thread | None = None

    def follow(self, log: IO[bytes]) -> None:
        """Reads ``log`` to its end beside the caller."""
        self._reader = threading.Thread(target=self._read, args=(log,), daemon=True)
        self._reader.start()

    def finish(self) -> None:
        """Returns when the log's last lines, which say why a server ended, are passed on; nothing may write to it any more."""
        if self._reader is not None:
            self._reader.join(timeout=LAST_LINES_S)

    def late(self) -> frozenset[str]:
        """The models that have neither loaded nor failed in time; empty before, and once the server has started."""
        over = not self._started and time.monotonic() >= self._give_up
        return frozenset(self._unfinished) if over else frozenset()

    def _read(self, log: IO[bytes]) -> None:
        with log:
            for line in log:
                sys.stderr.buffer.write(line)
                sys.stderr.buffer.flush()
                self.note(line)

    def note(self, line: bytes) -> None:
        """Takes one line of the log."""
        if self._started:
            return
        self._started = STARTED in line
        self._unfinished.update(name.decode() for name in LOADING.findall(line))
        self._unfinished.difference_update(name.decode() for name in LOADED.findall(line))


def run(prefix: str, command: list[str], staging: Staging, load_s: float | None = None) -> int:
    """Runs the server to its end; its exit code (128 + signal when killed), or 70 after a stub died.

    Where no repository passes its examination, the server isn't started: the examination's exit code. Models that take more than
    ``load_s`` seconds are left out; where they are all, the exit code is 71.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)  # stubs that outlive the server become ours to end
    signal.pthread_sigmask(signal.SIG_BLOCK, WATCHED)
    others = set(TEMPORARY.glob(ENVIRONMENTS))
    flags, roots = repositories(command)
    code = _supervise(libc, [*staging.command, str(staging.folder), *roots], without_libraries())
    if code == 0:
        served = [Path(path) for path in json.loads((staging.folder / "served.json").read_text())]
        code = LOADS_FOR_EVER
        while code == LOADS_FOR_EVER and served:
            start = None if load_s is None else Start(load_s)
            code = _supervise(libc, [*flags, *(f"--model-repository={path}" for path in served)], None, start)
            _sweep(prefix)
            if start is not None:
                start.finish()
            if start is not None and code == LOADS_FOR_EVER:
                served = leave_out(start.late(), served, staging.folder, start.seconds)
    _sweep(prefix)
    for found in set(TEMPORARY.glob(ENVIRONMENTS)) - others:
        with contextlib.suppress(OSError):  # another server's that is in use, or another user's
            found.rmdir()
    return code


def repositories(command: list[str]) -> tuple[list[str], list[str]]:
    """``command`` without its model repositories, and these; Triton takes an option by a beginning of its name as well."""
    flags: list[str] = []
    roots: list[str] = []
    words = iter(command)
    for word in words:
        name, equals, value = word.partition("=")
        if len(name) > len("--model-") and any(flag.startswith(name) for flag in REPOSITORY_FLAGS):
            roots.append(value if equals else next(words, ""))
        else:
            flags.append(word)
    return flags, roots


def without_libraries() -> dict[str, str]:
    """This environment for a Python of another venv: the libraries of Triton's wheel are for Triton alone."""
    return {name: value for name, value in os.environ.items() if name != "LD_LIBRARY_PATH"}


def _sweep(prefix: str) -> None:
    """Nothing that a server started is left, nor its shared memory."""
    end_children()
    for path in SHARED_MEMORY.glob(f"{prefix}*"):
        path.unlink(missing_ok=True)


def leave_out(models: Collection[str], served: list[Path], folder: Path, seconds: float) -> list[Path]:
    """Takes ``models`` out of the copies ``served``, tells why, and returns the copies that still hold a model."""
    path = folder / LEFT_OUT
    told = json.loads(path.read_text()) if path.is_file() else {}
    for name in sorted(models):
        told[name] = f"it did not load within {seconds:.0f} s (a warm-up without end?); the others go on without it"
        print(f"model {name} is not served: {told[name]}", file=sys.stderr, flush=True)  # noqa: T201
        for copy in served:
            shutil.rmtree(copy / name, ignore_errors=True)
    path.write_text(json.dumps(told))
    return [copy for copy in served if any(copy.iterdir())]


def _supervise(
    libc: ctypes.CDLL, command: list[str], environment: dict[str, str] | None, start: Start | None = None
) -> int:
    """Runs ``command`` to its end under :func:`watch`; None passes this process' environment on."""
    output = (None, None) if start is None else (subprocess.PIPE, subprocess.STDOUT)
    server = subprocess.Popen(  # noqa: S603 - the server's command line
        command,
        env=environment,
        preexec_fn=_in_child(libc),  # noqa: PLW1509 - no thread of ours holds a lock that the child needs
        stdout=output[0],
        stderr=output[1],
    )
    if start is not None and server.stdout is not None:
        start.follow(server.stdout)
    code = watch(server, start)
    if server.poll() is None:
        server.kill()
        server.wait()
    return code


def watch(server: subprocess.Popen[bytes], start: Start | None = None) -> int:
    """Passes signals on until the server ends, one of its stubs has died, or its models take too long to load."""
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
        if start is not None and start.late():
            return LOADS_FOR_EVER
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
    examiner = (sys.argv[3], "-I", "-m", "inference.staging", f"--allow-code={sys.argv[4]}")
    sys.exit(run(sys.argv[1], sys.argv[6:], Staging(examiner, Path(sys.argv[2])), float(sys.argv[5])))
