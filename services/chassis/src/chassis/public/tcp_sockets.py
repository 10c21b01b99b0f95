"""The TCP connections of one port of this process, as the kernel counts them, whatever library accepted them.

Reads /proc and TCP_INFO: Linux alone. Where the kernel tells nothing (another system, a sandbox), no connection is seen.
"""

import asyncio
import contextlib
import os
import select
import socket
import stat
import struct
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from urllib.parse import unquote

from chassis.public import refused_hosts

Address = tuple[str, int]

_INFO_BYTES = 136
_COUNTS = struct.Struct("=QQ")
_COUNTS_AT = 120  # tcpi_bytes_acked, tcpi_bytes_received: in struct tcp_info since Linux 4.1
_MAPPED = "::ffff:"


@dataclass(frozen=True, slots=True)
class Traffic:
    """Bytes of a connection so far: `received` from the client, `acknowledged` by it."""

    received: int
    acknowledged: int


@dataclass(frozen=True, slots=True)
class _Known:
    inode: int
    address: Address | None = None
    listens: bool = False


class TcpSockets:
    """Connections that clients have to `port`, by the client's address."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._known: dict[int, _Known] = {}
        self._numbers: dict[Address, int] = {}

    def look(self) -> Mapping[Address, Traffic]:
        """What each connection has carried."""
        found: dict[Address, Traffic] = {}
        there: dict[int, _Known] = {}
        for number in _descriptors():
            try:
                known = there[number] = self._identified(number)
                if known.address is not None:
                    found[known.address] = _traffic(number)
            except OSError:  # closed meanwhile
                continue
        self._known = there
        self._numbers = {known.address: number for number, known in there.items() if known.address is not None}
        return found

    def _identified(self, number: int) -> _Known:
        state = os.fstat(number)
        known = self._known.get(number)
        if known is not None and known.inode == state.st_ino:
            return known
        return _of_port(number, state.st_ino, self._port) if stat.S_ISSOCK(state.st_mode) else _Known(state.st_ino)

    def cut(self, address: Address) -> None:
        """Ends a connection for both sides; who accepted it sees that the client is gone."""
        number = self._numbers.get(address)
        if number is None:
            return
        with contextlib.suppress(OSError), socket.socket(fileno=os.dup(number)) as held:
            # the number may belong to another connection by now
            if _normal(held.getpeername()) == address:
                held.shutdown(socket.SHUT_RDWR)

    def queue(self, most: int) -> None:
        """From now on, so many connections wait to be accepted at most; the kernel lets others ask again, first after a second."""
        self.look()
        for number, known in self._known.items():
            if known.listens:
                with _borrowed(number) as listening:
                    listening.listen(most)

    def refuse(self, hosts: Collection[str]) -> None:
        """From now on, new connections of these hosts and of no others are refused."""
        for number, known in self._known.items():
            if known.listens:
                with contextlib.suppress(OSError), _borrowed(number) as listening:
                    refused_hosts.refuse(listening, hosts)

    @contextlib.contextmanager
    def watched(self, moved: Callable[[], None]) -> Iterator[None]:
        """Within it, the loop calls `moved` as soon as a client sends or connects, of those that the last look saw."""
        loop = asyncio.get_running_loop()
        with select.epoll() as watch:
            for number, known in self._known.items():
                if known.listens or known.address is not None:
                    with contextlib.suppress(OSError):  # closed meanwhile
                        watch.register(number, select.EPOLLIN | select.EPOLLONESHOT)
            loop.add_reader(watch.fileno(), moved)
            try:
                yield
            finally:
                loop.remove_reader(watch.fileno())


def address_of(peer: str) -> Address | None:
    """``ipv4:host:port`` and ``ipv6:[host]:port`` as gRPC names a client; None for others."""
    kind, _, rest = unquote(peer).partition(":")
    host, _, port = rest.rpartition(":")
    if kind not in ("ipv4", "ipv6") or not port.isdecimal():
        return None
    return _normal((host.strip("[]"), int(port)))


def _normal(name: tuple[str, int] | tuple[str, int, int, int]) -> Address:
    host = name[0].partition("%")[0]
    return (host.removeprefix(_MAPPED), name[1])


def _descriptors() -> list[int]:
    try:
        return [int(name) for name in os.listdir("/proc/self/fd")]  # noqa: PTH208 - ten times a second
    except OSError:
        return []


@contextlib.contextmanager
def _borrowed(number: int) -> Iterator[socket.socket]:
    """The socket of a descriptor that stays somebody else's."""
    borrowed = socket.socket(fileno=number)
    try:
        yield borrowed
    finally:
        borrowed.detach()


def _of_port(number: int, inode: int, port: int) -> _Known:
    """What a socket has to do with `port`."""
    with _borrowed(number) as borrowed:
        if borrowed.family not in (socket.AF_INET, socket.AF_INET6) or borrowed.type != socket.SOCK_STREAM:
            return _Known(inode)
        if borrowed.getsockname()[1] != port:
            return _Known(inode)
        if borrowed.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
            return _Known(inode, listens=True)
        return _Known(inode, _normal(borrowed.getpeername()))


def _traffic(number: int) -> Traffic:
    borrowed = socket.socket(socket.AF_INET, socket.SOCK_STREAM, 0, fileno=number)
    try:
        info = borrowed.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _INFO_BYTES)
    finally:
        borrowed.detach()
    if len(info) < _INFO_BYTES:
        return Traffic(0, 0)
    acknowledged, received = _COUNTS.unpack_from(info, _COUNTS_AT)
    return Traffic(received, acknowledged)
