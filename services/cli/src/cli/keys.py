"""API keys of one machine: the file that `mizzen key` writes, and the key that the command itself shows."""

import codecs
import fcntl
import hmac
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from chassis.api_keys import ALL, SCOPES, ApiKey, KeyLines, key_hash, new_key, parse_key, parse_keys
from chassis.rpc.identity import write_keys
from chassis.settings import is_loopback
from cli.machine.layout import PRIVATE, Layout
from cli.settings import Settings

OWN = "mizzen-up"
OWN_TENANT = "default"
OWN_SCOPES = frozenset(SCOPES)


@dataclass(frozen=True, slots=True)
class Installation:
    """Where this machine's keys are."""

    settings: Settings
    layout: Layout

    @property
    def file(self) -> Path:
        """Of MIZZEN_GATEWAY_API_KEYS_FILE, else in the state."""
        return self.settings.api_keys_file or self.layout.keys / "api-keys"

    @property
    def own_file(self) -> Path:
        """Lines of the command's own key, for the gateway."""
        return self.layout.keys / "own-api-keys"

    @property
    def own_key_file(self) -> Path:
        """The command's own key itself."""
        return self.layout.keys / "own-api-key"

    @property
    def needed(self) -> bool:
        """Whether the gateway asks for keys."""
        return self.settings.api_keys_file is not None or self.file.exists()

    def secret(self) -> bytes:
        """What keys are hashed with; made on a fresh state. OSError or ValueError where it can't be read."""
        path = self.settings.service_secret_file
        if path is None:
            write_keys(self.layout.keys)
            path = self.layout.keys / "service.secret"
        return bytes.fromhex(path.read_text(encoding="ascii").strip())

    def check(self) -> list[str]:
        """What is wrong with the key file, a line each. RuntimeError where the gateway could not start, says how to mend it."""
        host = self.settings.host
        if not self.needed:
            if not is_loopback(host):
                raise RuntimeError(
                    f"MIZZEN_HOST={host} is not loopback, and there is no API key: make one with `mizzen key create NAME`, "
                    f"which writes {self.file}"
                )
            return []
        if not self.file.is_file():
            raise RuntimeError(
                f"MIZZEN_GATEWAY_API_KEYS_FILE={self.file} is no file: `mizzen key create NAME` makes it"
            )
        lines = parse_keys(self.file.read_bytes())
        if self.settings.given_api_key and not self._works(self.settings.given_api_key, lines):
            raise RuntimeError(
                f"MIZZEN_API_KEY is no key of {self.file}: unset it, or make one with `mizzen key create`"
            )
        return [f"{self.file}: {fault}" for fault in lines.faults]

    def own_key(self) -> str:
        """The key that the command shows the gateway of this machine; made once, with the scopes that its calls need."""
        plain, secret = self.own_key_file, self.secret()
        with suppress(OSError):
            key = plain.read_text(encoding="ascii").strip()
            known = parse_keys(self.own_file.read_bytes())
            if any(each.hash == key_hash(secret, key) and each.scopes == OWN_SCOPES for _, each in known.keys):
                return key
        key = new_key()
        line = ApiKey(OWN, OWN_TENANT, OWN_SCOPES, key_hash(secret, key)).line()
        write(self.own_file, f"# Made by `mizzen up` for its own calls.\n{line}\n".encode())
        write(plain, f"{key}\n".encode())
        return key

    def shown_key(self) -> str:
        """The key that calls to the gateway show: the given one, else this machine's own; empty where none is asked for."""
        given = self.settings.given_api_key or self.settings.key_of_file()
        if given or self.settings.gateway_url or not self.needed:
            return given
        return self.own_key()

    def _works(self, key: str, lines: KeyLines) -> bool:
        hashed = key_hash(self.secret(), key)
        with suppress(OSError):
            lines = KeyLines((*lines.keys, *parse_keys(self.own_file.read_bytes()).keys), ())
        return any(hmac.compare_digest(each.hash, hashed) for _, each in lines.keys)


def create(
    path: Path, secret: bytes, name: str, *, tenant: str, scopes: frozenset[str], expires: datetime | None = None
) -> str:
    """Add a key of this name to the file and return the key. ValueError names what is wrong with it."""
    key = new_key()
    made = ApiKey(name, tenant, scopes, key_hash(secret, key), expires)
    parse_key(made.line())
    if expires is not None and expires <= datetime.now(UTC):
        raise ValueError("the expiry is in the past")

    def added(data: bytes) -> bytes:
        if any(each.name == name for _, each in parse_keys(data).keys):
            raise ValueError(f"{path} has a key {name} already: choose another name, or revoke it first")
        gap = b"" if not data or data.endswith(b"\n") else b"\n"
        return data + gap + f"{made.line()}\n".encode()

    _change(path, added)
    return key


def revoke(path: Path, name: str, tenant: str = "") -> int:
    """Take every line of this name out of the file, a wrong one too; returns how many there were.

    Of one tenant alone where that is named. ValueError lists the tenants where the name is in several and none is named.
    """
    counts = [0]
    named = [name.encode(), tenant.encode()] if tenant else [name.encode()]

    def without(data: bytes) -> bytes:
        text = data.removeprefix(codecs.BOM_UTF8)
        lines = text.splitlines(keepends=True)
        left = [line for line in lines if line.strip().split(b":")[: len(named)] != named]
        tenants = sorted(tenants_of(data, name))
        if not tenant and len(tenants) > 1:
            raise ValueError(f"the key {name} is in several tenants ({', '.join(tenants)}): name one with --tenant")
        counts[0] = len(lines) - len(left)
        return data[: len(data) - len(text)] + b"".join(left)

    _change(path, without)
    return counts[0]


def tenants_of(data: bytes, name: str) -> set[str]:
    """In which tenants a key file has a key of this name, on lines that are right in other respects or wrong."""
    fields = [line.strip().split(b":") for line in data.removeprefix(codecs.BOM_UTF8).splitlines()]
    return {each[1].decode(errors="replace") for each in fields if len(each) > 1 and each[0] == name.encode()}


def write(path: Path, data: bytes) -> None:
    """Replace the file as a whole, for its owner only: who reads it meanwhile sees the old one or the new one."""
    partial = path.with_name(f".{path.name}.new")
    with suppress(FileNotFoundError):
        partial.unlink()
    with os.fdopen(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    if path.exists() and os.getuid() == 0:
        os.chown(partial, path.stat().st_uid, path.stat().st_gid)
    partial.rename(path)


def scopes_of(text: str) -> frozenset[str]:
    """Of a comma-separated list. ValueError when one is unknown."""
    scopes = frozenset(part for each in text.split(",") if (part := each.strip()))
    if not scopes or scopes - {*SCOPES, ALL}:
        raise ValueError(f"--scopes {text}: name some of {', '.join(SCOPES)}, or {ALL} for all")
    return scopes


def _change(path: Path, change: Callable[[bytes], bytes]) -> None:
    target = path.resolve()  # a link stays one
    target.parent.mkdir(parents=True, exist_ok=True, mode=PRIVATE)
    with _alone(target):
        write(target, change(target.read_bytes() if target.exists() else b""))


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    """One change at a time: two at once would lose one."""
    descriptor = os.open(path.with_name(f".{path.name}.lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
