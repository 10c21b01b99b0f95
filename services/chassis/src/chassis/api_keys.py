"""API keys as lines of a file: `name:tenant:scopes:hash`, and `:expires` behind it for a key that ends by itself.

Scopes are separated by commas. The hash is HMAC-SHA256 of the key under the installation's service secret, hex: a stolen file alone
opens nothing. `expires` is an RFC 3339 instant with an offset, or a day, at whose start (UTC) the key ends.
"""

import hashlib
import hmac
import re
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

SCOPES = ("read", "infer", "write")
ALL = "*"
PREFIX = "mzn_"
MAX_FILE_BYTES = 1024 * 1024
_BOM = b"\xef\xbb\xbf"
_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,62}")
_TENANT = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")
_HASH = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class ApiKey:
    """What a line says of a key. `expires` is in UTC; None: never."""

    name: str
    tenant: str
    scopes: frozenset[str]
    hash: str
    expires: datetime | None = None

    def line(self) -> str:
        """As the file has it."""
        fields = [self.name, self.tenant, ",".join(sorted(self.scopes)), self.hash]
        return ":".join([*fields, *([self.expires.isoformat()] if self.expires else [])])


@dataclass(frozen=True, slots=True)
class Fault:
    """A line that is wrong. The reason holds nothing of the line: it may be a key that somebody pasted."""

    line: int
    reason: str

    def __str__(self) -> str:
        return f"line {self.line}: {self.reason}"


@dataclass(frozen=True, slots=True)
class KeyLines:
    """What a file says: its keys, each with the number of its line, and what is wrong."""

    keys: tuple[tuple[int, ApiKey], ...]
    faults: tuple[Fault, ...]


def new_key() -> str:
    """A key that nobody can guess."""
    return PREFIX + secrets.token_urlsafe(32)


def key_hash(secret: bytes, key: str) -> str:
    """What the file holds for a key."""
    return hmac.new(secret, b"mizzen-api-key-v1." + key.encode(), hashlib.sha256).hexdigest()


def bearer(authorization: str, api_key: str) -> str | None:
    """The credential of `Authorization: Bearer KEY` or `x-api-key: KEY`."""
    if api_key:
        return api_key
    kind, _, key = authorization.partition(" ")
    return key.strip() if kind.lower() == "bearer" else None


def parse_keys(data: bytes) -> KeyLines:
    """Every key that can be read, and a fault for every line that is wrong: its key counts as not there.

    Two lines with one hash and different rights are both wrong, as nobody knows which was meant; the same line again is told, and
    counts once. Two keys of one name are told, and both count.
    """
    keys: list[tuple[int, ApiKey]] = []
    faults: list[Fault] = []
    for number, raw in enumerate(data.removeprefix(_BOM).split(b"\n"), 1):
        line = raw.strip()
        if not line or line.startswith(b"#"):
            continue
        try:
            keys.append((number, parse_key(line.decode("ascii"))))
        except UnicodeDecodeError:
            faults.append(Fault(number, "is not ASCII text"))
        except ValueError as error:
            faults.append(Fault(number, str(error)))
    return _without_doubt(keys, faults)


def parse_key(line: str) -> ApiKey:
    """One line. ValueError says what is wrong with it, without a word of it."""
    fields = line.split(":", 4)
    if len(fields) < 4:
        raise ValueError("is not name:tenant:scopes:hash")
    name, tenant, listed, hashed = fields[:4]
    scopes = frozenset(scope for scope in listed.split(",") if scope)
    parse_name(name)
    parse_tenant(tenant)
    if not scopes or scopes - {*SCOPES, ALL}:
        raise ValueError(f"the scopes are not some of {', '.join(SCOPES)}, or {ALL}")
    if not _HASH.fullmatch(hashed):
        raise ValueError("the hash is not 64 of 0-9 a-f (`mizzen key create` makes it)")
    return ApiKey(name, tenant, scopes, hashed, parse_expiry(fields[4]) if len(fields) > 4 else None)


def parse_name(text: str) -> str:
    """The name of a key. ValueError otherwise."""
    if not _NAME.fullmatch(text):
        raise ValueError("the name is not 1 to 63 of a-z 0-9 . _ -")
    return text


def parse_tenant(text: str) -> str:
    """The name of a tenant. ValueError otherwise."""
    if not _TENANT.fullmatch(text):
        raise ValueError("the tenant is not 1 to 63 of a-z 0-9 -")
    return text


def parse_expiry(text: str) -> datetime:
    """A day, or an instant with an offset, in UTC. ValueError otherwise."""
    try:
        expires = datetime.fromisoformat(text)
        if expires.tzinfo is None and len(text) <= len("2026-12-31"):
            return expires.replace(tzinfo=UTC)
        if expires.tzinfo is not None:
            return expires.astimezone(UTC)
    except (ValueError, OverflowError):
        pass
    raise ValueError("the expiry is no day (2026-12-31) and no instant with an offset (2026-12-31T18:00:00Z)")


def _without_doubt(keys: Sequence[tuple[int, ApiKey]], faults: list[Fault]) -> KeyLines:
    by_hash: dict[str, list[tuple[int, ApiKey]]] = {}
    names: dict[tuple[str, str], int] = {}
    for number, key in keys:
        same = by_hash.setdefault(key.hash, [])
        same.append((number, key))
        first = names.setdefault((key.tenant, key.name), number)
        if len(same) > 1:
            faults.append(Fault(number, f"is the key of line {same[0][0]} again"))
        elif first != number:
            faults.append(Fault(number, f"has the name of line {first}; both keys work, and a revocation takes both"))
    doubted = {hashed for hashed, same in by_hash.items() if len({key for _, key in same}) > 1}
    for hashed in doubted:
        number = by_hash[hashed][0][0]
        faults.append(Fault(number, "stands again with other rights: neither line counts"))
    clear = tuple(same[0] for hashed, same in by_hash.items() if hashed not in doubted)
    return KeyLines(clear, tuple(sorted(faults, key=lambda fault: fault.line)))
