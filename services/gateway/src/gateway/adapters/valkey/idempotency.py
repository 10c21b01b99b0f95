"""First answers of writes in Redis or Valkey, for 24 h."""

import hashlib

from redis.asyncio import Redis
from redis.exceptions import RedisError

from chassis.errors import Aborted, AlreadyExists, Unavailable

KEEP_S = 24 * 3600
# A write that is still under way after this long has lost its process: the key may be used again.
CLAIM_S = 120
_PENDING = b"p"
_DONE = b"d"


class ValkeyIdempotency:
    """Value: one state byte, the body's digest (64 hex), the first answer."""

    def __init__(self, redis: Redis) -> None:
        """`redis` must answer bytes and have a socket timeout."""
        self._redis = redis

    @staticmethod
    def _key(tenant: str, key: str) -> str:
        # Hashed: a client's text can neither leave its tenant's part of the key space nor grow it.
        return f"idem:{tenant}:{hashlib.sha256(key.encode()).hexdigest()}"

    async def claim(self, tenant: str, key: str, digest: str) -> bytes | None:
        try:
            value = await self._redis.set(
                self._key(tenant, key), _PENDING + digest.encode(), ex=CLAIM_S, nx=True, get=True
            )
        except (RedisError, OSError) as error:
            raise Unavailable("the idempotency store cannot be reached", reason="STORE_DOWN") from error
        if value is None:
            return None
        if not isinstance(value, bytes) or value[1:65] != digest.encode():
            message = "this Idempotency-Key was used for another request; choose a new one"
            raise AlreadyExists(message, reason="IDEMPOTENCY_KEY_REUSED", field="Idempotency-Key")
        if value[:1] == _PENDING:
            message = "the first request with this Idempotency-Key is still under way"
            raise Aborted(message, reason="IDEMPOTENCY_IN_PROGRESS", field="Idempotency-Key", retry_after_s=1)
        return value[65:]

    async def keep(self, tenant: str, key: str, digest: str, answer: bytes) -> None:
        try:
            await self._redis.set(self._key(tenant, key), _DONE + digest.encode() + answer, ex=KEEP_S)
        except (RedisError, OSError) as error:
            raise Unavailable("the idempotency store cannot be reached", reason="STORE_DOWN") from error

    async def release(self, tenant: str, key: str) -> None:
        try:
            await self._redis.delete(self._key(tenant, key))
        except (RedisError, OSError) as error:
            raise Unavailable("the idempotency store cannot be reached", reason="STORE_DOWN") from error
