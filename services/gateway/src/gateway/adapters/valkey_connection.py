"""Connections to Redis or Valkey that fail fast: nothing on the request path may wait for a stalled one."""

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff


def connected(url: str, timeout_s: float) -> Redis:
    """A client that answers bytes; it connects at first use. `timeout_s` bounds each command."""
    return Redis.from_url(
        url,
        socket_timeout=timeout_s,
        socket_connect_timeout=timeout_s,
        retry=Retry(NoBackoff(), 0),
        decode_responses=False,
        health_check_interval=0,
    )
