"""What clients of a public gRPC port may hold of this process, counted at their TCP connections and at the calls made of them.

The library on the port keeps parts of messages that are not whole yet and answers that a client does not read, and shows
neither. Both can be told from outside: what a connection has received and no message was made of is kept somewhere or is no
message's, and what was answered and not acknowledged waits. From these two, without a look into HTTP/2:

- a flood: more bytes that belong to no message than a client's frames can explain;
- a body that does not go on, and an answer that is not read, past their deadlines;
- too much held by all connections together: the one that holds most goes, so that the others are served;
- too many connections: idle ones of the network that has most make room (chassis.public.crowds).

Such a connection is ended as a whole, and a host that floods again is kept out for a moment (chassis.public.flooders).

Ten times a second the guard looks, as long as bytes move or somebody holds something. Otherwise it rests until a byte comes.
"""

import asyncio
import contextlib
import gc
import math
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Protocol

from chassis.errors import ResourceExhausted
from chassis.public import crowds
from chassis.public.flooders import MOST_GIVEN_UP, STRICTER, Flooders
from chassis.public.held import RATE_S, SMALL, Connection
from chassis.public.tcp_sockets import Address, Traffic, address_of

FLOOD, SLOW_BODY, UNREAD_ANSWER, HELD, CONNECTIONS = "flood", "slow_body", "unread_answer", "held", "connections"

_TICK_S = 0.1
_CALM_S = 1.0  # without bytes, until the guard rests
_REST_S = 5.0  # a look even so
_OF_A_CALL = 256  # its frames' heads, beside its metadata
_HEADS = 64  # a byte of heads of frames and TLS records for so many bytes of a message
_LATE_S = 2.0  # from a call's bytes in the kernel to its handler
_FLOOD = 1024 * 1024
_FREE_AGAIN_S = 1.0
_LARGE = 1024 * 1024
_COPIES = 2  # of an answer that waits: ours and the library's


@dataclass(frozen=True, slots=True)
class Bounds:
    """message_bytes: the largest request; held_bytes: of all connections together, parts of requests and unread answers."""

    message_bytes: int = 16 * 1024 * 1024
    held_bytes: int = 128 * 1024 * 1024
    body_timeout_s: float = 15.0
    answer_timeout_s: float = 15.0
    connections: int = 512


class Sockets(Protocol):
    """The port's connections: chassis.public.tcp_sockets."""

    def look(self) -> Mapping[Address, Traffic]: ...
    def cut(self, address: Address) -> None: ...
    def refuse(self, hosts: Collection[str]) -> None: ...
    def watched(self, moved: Callable[[], None]) -> contextlib.AbstractContextManager[None]: ...


class EdgeGuard:
    """Watches the connections of one port."""

    def __init__(self, bounds: Bounds, count: Callable[[str], None], *, knows_readers: bool) -> None:
        """count: told why a connection was ended.

        knows_readers: calls tell that they wait for a message before it is there, so that what was received while none waits is
        known to be gone; and they tell when an answer is sent.
        """
        self.bounds = bounds
        self._count = count
        self._knows_readers = knows_readers
        self._by_address: dict[Address, Connection] = {}
        self._by_peer: dict[str, Connection] = {}
        self._nowhere = Connection()  # of clients that are not on the port themselves
        self._held = 0.0
        self._collecting = False
        self._flooders = Flooders()
        self._refused: frozenset[str] = frozenset()
        self._there: Collection[Address] = ()  # at the last look
        self._now = 0.0  # seconds of all ticks
        self._awake_until = _CALM_S
        self._stirred = asyncio.Event()

    def connection(self, peer: str) -> Connection:
        """That of gRPC's name for a client, such as ``ipv4:127.0.0.1:4711``."""
        known = self._by_peer.get(peer)
        if known is None:
            address = address_of(peer)
            if address is None:
                return self._nowhere
            known = self._by_address.get(address) or Connection()
            known.peer = peer
            self._by_peer[peer] = self._by_address[address] = known
        return known

    def unwanted(self, peer: Callable[[], str]) -> bool:
        """Whether a call came over a connection that is gone, of a host that floods: they may be a hundred thousand."""
        if not self._refused:
            return False
        address = address_of(peer())
        return address is not None and address[0] in self._refused and address not in self._there

    @staticmethod
    def delivered(connection: Connection, size: int, waited_s: float = math.inf) -> None:
        """A message of so many bytes arrived whole; waited_s: since its call began, inf where it may have come before."""
        received = size + size // _HEADS + _OF_A_CALL
        connection.delivered += received
        if waited_s >= connection.owed_s - _LATE_S:
            connection.owed -= received

    @staticmethod
    def abandoned(connection: Connection) -> None:
        """A call ended before its message arrived. It cost us more than its bytes."""
        connection.abandoned = True
        connection.given_up += 1

    @staticmethod
    def flooded(connection: Connection) -> None:
        """A call that no client makes who means well: its connection ends at the next look."""
        connection.unexplained = math.inf

    def answer(self, connection: Connection, size: int) -> None:
        """An answer of so many bytes goes out. ResourceExhausted when a large one finds too much waiting already."""
        if size > _LARGE and self._held > 0 and self._held + _COPIES * size > self.bounds.held_bytes:
            raise ResourceExhausted(
                "too many large answers wait for their readers; try again shortly", reason="OVERLOADED", retry_after_s=1
            )
        self._held += _COPIES * size
        self._stirred.set()
        connection.answered += size
        connection.writing += size

    @staticmethod
    def sent(connection: Connection, size: int) -> None:
        """An answer of so many bytes, told to `answer` before, has left the library."""
        connection.writing -= size

    async def run(self, sockets: Sockets) -> None:
        """Watches until cancelled."""
        before = time.monotonic()
        while True:
            if self.calm:
                await self._rest(sockets)
            else:
                await asyncio.sleep(_TICK_S)
            now = time.monotonic()
            self.tick(sockets, now - before)
            before = now

    @property
    def calm(self) -> bool:
        """Nothing moved for a while and nothing is held, so that there is nothing to count until a byte comes."""
        over = self._now >= self._awake_until and not self._refused
        return over and all(each.calm_s >= _CALM_S for each in self._by_address.values())

    async def _rest(self, sockets: Sockets) -> None:
        self._stirred.clear()
        with sockets.watched(self._stirred.set), contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._stirred.wait(), _REST_S)
            self._awake_until = self._now + _CALM_S  # a client that is gone and not let go yet stirs again and again

    def tick(self, sockets: Sockets, passed_s: float) -> None:
        """Looks once, `passed_s` seconds after the last time."""
        self._now += passed_s
        there = self._there = sockets.look()
        for address in [address for address in self._by_address if address not in there]:
            gone = self._forget(address)
            if gone.given_up and self._flooders.gave_up(address[0], gone.given_up, self._now):
                self._count(FLOOD)
        for address, traffic in there.items():
            connection = self._by_address.get(address)
            if connection is None:
                connection = self._by_address[address] = Connection()
            elif traffic.received < connection.received:  # another one with the same address
                self._by_peer.pop(connection.peer, None)
                connection = self._by_address[address] = Connection()
            connection.tick(traffic, passed_s, self.bounds.message_bytes, knows_readers=self._knows_readers)
        self._credit_elsewhere()
        for address, reason in self._judged().items():
            sockets.cut(address)
            self._forget(address)
            self._count(reason)
            if reason == FLOOD:
                self._flooders.flooded(address[0], self._now)
            if reason not in (FLOOD, CONNECTIONS) and not self._collecting:
                # a call that was cut off leaves its answer in a cycle of objects
                self._collecting = True
                asyncio.get_running_loop().call_later(_FREE_AGAIN_S, self._collect)
        refused = self._flooders.refused(self._now)
        if refused != self._refused:
            self._refused = refused
            sockets.refuse(refused)
        self._held = sum(each.held + _COPIES * each.unsent for each in self._by_address.values())

    def _forget(self, address: Address) -> Connection:
        gone = self._by_address.pop(address)
        self._by_peer.pop(gone.peer, None)
        return gone

    def _collect(self) -> None:
        self._collecting = False
        gc.collect()

    def _credit_elsewhere(self) -> None:
        """What was delivered over a socket of the library's own came in by one of the connections: most likely the largest."""
        left, self._nowhere.delivered = self._nowhere.delivered, 0
        for each in sorted(self._by_address.values(), key=lambda each: -each.held):
            if left <= 0:
                return
            taken = min(each.held, left)
            each.quiet_s = 0.0
            each.held -= taken
            left -= int(taken)

    def _judged(self) -> dict[Address, str]:
        """Connections to end, and why."""
        found: dict[Address, str] = {}
        for address, each in self._by_address.items():
            of_bodies = min(each.reading * self.bounds.message_bytes, self.bounds.held_bytes // 2)
            owed_s = each.owed_s - _LATE_S if self._knows_readers else 0.0
            strict = STRICTER if self._flooders.suspects(address[0]) else 1
            explained = each.unexplained <= _FLOOD / strict + of_bodies and each.given_up <= MOST_GIVEN_UP / strict
            if self._knows_readers and not explained:
                found[address] = FLOOD
            elif max(each.quiet_s, owed_s) > self.bounds.body_timeout_s:
                found[address] = SLOW_BODY
            elif each.stalled_s > self.bounds.answer_timeout_s:
                found[address] = UNREAD_ANSWER
        left = {address: each for address, each in self._by_address.items() if address not in found}
        for address in self._too_many(left):
            found[address] = CONNECTIONS
            del left[address]
        held = sum(each.held + each.unsent for each in left.values())
        # the one that holds most without reading or sending on; answers that flow leave by themselves, within their time
        for address, each in sorted(left.items(), key=lambda item: -(item[1].held + item[1].unsent)):
            if held <= self.bounds.held_bytes:
                break
            late = each.waits_s > RATE_S and each.unsent > each.rate * self.bounds.answer_timeout_s
            if each.held >= each.unsent or each.stalled_s or late:
                found[address] = HELD
                held -= each.held + each.unsent
        return found

    def _too_many(self, there: Mapping[Address, Connection]) -> list[Address]:
        """Who goes as there are more than may be: idle ones, and the newest where too few are."""
        over = len(there) - self.bounds.connections
        if over <= 0:
            return []
        idle = crowds.leavers(
            [(crowds.network(address[0]), self._idle_since(each), address) for address, each in there.items()], over
        )
        leaving = frozenset(idle)
        others = [address for address in there if address not in leaving]
        return idle + others[len(others) - (over - len(idle)) :]

    def _idle_since(self, each: Connection) -> float:
        """Seconds from now; infinity while something is under way. Calls without a key (health) keep nobody out."""
        arrives = each.held > SMALL and not self._knows_readers  # pygrpc-native makes a call when its body is whole
        return math.inf if each.calls or arrives or each.unsent > SMALL else -each.calm_s
