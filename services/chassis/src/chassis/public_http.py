"""The gateway's REST port: uvicorn inside our loop and our lifecycle. Only a room that passes an app needs uvicorn."""

import asyncio
import contextlib
import socket
from collections.abc import Iterator
from typing import Any

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol


class _Gathering:
    """A transport on which an answer's head waits for its body, so that both leave in one write; at most until the next turn."""

    def __init__(self, transport: Any) -> None:
        self._transport = transport
        self._held = b""
        self._flushing: asyncio.Handle | None = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def write(self, data: bytes) -> None:
        if self._flushing is None:
            self._held = data
            self._flushing = asyncio.get_running_loop().call_soon(self._flush)
        else:
            self._held += data
            self._flush()

    def close(self) -> None:
        self._flush()
        self._transport.close()

    def _flush(self) -> None:
        if self._flushing is not None:
            self._flushing.cancel()
            self._flushing = None
            held, self._held = self._held, b""
            if not self._transport.is_closing():
                self._transport.write(held)


class _Protocol(HttpToolsProtocol):
    """uvicorn's, writing answers whole."""

    def connection_made(self, transport: Any) -> None:
        super().connection_made(_Gathering(transport))  # type: ignore[arg-type]  # all of a transport that uvicorn uses


class _Uvicorn(uvicorn.Server):
    """Leaves signals alone, which are the lifecycle's, and says when it accepts."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.accepting = asyncio.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.accepting.set()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


class PublicHttp:
    """An ASGI app on a port, drained from outside."""

    def __init__(self, app: Any, host: str, port: int, grace_s: float) -> None:
        self._app = app
        self._host = host
        self.port = port
        self._draining = False
        config = uvicorn.Config(
            self._with_close,
            interface="asgi3",
            lifespan="off",
            ws="none",
            http=_Protocol,
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,
            timeout_keep_alive=75,
            timeout_graceful_shutdown=max(1, round(grace_s)),
            backlog=2048,
        )
        self._server = _Uvicorn(config)
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Binds and accepts. Raises OSError when the port is taken."""
        family = socket.AF_INET6 if ":" in self._host else socket.AF_INET
        listener = socket.socket(family, socket.SOCK_STREAM)
        try:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind((self._host, self.port))
        except OSError:
            listener.close()
            raise
        self.port = listener.getsockname()[1]
        self._task = asyncio.create_task(self._server.serve([listener]), name="public-http")
        accepting = asyncio.ensure_future(self._server.accepting.wait())
        await asyncio.wait((accepting, self._task), return_when=asyncio.FIRST_COMPLETED)
        if self._task.done():
            accepting.cancel()
            await self._task

    def drain(self) -> None:
        """Goes on accepting, and asks every client to connect elsewhere next: ``Connection: close`` on each answer."""
        self._draining = True

    async def stop(self) -> None:
        """Accepts no more, lets requests in flight finish (bounded by the grace), closes."""
        if self._task is not None:
            self._server.should_exit = True
            await self._task

    async def _with_close(self, scope: Any, receive: Any, send: Any) -> None:
        if not self._draining:
            await self._app(scope, receive, send)
            return

        async def send_and_close(message: Any) -> None:
            if message["type"] == "http.response.start":
                message = {**message, "headers": [*message.get("headers", ()), (b"connection", b"close")]}
            await send(message)

        await self._app(scope, receive, send_and_close)
