"""RecordStream on Redis Streams: one consumer of the group `monitoring`."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

import redis.asyncio as redis
from redis.credentials import CredentialProvider
from redis.exceptions import RedisError, ResponseError

from chassis.errors import Unavailable
from monitoring.domain.model import Delivery

KEY = "mizzen:records"
GROUP = "monitoring"
FIELD = b"b"
_DEAD_MS = 30_000
_RECLAIM_EVERY = 20


class ValkeyStream:
    """Reads own unacknowledged entries first, then new ones, and now and then takes over those of dead consumers."""

    def __init__(
        self,
        url: str,
        consumer: str,
        *,
        collect_s: float = 0.0,
        block_ms: int = 500,
        count: int = 32,
        dead_ms: int = _DEAD_MS,
        credentials: Callable[[], tuple[str, ...]] | None = None,
    ) -> None:
        """`collect_s` is how long a read waits for more once something came, seconds; `count` entries at most a read; an entry
        that is unacknowledged for `dead_ms` has a dead consumer; `credentials` are asked for each connection."""
        self._redis = redis.from_url(
            url,
            credential_provider=_Asked(credentials) if credentials else None,
            socket_timeout=block_ms / 1000 + 2,
            socket_connect_timeout=2,
            retry_on_timeout=False,
        )
        self._consumer = consumer
        self._collect_s = collect_s
        self._block_ms = block_ms
        self._count = count
        self._dead_ms = dead_ms
        self._own_from = "0"  # a cursor over own pending entries; ">" once there are none
        self._reads = 0

    async def ensure_group(self) -> None:
        """Makes stream and group when absent. Raises Unavailable."""
        try:
            await self._redis.xgroup_create(KEY, GROUP, id="0", mkstream=True)
        except ResponseError as error:
            if "BUSYGROUP" not in str(error):
                raise _unavailable(error) from error
        except (RedisError, OSError) as error:
            raise _unavailable(error) from error

    async def read(self) -> list[Delivery]:
        try:
            return await self._read()
        except ResponseError as error:
            self._own_from = "0"
            if "NOGROUP" not in str(error):
                raise _unavailable(error) from error
            # The store came back without its data: start again from what there is.
            await self.ensure_group()
            return []
        except (RedisError, OSError) as error:
            # Entries may be assigned to this consumer without having arrived.
            self._own_from = "0"
            raise _unavailable(error) from error

    async def _read(self) -> list[Delivery]:
        self._reads += 1
        if self._own_from != ">":
            own = await self._group_read(self._own_from, None)
            if own:
                return own
            self._own_from = ">"
        if self._reads % _RECLAIM_EVERY == 1:
            claimed = await self._reclaim()
            if claimed:
                return claimed
        found = await self._group_read(">", self._block_ms)
        if found and self._collect_s and len(found) < self._count:
            # A file a second instead of a file an entry.
            await asyncio.sleep(self._collect_s)
            found += await self._group_read(">", None)
        return found

    async def _group_read(self, start: str, block_ms: int | None) -> list[Delivery]:
        answer: Any = await self._redis.xreadgroup(
            GROUP, self._consumer, {KEY: start}, count=self._count, block=block_ms
        )
        entries = _entries(answer)
        return await self._deliveries(entries, again=start != ">")

    async def _reclaim(self) -> list[Delivery]:
        answer: Any = await self._redis.xautoclaim(
            KEY, GROUP, self._consumer, min_idle_time=self._dead_ms, start_id="0-0", count=self._count
        )
        return await self._deliveries(answer[1], again=True)

    async def _deliveries(self, entries: Sequence[Any], *, again: bool) -> list[Delivery]:
        gone = [entry_id for entry_id, fields in entries if not fields]
        if gone:  # trimmed from the stream while unread: nothing is left to write, the sequence numbers tell of it
            await self._redis.xack(KEY, GROUP, *gone)
        return [
            Delivery(entry_id.decode(), fields.get(FIELD, b"\xff"), again) for entry_id, fields in entries if fields
        ]

    async def ack(self, entry_ids: Sequence[str]) -> None:
        try:
            await self._redis.xack(KEY, GROUP, *entry_ids)
        except (RedisError, OSError) as error:
            self._own_from = "0"
            raise _unavailable(error) from error

    async def lag(self) -> tuple[int, int]:
        """See RecordStream. Drops from the stream what every group is done with, too."""
        try:
            groups: list[dict[str, Any]] = await self._redis.xinfo_groups(KEY)
            ours = next((group for group in groups if group["name"] == GROUP.encode()), None)
            if ours is None:
                return 0, 0
            if len(groups) == 1:
                await self._trim(ours)
            return ours.get("lag") or 0, ours["pending"]
        except (RedisError, OSError) as error:
            raise _unavailable(error) from error

    async def _trim(self, ours: dict[str, Any]) -> None:
        oldest = ours["last-delivered-id"]
        if ours["pending"]:
            summary: Any = await self._redis.xpending(KEY, GROUP)
            oldest = summary["min"] or oldest
        await self._redis.xtrim(KEY, minid=oldest, approximate=True)

    async def close(self) -> None:
        """Closes the connections."""
        await self._redis.aclose()


class _Asked(CredentialProvider):
    def __init__(self, credentials: Callable[[], tuple[str, ...]]) -> None:
        self._credentials = credentials

    def get_credentials(self) -> tuple[str] | tuple[str, str]:
        return self._credentials()  # type: ignore[return-value]  # one or two, says StoreLogin

    async def get_credentials_async(self) -> tuple[str] | tuple[str, str]:
        """The library's own does the same, and warns of itself at each connection."""
        return self.get_credentials()


def _entries(answer: Any) -> list[Any]:
    if not answer:
        return []
    if isinstance(answer, dict):  # RESP3
        chunks = answer.get(KEY.encode(), [])
        return [entry for chunk in chunks for entry in chunk]
    return list(answer[0][1])


def _unavailable(error: Exception) -> Unavailable:
    return Unavailable(
        f"the record stream does not answer: {type(error).__name__}", reason="RECORD_STREAM_DOWN", retry_after_s=1.0
    )
