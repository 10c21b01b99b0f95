"""What the supervisor needs to know of a child process, as plain data: it can be written to the plan and read back."""

import hashlib
import json
import signal
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

# Under load the gateway gets the CPU first, as only it can refuse in time; and what looks back at predictions gets it last.
BEHIND_THE_GATEWAY, IN_THE_BACKGROUND = 5, 10
ReadyKind = Literal["http", "grpc", "valkey", "postgres", "tcp", "process"]


@dataclass(frozen=True, slots=True)
class Ready:
    """How a child shows that it can do its work: `path` is for http, `user` and `database` are for postgres; grpc asks its
    standard health service.

    `password_file` is for valkey, which tells of its state only to who is logged in.
    """

    kind: ReadyKind = "process"
    port: int = 0
    path: str = "/"
    user: str = ""
    database: str = ""
    host: str = "127.0.0.1"
    password_file: str = ""


@dataclass(frozen=True, slots=True)
class ChildSpec:
    """One supervised process. `env` is the whole environment; `uid` is set where the child must not run as root."""

    name: str
    command: tuple[str, ...]
    env: Mapping[str, str]
    cwd: str
    ready: Ready = field(default_factory=Ready)
    stop_signal: int = int(signal.SIGTERM)
    stop_timeout_s: float = 25.0
    uid: int | None = None
    niceness: int = 0
    """Of 0 to 19: a child of less niceness gets the CPU first where all want it."""
    shm_prefix: str = ""
    ports: tuple[int, ...] = ()
    stage: int = 0
    """Draining goes from the highest stage (the gateway) to the lowest (engines); starting needs no order."""
    fingerprint: str = ""
    """Changes when something outside of command and env (a binary, a folder's contents) asks for a restart."""

    def digest(self) -> str:
        """The first 16 hex of sha256 over what matters: two equal ones need no restart. PATH differs between shells."""
        matters = {**asdict(self), "env": {key: value for key, value in self.env.items() if key != "PATH"}}
        return hashlib.sha256(json.dumps(matters, sort_keys=True).encode()).hexdigest()[:16]

    def argv(self, parent_pid: int) -> list[str]:
        """The command tied to its parent's life, and its privileges dropped before it starts."""
        return tied(self.command, parent_pid, self.stop_signal, self.uid, self.niceness)


def tied(
    command: Sequence[str], parent_pid: int, death_signal: int, uid: int | None = None, niceness: int = 0
) -> list[str]:
    """`command` wrapped in `child.py`: it gets `death_signal` when the thread that starts it ends, however that happens."""
    wrapper = str(Path(__file__).with_name("child.py"))
    user = "-" if uid is None else str(uid)
    return [sys.executable, "-I", "-S", wrapper, str(parent_pid), str(int(death_signal)), user, str(niceness), *command]


def specs_to_json(specs: Sequence[ChildSpec]) -> str:
    """The plan file's text."""
    return json.dumps([asdict(spec) for spec in specs], indent=1)


def specs_from_json(text: str) -> list[ChildSpec]:
    """The inverse of `specs_to_json`; raises ValueError, KeyError or TypeError on foreign text."""
    return [_spec(item) for item in json.loads(text)]


def _spec(item: dict[str, Any]) -> ChildSpec:
    known = {**item, "command": tuple(item["command"]), "ready": Ready(**item["ready"]), "ports": tuple(item["ports"])}
    return ChildSpec(**known)
