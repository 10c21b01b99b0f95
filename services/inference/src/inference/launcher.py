"""Stands over tritonserver: ``python -I launcher.py PREFIX SERVING EXAMINER MODELS tritonserver …``, standard library only.

PREFIX is that of the server's shared memory. Before the server starts, EXAMINER (a Python with ``inference.staging``) copies and
examines its repositories into the private folder SERVING, and the server reads the copies: nothing is served unexamined. MODELS
are the names, separated by commas, of the models that may run code.

Triton never replaces a Python stub that died: the model's readiness stays true and a part of its requests fails for good. Here
a dead stub ends the server, and whoever supervises it (``mizzen up``, the kubelet) starts it again.

Of a stub that stands still (SIGSTOP, a frozen process) Triton gives up each request after a second and forgets what it asked.
When such a stub goes on, it answers what nobody waits for any more, and Triton takes that for the answer to another request or
reads memory that it has freed: seen were SIGABRT and SIGSEGV of the whole server. So a stub that stands still is killed before it
goes on, and its model alone is loaded anew: the private folder SERVING is polled, and only the launcher changes anything in it.
A model that could not be loaded is taken out of it, or each poll would try again.

Whichever way the server ends, no stub, no shared memory and no temporary folder of it is left. A killed launcher takes the
server with it.
"""

from __future__ import annotations

import contextlib
import ctypes
import http.client
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

WATCHED = {signal.SIGTERM, signal.SIGINT, signal.SIGCHLD}
LOOK_S = 0.5  # how often the known stubs are looked at
DISCOVER_S = 2.0  # how often new ones are looked for: reading all of /proc takes some milliseconds
SHARED_MEMORY = Path("/dev/shm")  # noqa: S108 - where Linux keeps POSIX shared memory
# Triton's Python backend makes one at each start, for environments to unpack, wherever TMPDIR points; it never removes it.
TEMPORARY, ENVIRONMENTS = Path("/tmp"), "python_env_*"  # noqa: S108 - Triton's names
REPOSITORY_FLAGS = ("--model-repository", "--model-store")
# Polling refuses to load or unload over the network, as "none" does.
UNPOLLED, POLLED = "--model-control-mode=none", ("--model-control-mode=poll", "--repository-poll-secs=1")
STUB = "triton_python_backend_stub"
STUB_DIED = 70
RENEWALS = 3  # each leaves a thread of Triton, a defunct process and a region of shared memory behind
WITHOUT_STUB_S = 10.0  # how long a model that is loaded anew may have no stub
_PR_SET_PDEATHSIG, _PR_SET_CHILD_SUBREAPER = 1, 36


@dataclass(frozen=True, slots=True)
class Staging:
    """``command`` copies and examines what follows it into ``folder`` (``inference.staging``)."""

    command: tuple[str, ...]
    folder: Path


@dataclass(frozen=True, slots=True)
class Polled:
    """A server that polls its ``roots``, and where its HTTP port is reached."""

    host: str
    port: int
    roots: tuple[Path, ...]

    @classmethod
    def of(cls, command: list[str]) -> Polled | None:
        """None for a server that was told to load models in another way."""
        if POLLED[0] not in command:
            return None
        flags, roots = repositories(command)
        given = dict(flag.partition("=")[::2] for flag in flags)
        host = given.get("--http-address", "")
        local = "127.0.0.1" if host in ("", "0.0.0.0") else host  # noqa: S104
        return cls(local, int(given.get("--http-port", "8000")), tuple(map(Path, roots)))

    def without_failed(self) -> bool:
        """Takes out the models that could not be loaded; False while the server, which tries all first, doesn't answer."""
        try:
            connection = http.client.HTTPConnection(self.host, self.port, timeout=LOOK_S)
            with contextlib.closing(connection):
                connection.request("POST", "/v2/repository/index", "{}")
                index = json.loads(connection.getresponse().read())
        except (OSError, http.client.HTTPException, ValueError):
            return False
        failed = {model["name"] for model in index if model.get("state") != "READY"}
        for root in self.roots:
            for folder in [path for path in root.iterdir() if path.name in failed]:
                aside = root.with_name(f"{root.name}-failed")
                aside.mkdir(exist_ok=True)
                folder.rename(aside / folder.name)
        return True


def run(prefix: str, command: list[str], staging: Staging) -> int:
    """Runs the server to its end; its exit code (128 + signal when killed), or 70 after a stub died.

    Where no repository passes its examination, the server isn't started: the examination's exit code.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)  # stubs that outlive the server become ours to end
    signal.pthread_sigmask(signal.SIG_BLOCK, WATCHED)
    others = set(TEMPORARY.glob(ENVIRONMENTS))
    flags, roots = repositories(command)
    code = _supervise(libc, [*staging.command, str(staging.folder), *roots], without_libraries())
    if code == 0:
        served = json.loads((staging.folder / "served.json").read_text())
        code = _supervise(libc, [*polled(flags), *(f"--model-repository={path}" for path in served)], None)
    end_children()
    for path in SHARED_MEMORY.glob(f"{prefix}*"):
        path.unlink(missing_ok=True)
    for found in set(TEMPORARY.glob(ENVIRONMENTS)) - others:
        with contextlib.suppress(OSError):  # another server's that is in use, or another user's
            found.rmdir()
    return code


def repositories(command: list[str]) -> tuple[list[str], list[str]]:
    """``command`` without its model repositories, and these."""
    flags: list[str] = []
    roots: list[str] = []
    words = iter(command)
    for word in words:
        name, equals, value = word.partition("=")
        if name in REPOSITORY_FLAGS:
            roots.append(value if equals else next(words, ""))
        else:
            flags.append(word)
    return flags, roots


def polled(flags: list[str]) -> list[str]:
    """``flags`` with the served folder polled, where nothing else was to be loaded."""
    return [each for flag in flags for each in (POLLED if flag == UNPOLLED else (flag,))]


def without_libraries() -> dict[str, str]:
    """This environment for a Python of another venv: the libraries of Triton's wheel are for Triton alone."""
    return {name: value for name, value in os.environ.items() if name != "LD_LIBRARY_PATH"}


def _supervise(libc: ctypes.CDLL, command: list[str], environment: dict[str, str] | None) -> int:
    """Runs ``command`` to its end under :func:`watch`; None passes this process' environment on."""
    server = subprocess.Popen(command, env=environment, preexec_fn=_in_child(libc))  # noqa: S603, PLW1509 - one thread
    code = watch(server, Polled.of(command))
    if server.poll() is None:
        server.kill()
        server.wait()
    return code


def watch(server: subprocess.Popen[bytes], polled: Polled | None = None) -> int:
    """Passes signals on until the server ends or can't go on with the stubs it has."""
    stubs = Stubs(server.pid, polled)
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
        if wrong := stubs.look():
            _say(f"{wrong}: ending the server")
            return STUB_DIED


class Stubs:
    """The Python stubs of a server, one a model instance, and what becomes of those that no longer work."""

    def __init__(self, server: int, polled: Polled | None) -> None:
        """``server``: its pid. Where nothing is polled, a stub that stands still ends the server."""
        self._server = server
        self._unlooked = polled  # until the models that could not be loaded are taken out
        self._renewals_left = RENEWALS if polled else 0
        self._folders: dict[int, Path | None] = {}  # by pid: of the version that it serves, where it is known
        self._replaced: set[int] = set()
        self._lacking: dict[Path, float] = {}  # renewed folders, and when each had a stub last
        self._dead: set[int] = set()
        self._still: set[int] = set()
        self._discover_at = 0.0

    def look(self) -> str:
        """Why the server has to end; empty while it may go on. To be asked every LOOK_S."""
        now = time.monotonic()
        if now >= self._discover_at:
            self._discover(now)
        if state_of(self._server)[0] == "T":
            return ""  # the whole server stands still, and so forgets nothing
        states = {pid: state_of(pid) for pid in self._folders.keys() - self._replaced}
        # A stub that ends by Triton's will is reaped at once; one seen dead twice died by itself.
        dead = {pid for pid, state in states.items() if state == ("Z", self._server)}
        still = {pid for pid, state in states.items() if state == ("T", self._server)}
        if dead & self._dead:
            return f"a Python stub of Triton died (pid {min(dead & self._dead)})"
        if still & self._still:
            return self._renew(still & self._still, now)
        self._dead, self._still = dead, still
        for folder, since in self._lacking.items():
            if now - since > WITHOUT_STUB_S:
                return f"{folder.parent.name} was not loaded anew"
        return ""

    def _discover(self, now: float) -> None:
        self._discover_at = now + DISCOVER_S
        if self._unlooked and self._unlooked.without_failed():
            self._unlooked = None
        known, pids = self._folders, children(self._server)
        self._replaced &= pids
        self._folders = {pid: known.get(pid) or version_folder(pid) for pid in pids}
        # One that is seen once only may belong to an attempt to load that fails.
        served = {folder for pid, folder in self._folders.items() if pid in known and pid not in self._replaced}
        self._lacking = {folder: now if folder in served else since for folder, since in self._lacking.items()}

    def _renew(self, still: set[int], now: float) -> str:
        folders = {self._folders[pid] for pid in still}
        for pid in still:
            os.kill(pid, signal.SIGKILL)
        names = ", ".join(sorted(folder.parent.name for folder in folders if folder))
        wrong = f"a Python stub of Triton stood still (pid {min(still)}{', ' if names else ''}{names})"
        if not self._renewals_left or None in folders:
            return wrong
        _say(f"{wrong}: its model is loaded anew")
        self._renewals_left -= 1
        self._replaced |= still
        for folder in folders:
            if folder:
                self._lacking[folder] = now
                for path in (*folder.iterdir(), folder):
                    os.utime(path)
        return ""


def version_folder(pid: int) -> Path | None:
    """The folder ``…/MODEL/VERSION`` that a stub serves; None of another process, and of one that is no more."""
    try:
        words = Path(f"/proc/{pid}/cmdline").read_text().split("\0")
    except OSError:
        return None
    folder = Path(words[1]).parent if words[0].endswith(STUB) and len(words) > 1 else None
    return folder if folder and folder.is_dir() else None


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)  # noqa: T201 - the server's own log


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
    sys.exit(run(sys.argv[1], sys.argv[5:], Staging(examiner, Path(sys.argv[2]))))
