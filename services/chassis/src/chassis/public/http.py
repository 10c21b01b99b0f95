"""The gateway's REST port: uvicorn inside our loop and our lifecycle. Only a room that passes an app needs uvicorn."""

import asyncio
import contextlib
import resource
import socket
from collections.abc import Iterator
from functools import partial
from typing import Any

import uvicorn

from chassis.public.http_bounds import PublicAsgi, nobody
from chassis.public.http_connection import PublicConnection
from chassis.public.http_shared import Shared

# What this process opens besides the connections of its public port.
_OTHER_FILES = 512
# What the kernel takes of an answer before it can be sent, bytes. Else it copies megabytes for a client who reads none of them, and
# hundreds of such clients hold up the predictions of others (`make chaos-edge EDGE_ARGS="--only slow_heads"` has 300).
_UNSENT = 128 * 1024


class _Uvicorn(uvicorn.Server):
    """Leaves signals alone, which are the lifecycle's, and says when it accepts."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.accepting = asyncio.Event()
        self._ending = asyncio.Event()

    async def main_loop(self) -> None:
        """Wakes once a second, for the Date header, where uvicorn wakes ten times: an idle process should cost next to nothing."""
        while not await self.on_tick(0):
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(1):
                    await self._ending.wait()

    def end(self) -> None:
        """Serves no more."""
        self.should_exit = True
        self._ending.set()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.accepting.set()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


class PublicHttp:
    """An ASGI app on a port, drained from outside."""

    def __init__(self, public: PublicAsgi, host: str, grace_s: float) -> None:
        self._app = public.app
        self._host = host
        self.port = public.port
        self._bounds = public.bounds
        self._shared = Shared(public)
        self._draining = False
        self._looking: asyncio.TimerHandle | None = None
        config = uvicorn.Config(
            self._with_close,
            interface="asgi3",
            lifespan="off",
            ws="none",
            http=partial(PublicConnection, shared=self._shared),  # type: ignore[arg-type]  # called as the class is
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,
            timeout_keep_alive=public.bounds.idle_s,  # type: ignore[arg-type]  # a delay like any other
            timeout_graceful_shutdown=max(1, round(grace_s)),
            backlog=2048,
        )
        self._server = _Uvicorn(config)
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Binds and accepts. Raises OSError when the port is taken."""
        _allow_files(self._bounds.connections + _OTHER_FILES)
        family = socket.AF_INET6 if ":" in self._host else socket.AF_INET
        listener = socket.socket(family, socket.SOCK_STREAM)
        try:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            with contextlib.suppress(OSError):  # not every kernel has it
                listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, _UNSENT)
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
        self._look()

    def drain(self) -> None:
        """Goes on accepting, and asks every client to connect elsewhere next: ``Connection: close`` on each answer."""
        self._draining = True
        self._shared.turn_away = nobody  # or its answers would not say so

    async def stop(self) -> None:
        """Accepts no more, lets requests in flight finish (bounded by the grace), closes."""
        if self._task is not None:
            self._server.end()
            await self._task
        if self._looking is not None:
            self._looking.cancel()

    def _look(self) -> None:
        """Ends what is late, and comes again."""
        loop = asyncio.get_running_loop()
        self._looking = loop.call_later(self._bounds.look_s, self._look)
        now = loop.time()
        for connection in list(self._shared.connections):
            connection.look(now)

    async def _with_close(self, scope: Any, receive: Any, send: Any) -> None:
        if not self._draining:
            await self._app(scope, receive, send)
            return

        async def send_and_close(message: Any) -> None:
            if message["type"] == "http.response.start":
                message = {**message, "headers": [*message.get("headers", ()), (b"connection", b"close")]}
            await send(message)

        await self._app(scope, receive, send_and_close)


def _allow_files(wanted: int) -> None:
    """Raises this process's soft bound on open files, where the hard one allows it: a connection is a file."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    if soft != resource.RLIM_INFINITY and soft < most:
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
