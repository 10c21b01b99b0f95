"""Who holds a TCP port: the question behind every "address already in use"."""

import socket
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

LISTEN = "0A"


@dataclass(frozen=True, slots=True)
class Owner:
    """The process behind a taken port; `pid` 0 where another user's process is not told about.

    `state` is the state directory of the other Mizzen that it belongs to; empty for anything else.
    """

    pid: int
    command: str
    state: str = ""

    def __str__(self) -> str:
        return f"process {self.pid} ({self.command})" if self.pid else "a process of another user"


def is_free(port: int, host: str = "127.0.0.1") -> bool:
    """Whether a server could listen on `port` now. Connections that are closing don't count, as for any server."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
            probe.listen(1)
        except OSError:
            return False
    return True


def owner(port: int) -> Owner | None:
    """The process that listens on `port` on any address; None when nobody does."""
    sockets = _listening(port)
    if not sockets:
        return None
    for process in Path("/proc").iterdir():
        if not process.name.isdigit():
            continue
        with suppress(OSError):
            for descriptor in (process / "fd").iterdir():
                if _inode(descriptor) in sockets:
                    return Owner(int(process.name), _command(process), _state(process))
    return Owner(0, "")


def _listening(port: int) -> set[str]:
    """Inodes of listening sockets on `port`."""
    found = set()
    for table in ("tcp", "tcp6"):
        with suppress(OSError):
            for line in Path("/proc/net", table).read_text().splitlines()[1:]:
                fields = line.split()
                if fields[3] == LISTEN and int(fields[1].rpartition(":")[2], 16) == port:
                    found.add(fields[9])
    return found


def _inode(descriptor: Path) -> str:
    with suppress(OSError):
        target = str(descriptor.readlink())
        if target.startswith("socket:["):
            return target.removeprefix("socket:[").removesuffix("]")
    return ""


def _state(process: Path) -> str:
    with suppress(OSError):
        for variable in (process / "environ").read_text(errors="replace").split("\0"):
            if variable.startswith("MIZZEN_STATE="):
                return variable.partition("=")[2]
    return ""


def _command(process: Path) -> str:
    words = (process / "cmdline").read_text(errors="replace").split("\0")
    return " ".join(words).strip()[:80] or (process / "comm").read_text().strip()
