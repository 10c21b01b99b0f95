"""A gRPC server on the event loop itself: what a call costs is its work, not threads that hand it over.

It has as much of grpc.aio's server as our services use, with the same behaviour (the contract suite holds both to it). No TLS, no
compression.
"""

import asyncio
import socket

import grpc

from chassis.rpc.handlers import Handler
from chassis.rpc.loop_call import Call
from chassis.wire.header_blocks import Block
from chassis.wire.keepalive import watch_peer
from chassis.wire.server import ServerConnection
from chassis.wire.streams import Budgets

_BACKLOG = 1024
_FLUSH_S = 0.25


class LoopServer:
    """Serves methods on one insecure port."""

    def __init__(self, max_message_bytes: int) -> None:
        self._max_message_bytes = max_message_bytes
        self._methods: dict[bytes, Handler] = {}
        self._sockets: list[socket.socket] = []
        self._servers: list[asyncio.Server] = []
        self._connections: set[ServerConnection] = set()
        self._calls: dict[Call, asyncio.Task[None]] = {}
        self._stopped: asyncio.Future[None] | None = None
        self._budgets = Budgets()

    def add_methods(self, service: str, methods: dict[str, Handler]) -> None:
        """Serves `methods` of `service`, whatever kind they are."""
        for name, method in methods.items():
            self._methods[f"/{service}/{name}".encode()] = method

    def add_insecure_port(self, address: str) -> int:
        """Binds ``host:port``; answers the port. RuntimeError when it is taken."""
        host, _, port = address.rpartition(":")
        try:
            found = socket.getaddrinfo(host.strip("[]"), int(port), type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
            for family, kind, protocol, _, place in found:
                listener = socket.socket(family, kind, protocol)
                self._sockets.append(listener)
                listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                if family == socket.AF_INET6:
                    listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
                listener.setblocking(False)
                bound = self._sockets[0].getsockname()[1] if len(self._sockets) > 1 else place[1]
                listener.bind((place[0], bound, *place[2:]))
        except OSError as error:
            self._close_sockets()
            raise RuntimeError(str(error)) from error
        return int(self._sockets[0].getsockname()[1])

    async def start(self) -> None:
        """Accepts. OSError when another process listens on the port."""
        loop = asyncio.get_running_loop()
        try:
            for listener in self._sockets:
                # create_server listens anew, with 100 unless it is told
                self._servers.append(await loop.create_server(self._connection, sock=listener, backlog=_BACKLOG))
        except OSError:
            self._close_sockets()
            raise

    async def stop(self, grace_s: float | None) -> None:
        """Refuses new calls, gives those in flight `grace_s` seconds, closes."""
        if self._stopped is not None:
            await asyncio.shield(self._stopped)
            return
        self._stopped = asyncio.get_running_loop().create_future()
        for server in self._servers:
            server.close()
        for connection in list(self._connections):
            connection.drain()
        tasks = list(self._calls.values())
        if grace_s and tasks:
            await asyncio.wait(tasks, timeout=grace_s)
        for call in list(self._calls):
            call.cancel(grpc.StatusCode.UNAVAILABLE, "Server is shutting down")
        await asyncio.gather(*tasks, return_exceptions=True)
        for connection in list(self._connections):
            connection.close()
        ended = [connection.lost for connection in self._connections]
        if ended:
            await asyncio.wait(ended, timeout=_FLUSH_S)  # answers on their way to the wire
        for connection in list(self._connections):
            connection.abort()
        self._close_sockets()
        self._stopped.set_result(None)

    def _close_sockets(self) -> None:
        for listener in self._sockets:
            listener.close()
        self._sockets.clear()

    def _connection(self) -> ServerConnection:
        return ServerConnection(self._accept, self._made, self._connections.discard, self._budgets)

    def _made(self, connection: ServerConnection) -> None:
        self._connections.add(connection)
        watch_peer(connection.socket)
        if self._stopped is not None:
            connection.close()

    def _accept(self, connection: ServerConnection, number: int, block: Block) -> Call:
        found = dict(block.fields)
        handler = None
        if found.get(b":method") == b"POST" and found.get(b"content-type", b"").startswith(b"application/grpc"):
            handler = self._methods.get(found.get(b":path", b""))
        return Call(connection, number, block, handler, self._max_message_bytes, self._calls)
