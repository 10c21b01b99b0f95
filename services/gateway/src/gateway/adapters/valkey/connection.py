"""Connections to Redis or Valkey that fail fast: nothing on the request path may wait for a stalled one."""

from collections.abc import Callable

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.credentials import CredentialProvider


def connected(url: str, timeout_s: float, credentials: Callable[[], tuple[str, ...]] | None = None) -> Redis:
    """A client that answers bytes; it connects at first use. `timeout_s` bounds each command; `credentials` are asked for each
    connection and may raise OSError."""
    return Redis.from_url(
        url,
        credential_provider=_Asked(credentials) if credentials else None,
        socket_timeout=timeout_s,
        socket_connect_timeout=timeout_s,
        retry=Retry(NoBackoff(), 0),
        decode_responses=False,
        health_check_interval=0,
    )


class _Asked(CredentialProvider):
    def __init__(self, credentials: Callable[[], tuple[str, ...]]) -> None:
        self._credentials = credentials

    def get_credentials(self) -> tuple[str] | tuple[str, str]:
        return self._credentials()  # type: ignore[return-value]  # one or two, says StoreLogin

    async def get_credentials_async(self) -> tuple[str] | tuple[str, str]:
        """The library's own does the same, and warns of itself at each connection."""
        return self.get_credentials()
