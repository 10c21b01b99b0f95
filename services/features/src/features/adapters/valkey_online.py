"""OnlineStore on Redis or Valkey, standalone or cluster (asked from the server, not configured).

Standalone: one MGET a read. Cluster: one MGET per slot, all of a node in one write, all nodes in the same loop tick.
"""

import asyncio
import logging
from binascii import crc_hqx
from collections.abc import Callable, Sequence
from typing import Any

import hiredis

from chassis.errors import MizzenError
from features.adapters.valkey_node import Address, Node, NodeOptions, parse_url
from features.adapters.valkey_wire import Command, unavailable
from features.domain.rows import HASH_AT, UNSUMMED, WITH_NULLS

_log = logging.getLogger(__name__)
SLOTS = 16_384
# Rows a script call: long enough to be cheap, short enough not to hold up readers (Valkey runs one command at a time).
ROWS_PER_CALL = 256
# Calls on their way together, so that the store never waits for the next; those of a cluster carry the rows of one slot, often one.
CALLS_AT_ONCE, CALLS_OF_SLOTS_AT_ONCE = 128, 8192
# Sets each row unless the stored one has a later event timestamp; answers how many were set. Rows of layouts that are no more
# count as not there. Rows of which none is stored yet, as in a first load, are set at once.
WRITE_SCRIPT = f"""
if redis.call('EXISTS', unpack(KEYS)) == 0 then
  local rows, seen, distinct = {{}}, {{}}, true
  for i = 1, #KEYS do
    distinct = distinct and not seen[KEYS[i]]
    seen[KEYS[i]] = true
    rows[2 * i - 1], rows[2 * i] = KEYS[i], ARGV[i]
  end
  if distinct then
    redis.call('MSET', unpack(rows))
    return #KEYS
  end
end
local written = 0
for i = 1, #KEYS do
  local stored = redis.call('GETRANGE', KEYS[i], 0, {HASH_AT - 1})
  local layout = string.byte(stored)
  if #stored < {HASH_AT} or layout < {UNSUMMED} or layout > {WITH_NULLS}
      or struct.unpack('<i7', string.sub(stored, 2)) <= struct.unpack('<i7', string.sub(ARGV[i], 2, {HASH_AT})) then
    redis.call('SET', KEYS[i], ARGV[i])
    written = written + 1
  end
end
return written
"""
FORGET_SCRIPT = "return redis.call('GET', KEYS[1]) == ARGV[1] and redis.call('DEL', KEYS[1]) or 0"


def slot_of(key: bytes) -> int:
    """Cluster slot of a key: CRC16 of its hash tag."""
    start = key.find(b"{")
    if start >= 0:
        end = key.find(b"}", start + 1)
        if end > start + 1:
            key = key[start + 1 : end]
    return crc_hqx(key, 0) % SLOTS


class ValkeyOnlineStore:
    """See domain.ports.OnlineStore. `start` before use, `close` after."""

    def __init__(
        self,
        url: str,
        *,
        max_in_flight: int = 20_000,
        stalled_s: float = 2.0,
        credentials: Callable[[], tuple[str, ...]] | None = None,
    ) -> None:
        """See NodeOptions for `credentials`. ValueError when `url` is no redis:// or rediss:// URL."""
        self._seed, self._options = parse_url(url, max_in_flight, stalled_s, credentials)
        self._nodes: dict[Address, Node] = {}
        self._slots: list[Node] | None = None
        self._is_cluster: bool | None = None
        self._refreshing: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Starts connecting; never waits for the store."""
        self._node(self._seed)

    async def close(self) -> None:
        """Ends all connections."""
        if self._refreshing is not None:
            self._refreshing.cancel()
            await asyncio.gather(self._refreshing, return_exceptions=True)
        await asyncio.gather(*(node.close() for node in self._nodes.values()))

    async def ping(self, timeout_s: float) -> None:
        """Returns once the store answers and, in a cluster, its slots are known. Unavailable otherwise."""
        if not await self._topology(timeout_s):
            raise unavailable("the online store's cluster is down")

    async def read(self, keys: Sequence[bytes], timeout_s: float) -> list[bytes | None]:
        if self._is_cluster is None:
            await self._topology(timeout_s)
        if not self._is_cluster:
            rows: list[bytes | None] = _checked((await self._nodes[self._seed].call([(b"MGET", *keys)], timeout_s))[0])
            return rows
        return await self._read_cluster(keys, timeout_s)

    async def _read_cluster(self, keys: Sequence[bytes], timeout_s: float) -> list[bytes | None]:
        by_slot: dict[int, list[int]] = {}
        for place, key in enumerate(keys):
            by_slot.setdefault(slot_of(key), []).append(place)
        groups = list(by_slot.items())
        commands: list[tuple[int, Command]] = [
            (slot, (b"MGET", *[keys[place] for place in places])) for slot, places in groups
        ]
        rows: list[bytes | None] = [None] * len(keys)
        for (_, places), reply in zip(groups, await self._route(commands, timeout_s), strict=True):
            for place, row in zip(places, reply, strict=True):
                rows[place] = row
        return rows

    async def write(self, keys: Sequence[bytes], rows: Sequence[bytes], timeout_s: float) -> int:
        if self._is_cluster is None:
            await self._topology(timeout_s)
        batches: dict[int, list[int]] = {}
        for place, key in enumerate(keys):
            batches.setdefault(slot_of(key) if self._is_cluster else 0, []).append(place)
        commands: list[tuple[int, Command]] = []
        for slot, places in batches.items():
            for at in range(0, len(places), ROWS_PER_CALL):
                some = places[at : at + ROWS_PER_CALL]
                arguments = [keys[place] for place in some] + [rows[place] for place in some]
                commands.append((slot, (b"EVAL", WRITE_SCRIPT, len(some), *arguments)))
        written = 0
        size = CALLS_OF_SLOTS_AT_ONCE if self._is_cluster else CALLS_AT_ONCE
        for at in range(0, len(commands), size):
            written += sum(await self._route(commands[at : at + size], timeout_s))
        return written

    async def forget(self, keys: Sequence[bytes], rows: Sequence[bytes], timeout_s: float) -> None:
        if self._is_cluster is None:
            await self._topology(timeout_s)
        commands: list[tuple[int, Command]] = [
            (slot_of(key), (b"EVAL", FORGET_SCRIPT, 1, key, row)) for key, row in zip(keys, rows, strict=True)
        ]
        await self._route(commands, timeout_s)

    async def read_note(self, key: bytes, timeout_s: float) -> bytes | None:
        return (await self.read([key], timeout_s))[0]

    async def write_note(self, key: bytes, note: bytes, timeout_s: float) -> None:
        if self._is_cluster is None:
            await self._topology(timeout_s)
        await self._route([(slot_of(key), (b"SET", key, note))], timeout_s)

    async def _route(self, commands: Sequence[tuple[int, Command]], timeout_s: float) -> list[Any]:
        """Each command to its slot's node, all in this loop tick; moved slots are followed once."""
        by_node: dict[Node, list[int]] = {}
        for place, (slot, _) in enumerate(commands):
            by_node.setdefault(self._owner(slot), []).append(place)
        calls = [node.call([commands[place][1] for place in places], timeout_s) for node, places in by_node.items()]
        outcomes = await asyncio.gather(*calls, return_exceptions=True)
        replies: list[Any] = [None] * len(commands)
        for places, outcome in zip(by_node.values(), outcomes, strict=True):
            if isinstance(outcome, BaseException):
                self._refresh_soon()
                raise outcome
            for place, reply in zip(places, outcome, strict=True):
                replies[place] = reply
        for place, reply in enumerate(replies):
            if isinstance(reply, hiredis.ReplyError):
                replies[place] = await self._follow(reply, commands[place][1], timeout_s)
        return replies

    async def _follow(self, error: Exception, command: Command, timeout_s: float) -> Any:
        kind, _, rest = str(error).partition(" ")
        if kind not in ("MOVED", "ASK"):
            return _checked(error)
        host, _, port = rest.split(" ")[-1].rpartition(":")
        node = self._node(Address(host or self._seed.host, int(port)))
        if kind == "MOVED":
            self._refresh_soon()
            return _checked((await node.call([command], timeout_s))[0])
        return _checked((await node.call([(b"ASKING",), command], timeout_s))[1])

    def _owner(self, slot: int) -> Node:
        return self._nodes[self._seed] if self._slots is None else self._slots[slot]

    def _node(self, address: Address) -> Node:
        node = self._nodes.get(address)
        if node is None:
            node = self._nodes[address] = Node(address, self._options)
            node.start()
        return node

    def _refresh_soon(self) -> None:
        if self._is_cluster and (self._refreshing is None or self._refreshing.done()):
            self._refreshing = asyncio.create_task(self._refresh())

    async def _refresh(self) -> None:
        try:
            await self._topology(1.0)
        except MizzenError as error:
            _log.warning("online store: the cluster's slots are not known: %s", error.message)

    async def _topology(self, timeout_s: float) -> bool:
        """Asks any node that answers whether this is a cluster, and who owns which slot. False while the cluster is down."""
        nodes = sorted(self._nodes.values(), key=lambda node: not node.is_open)
        questions: list[Command] = [(b"INFO", b"cluster"), (b"CLUSTER", b"INFO"), (b"CLUSTER", b"SLOTS")]
        info, state, slots = await nodes[0].call(questions, timeout_s)
        if b"cluster_enabled:1" not in _checked(info):
            self._is_cluster = False
            return True
        owners: list[Node | None] = [None] * SLOTS
        for first, last, primary, *_ in _checked(slots):
            host = primary[0].decode() or nodes[0].address.host
            owners[first : last + 1] = [self._node(Address(host, primary[1]))] * (last - first + 1)
        if any(owner is None for owner in owners):
            raise unavailable("the online store's cluster does not cover all slots")
        self._slots = [owner for owner in owners if owner is not None]
        self._is_cluster = True
        return b"cluster_state:ok" in _checked(state)


def _checked(reply: Any) -> Any:
    if isinstance(reply, hiredis.ReplyError):
        raise unavailable(f"the online store refused: {str(reply).split(' ')[0]}", "ONLINE_STORE_REFUSED")
    return reply


__all__ = ["NodeOptions", "ValkeyOnlineStore", "slot_of"]
