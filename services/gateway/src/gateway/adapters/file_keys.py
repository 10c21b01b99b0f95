"""API keys from a file of keyed hashes: `name:tenant:scopes:hash` a line, scopes separated by commas.

The hash is HMAC-SHA256 of the key under the installation's service secret, hex: a stolen file alone opens nothing. A key is looked
up by its hash in a table. How long that takes tells nothing of use: who has no secret cannot choose what his guess hashes to.
"""

import hashlib
import hmac
import re
import time
from pathlib import Path

from chassis.errors import Unauthenticated
from gateway.domain.model import Caller

ALL = frozenset({"*"})
ANONYMOUS = Caller("default", "anonymous", ALL)
_LINE = re.compile(
    r"(?P<name>[a-z0-9][a-z0-9._-]{0,62}):(?P<tenant>[a-z0-9][a-z0-9-]{0,62}):(?P<scopes>[a-z*,:]*):(?P<hash>[0-9a-f]{64})\Z"
)
_REREAD_S = 1.0


def key_hash(secret: bytes, key: str) -> str:
    """What the file holds for a key."""
    return hmac.new(secret, b"mizzen-api-key-v1." + key.encode(), hashlib.sha256).hexdigest()


def parse_keys(text: str) -> dict[str, Caller]:
    """Hash → caller. ValueError names the line."""
    callers: dict[str, Caller] = {}
    for number, line in enumerate(text.splitlines(), 1):
        stripped = line.strip()
        if not stripped or stripped.startswith("#"):
            continue
        match = _LINE.match(stripped)
        if match is None:
            raise ValueError(f"line {number} is not name:tenant:scopes:hash")
        scopes = frozenset(scope for scope in match["scopes"].split(",") if scope)
        callers[match["hash"]] = Caller(match["tenant"], match["name"], scopes)
    return callers


class FileKeys:
    """Callers by API key; the file is looked at again every second, so a key taken out stops working."""

    def __init__(self, path: Path, secret_file: Path) -> None:
        """Raises OSError or ValueError when the files cannot be used: better no start than an open door."""
        self._path = path
        self._secret = bytes.fromhex(secret_file.read_text(encoding="ascii").strip())
        self._stamp = (0, 0)
        self._callers: dict[str, Caller] = {}
        self._looked_at = 0.0
        self._read()
        if not self._callers:
            raise ValueError(f"{path} holds no API key")

    def caller(self, credential: str | None) -> Caller:
        """See ports.Authenticator."""
        now = time.monotonic()
        if now - self._looked_at >= _REREAD_S:
            self._reread(now)
        if not credential:
            message = "send an API key: Authorization: Bearer KEY, or x-api-key"
            raise Unauthenticated(message, reason="API_KEY_MISSING")
        hashed = key_hash(self._secret, credential)
        caller = self._callers.get(hashed)
        if caller is None:
            raise Unauthenticated("this API key is not known here", reason="API_KEY_INVALID")
        return caller

    def _read(self) -> None:
        stat = self._path.stat()
        self._callers = parse_keys(self._path.read_text(encoding="utf-8"))
        self._stamp = (stat.st_mtime_ns, stat.st_ino)
        self._looked_at = time.monotonic()

    def _reread(self, now: float) -> None:
        self._looked_at = now
        try:
            stat = self._path.stat()
            if (stat.st_mtime_ns, stat.st_ino) != self._stamp:
                self._read()
        except (OSError, ValueError):
            # A file that is being written keeps the keys that were valid.
            return


class Anonymous:
    """Everybody is tenant default, subject anonymous. For loopback only."""

    def caller(self, credential: str | None) -> Caller:
        """See ports.Authenticator."""
        return ANONYMOUS
