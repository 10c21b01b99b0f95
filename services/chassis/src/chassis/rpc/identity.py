"""Who asks: the gateway mints signed identities, services verify them, and services prove themselves to each other.

Both tokens are ours and compact; nothing in them chooses an algorithm or a key.

- identity: ``base64url(JSON).base64url(Ed25519 signature)``, 60 s, minted by the gateway, carried in the Envelope.
- caller: ``service.expiry.hex(HMAC-SHA256)`` of a shared secret, in the RPC metadata ``x-mizzen-caller``.
"""

import base64
import binascii
import hashlib
import hmac
import json
import os
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
    load_pem_public_key,
)

from chassis.clock import Clock
from chassis.errors import Unauthenticated, Unavailable

CALLER_KEY = "x-mizzen-caller"
LIFETIME_S = 60
REUSE_S = 30
CALLER_LIFETIME_S = 600
CALLER_REUSE_S = 300
EARLY_S = 60  # how far another machine's clock may be ahead of ours
T = TypeVar("T")
_CACHED = 4096
_CONTEXT = b"mizzen-identity-v1."
_CALLER_CONTEXT = b"mizzen-caller-v1."


@dataclass(frozen=True, slots=True)
class Identity:
    """Who a request is for. The tenant comes first in every key that a service stores."""

    tenant: str
    subject: str
    scopes: frozenset[str] = frozenset()
    groups: frozenset[str] = frozenset()


class Minter:
    """Signs identities. Only the gateway has the private key."""

    def __init__(self, private_key_file: Path, clock: Clock) -> None:
        self._key = _private_key(private_key_file)
        self._clock = clock
        self._cache: dict[Identity, tuple[int, str]] = {}

    def mint(self, identity: Identity) -> str:
        """A token valid for 60 s from its signing; the same one is given again for at most 30 s."""
        now = self._clock.now_us()
        cached = self._cache.get(identity)
        if cached is not None and 0 <= now - cached[0] < REUSE_S * 1_000_000:
            return cached[1]
        payload = {
            "tenant": identity.tenant,
            "subject": identity.subject,
            "scopes": sorted(identity.scopes),
            "groups": sorted(identity.groups),
            "iat_us": now,
            "exp_us": now + LIFETIME_S * 1_000_000,
        }
        body = _encode(json.dumps(payload, separators=(",", ":"), sort_keys=True).encode())
        token = f"{body}.{_encode(self._key.sign(_CONTEXT + body.encode()))}"
        _bound(self._cache)
        self._cache[identity] = (now, token)
        return token


class Verifier:
    """Verifies identities. The key file is read at first use and again when it changed, so keys can be rotated:
    it may hold several public keys, each accepted."""

    def __init__(self, public_key_file: Path, clock: Clock) -> None:
        self._keys = _WatchedFile(public_key_file, _public_keys)
        self._clock = clock
        self._cache: dict[str, tuple[int, Identity]] = {}

    def verify(self, token: str) -> Identity:
        """The identity of `token`. Raises Unauthenticated unless it is signed by a known key and within its time."""
        now = self._clock.now_us()
        cached = self._cache.get(token)
        if cached is not None:
            if now < cached[0]:
                return cached[1]
            del self._cache[token]
            raise Unauthenticated("the identity has expired", reason="IDENTITY_EXPIRED")
        if not token:
            raise Unauthenticated("the request carries no identity", reason="IDENTITY_MISSING")
        expires, identity = self._check(token, now)
        _bound(self._cache)
        self._cache[token] = (expires, identity)
        return identity

    def _check(self, token: str, now: int) -> tuple[int, Identity]:
        body, _, signature = token.partition(".")
        if not self._signed(body, signature):
            raise Unauthenticated("the identity is not signed by this installation", reason="IDENTITY_INVALID")
        payload = json.loads(_decode(body))
        expires, issued = int(payload["exp_us"]), int(payload["iat_us"])
        if now >= expires:
            raise Unauthenticated("the identity has expired", reason="IDENTITY_EXPIRED")
        if issued > now + EARLY_S * 1_000_000:
            raise Unauthenticated("the identity is from the future", reason="IDENTITY_INVALID")
        scopes, groups = frozenset(payload["scopes"]), frozenset(payload["groups"])
        return expires, Identity(payload["tenant"], payload["subject"], scopes, groups)

    def _signed(self, body: str, signature: str) -> bool:
        try:
            data, raw = _CONTEXT + body.encode("ascii"), _decode(signature)
            _decode(body)
        except (ValueError, UnicodeEncodeError):
            return False
        return any(_verifies(key, raw, data) for key in self._keys.current()) or any(
            _verifies(key, raw, data) for key in self._keys.changed()
        )


class CallerTokens:
    """Proves and checks which service calls, by a secret that all services of one installation share."""

    def __init__(self, secret_file: Path, service: str, clock: Clock) -> None:
        self._secret = _WatchedFile(secret_file, lambda data: (bytes.fromhex(data.decode("ascii").strip()),))
        self._service = service
        self._clock = clock
        self._own: tuple[int, tuple[tuple[str, str], ...]] = (0, ())
        self._accepted: dict[str, tuple[int, str]] = {}

    def metadata(self) -> tuple[tuple[str, str], ...]:
        """RPC metadata that authenticates this service; the same tuple for five minutes."""
        now_s = self._clock.now_us() // 1_000_000
        if not self._own[0] - CALLER_REUSE_S <= now_s < self._own[0]:
            expiry = now_s + CALLER_LIFETIME_S
            token = f"{self._service}.{expiry}.{self._sign(self._secret.current()[0], self._service, expiry)}"
            self._own = (now_s + CALLER_REUSE_S, ((CALLER_KEY, token),))
        return self._own[1]

    def check(self, token: str | bytes | None) -> str:
        """The name of the calling service. Raises Unauthenticated for a missing, forged or expired token."""
        now_s = self._clock.now_us() // 1_000_000
        if not isinstance(token, str):
            raise Unauthenticated("the calling service did not say who it is", reason="CALLER_MISSING")
        accepted = self._accepted.get(token)
        if accepted is None:
            accepted = self._parse(token)
            _bound(self._accepted)
            self._accepted[token] = accepted
        if now_s >= accepted[0]:
            raise Unauthenticated("the calling service's token has expired", reason="CALLER_EXPIRED")
        return accepted[1]

    def _parse(self, token: str) -> tuple[int, str]:
        service, _, rest = token.partition(".")
        expiry, _, signature = rest.partition(".")
        for secret in (*self._secret.current(), *self._secret.changed()):
            if expiry.isascii() and expiry.isdecimal() and len(expiry) <= 12:
                expected = self._sign(secret, service, int(expiry))
                if hmac.compare_digest(expected.encode(), signature.encode()):
                    return int(expiry), service
        raise Unauthenticated("the calling service is not of this installation", reason="CALLER_INVALID")

    @staticmethod
    def _sign(secret: bytes, service: str, expiry: int) -> str:
        return hmac.new(secret, _CALLER_CONTEXT + f"{service}.{expiry}".encode(), hashlib.sha256).hexdigest()


class _WatchedFile(Generic[T]):
    """Keys of a file: read when first needed, and again when its content may have changed."""

    def __init__(self, path: Path, parse: Callable[[bytes], tuple[T, ...]]) -> None:
        self._path = path
        self._parse = parse
        self._stamp: tuple[int, int] | None = None
        self._values: tuple[T, ...] = ()

    def current(self) -> tuple[T, ...]:
        """What was read last. Raises Unavailable when the file cannot be read yet."""
        return self._values or self.changed()

    def changed(self) -> tuple[T, ...]:
        """The content if the file changed since it was read last, else nothing."""
        try:
            stat = self._path.stat()
            stamp = (stat.st_mtime_ns, stat.st_ino)
            if stamp == self._stamp:
                return ()
            self._values = self._parse(self._path.read_bytes())
        except (OSError, ValueError) as error:
            if self._values:
                return ()
            raise Unavailable(f"the key file {self._path.name} cannot be read", reason="KEYS_UNREADABLE") from error
        self._stamp = stamp
        return self._values


def _private_key(path: Path) -> Ed25519PrivateKey:
    key = load_pem_private_key(path.read_bytes(), password=None)
    if not isinstance(key, Ed25519PrivateKey):
        raise TypeError(f"{path} does not hold an Ed25519 private key")
    return key


def _public_keys(data: bytes) -> tuple[Ed25519PublicKey, ...]:
    end = b"-----END PUBLIC KEY-----"
    keys = [load_pem_public_key(part + end) for part in data.split(end)[:-1]]
    ours = tuple(key for key in keys if isinstance(key, Ed25519PublicKey))
    if not ours or len(ours) != len(keys):
        raise ValueError("every public key must be an Ed25519 key")
    return ours


def _verifies(key: Ed25519PublicKey, signature: bytes, data: bytes) -> bool:
    try:
        key.verify(signature, data)
    except InvalidSignature:
        return False
    return True


def _encode(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode("ascii")


def _decode(text: str) -> bytes:
    """Strict base64url without padding: one text for one value, so that no token has a twin."""
    data = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    if _encode(data) != text:
        raise binascii.Error("not canonical base64url")
    return data


def _bound(cache: dict[Any, Any]) -> None:
    """Keeps a cache from growing without end: drops its oldest half when full."""
    if len(cache) >= _CACHED:
        for key in list(cache)[: _CACHED // 2]:
            del cache[key]


def write_keys(directory: Path) -> None:
    """Makes identity.key, identity.pub and service.secret (0600) in `directory` where absent; keeps what is there."""
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    private, public, secret = directory / "identity.key", directory / "identity.pub", directory / "service.secret"
    if not private.exists():
        pem = Ed25519PrivateKey.generate().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        _write(private, pem)
        public.unlink(missing_ok=True)
    if not public.exists():
        pem = _private_key(private).public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
        _write(public, pem)
    if not secret.exists():
        _write(secret, secrets.token_hex(32).encode() + b"\n")


def _write(path: Path, data: bytes) -> None:
    """Writes whole or not at all: services may be reading the directory while keys are made."""
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    with os.fdopen(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
        file.write(data)
    partial.rename(path)
