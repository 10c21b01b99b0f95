"""Writes that are sent twice under one key are done once.

When the store is down the write goes through without the key's protection: every write of this API is a put or a delete by the
caller's own id, so doing it twice gives the same state, and refusing writes would turn a small loss into a large one.
"""

import hashlib
from collections.abc import Awaitable, Callable

from chassis.errors import DeadlineExceeded, InvalidArgument, Unavailable
from gateway.domain.model import Call
from gateway.domain.ports import IdempotencyStore

MAX_KEY = 200


class IdempotentWrites:
    """Runs writes under their Idempotency-Key."""

    def __init__(self, store: IdempotencyStore, unprotected: Callable[[], None] = lambda: None) -> None:
        """`unprotected` counts writes that went through while the store was down."""
        self._store = store
        self._unprotected = unprotected

    async def run(
        self, call: Call, key: str, operation: str, body: bytes, write: Callable[[], Awaitable[bytes]]
    ) -> bytes:
        """The first answer for this tenant, key and body. AlreadyExists: other body; Aborted: the first is under way."""
        if not key:
            return await write()
        if len(key) > MAX_KEY or not key.isprintable() or not key.isascii():
            message = f"Idempotency-Key must have at most {MAX_KEY} printable ASCII characters"
            raise InvalidArgument(message, reason="INVALID_VALUE", field="Idempotency-Key")
        digest = hashlib.sha256(operation.encode() + b"\x00" + body).hexdigest()
        tenant = call.caller.tenant
        try:
            first = await self._store.claim(tenant, key, digest)
        except (Unavailable, DeadlineExceeded):
            self._unprotected()
            return await write()
        if first is not None:
            return first
        try:
            answer = await write()
        except BaseException:
            await self._quietly(self._store.release(tenant, key))
            raise
        await self._quietly(self._store.keep(tenant, key, digest, answer))
        return answer

    async def _quietly(self, work: Awaitable[None]) -> None:
        try:
            await work
        except (Unavailable, DeadlineExceeded):
            self._unprotected()
