"""The TCP connections of one port of this process, as the kernel counts them, whatever library accepted them.

Reads /proc and TCP_INFO: Linux alone. Where the kernel tells nothing (another system, a sandbox), no connection is seen.
"""

import contextlib
import os
import socket
import stat
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from urllib.parse import unquote

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
    address: Address | None


class TcpSockets:
    """Connections that clients have to `port`, by the client's address."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._known: dict[int, _Known] = {}

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
        return found

    def _identified(self, number: int) -> _Known:
        state = os.fstat(number)
        known = self._known.get(number)
        if known is not None and known.inode == state.st_ino:
            return known
        return _Known(state.st_ino, _client(number, self._port) if stat.S_ISSOCK(state.st_mode) else None)

    def cut(self, address: Address) -> None:
        """Ends a connection for both sides; who accepted it sees that the client is gone."""
        for number, known in self._known.items():
            if known.address != address:
                continue
            with contextlib.suppress(OSError):
                held = socket.socket(fileno=os.dup(number))
                with held:
                    # the number may belong to another connection by now
                    if _normal(held.getpeername()) == address:
                        held.shutdown(socket.SHUT_RDWR)


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


def _client(number: int, port: int) -> Address | None:
    """Who is at the other end of a connection to `port`; None for any other socket."""
    with _borrowed(number) as borrowed:
        if borrowed.family not in (socket.AF_INET, socket.AF_INET6) or borrowed.type != socket.SOCK_STREAM:
            return None
        if borrowed.getsockname()[1] != port:
            return None
        try:
            return _normal(borrowed.getpeername())
        except OSError:  # it listens
            return None


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
