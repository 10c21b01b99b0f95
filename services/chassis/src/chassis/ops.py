"""The ops port: healthz, readyz and metrics over plain HTTP/1.1, apart from the data ports.

Written on asyncio streams: three fixed answers to a probe or a scraper need no framework in every service. They are given in a
thread of their own, on a loop of its own, because a probe must be answered while the service's loop is busy. Where only this
machine reaches the port, a web page that gave its own name the address 127.0.0.1 does not.
"""

import asyncio
import contextlib
import socket
import threading
from collections.abc import Callable, Sequence

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST

from chassis.settings import is_loopback, names_loopback

_JOIN_S = 2.0
_REQUEST_BYTES = 16 * 1024
_IDLE_S = 75.0
_TEXT = "text/plain; charset=utf-8"
_REASONS = {
    200: "OK",
    400: "Bad Request",
    404: "Not Found",
    405: "Method Not Allowed",
    421: "Misdirected Request",
    503: "Service Unavailable",
}


class OpsServer:
    """Answers /healthz (the process lives), /readyz (it takes work) and /metrics."""

    def __init__(
        self,
        host: str,
        port: int,
        registry: CollectorRegistry,
        state: Callable[[], str],
        ill: Callable[[], str] = lambda: "",
        details: Callable[[], Sequence[str]] = tuple,
    ) -> None:
        """All three are called in another thread than the service's.

        state: answers "ready" when work is taken, else a word that says why not, such as "starting"; ill: answers why this process
        should be started anew, or nothing; details: what a person should know beside the state, a line each.
        """
        self._host = host
        self.port = port
        self._registry = registry
        self._state = state
        self._ill = ill
        self._details = details
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._closed: asyncio.Event | None = None

    async def start(self) -> None:
        """Binds and answers from now on. Raises OSError when the port is taken."""
        family = socket.AF_INET6 if ":" in self._host else socket.AF_INET
        listener = socket.create_server((self._host, self.port), family=family, backlog=128)
        self.port = listener.getsockname()[1]
        answering = threading.Event()
        self._thread = threading.Thread(target=self._run, args=(listener, answering), name="ops", daemon=True)
        self._thread.start()
        await asyncio.to_thread(answering.wait)

    def close(self) -> None:
        """Accepts no more and ends connections."""
        if self._thread is None or self._loop is None or self._closed is None:
            return
        with contextlib.suppress(RuntimeError):  # its loop has ended already
            self._loop.call_soon_threadsafe(self._closed.set)
        self._thread.join(_JOIN_S)
        self._thread = None

    def _run(self, listener: socket.socket, answering: threading.Event) -> None:
        with asyncio.Runner() as runner:
            runner.run(self._answer_until_closed(listener, answering))

    async def _answer_until_closed(self, listener: socket.socket, answering: threading.Event) -> None:
        self._loop, self._closed = asyncio.get_running_loop(), asyncio.Event()
        server = await asyncio.start_server(self._serve, sock=listener, limit=_REQUEST_BYTES)
        answering.set()
        await self._closed.wait()
        server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while await self._exchange(reader, writer):
                pass
        except (TimeoutError, OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError, ValueError):
            pass  # a client that stopped talking, or never spoke HTTP
        finally:
            writer.close()

    async def _exchange(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """One request and its answer; says whether the connection goes on."""
        async with asyncio.timeout(_IDLE_S):
            head = await reader.readuntil(b"\r\n\r\n")
        lines = head.decode("latin-1").split("\r\n")
        method, _, rest = lines[0].partition(" ")
        path, _, version = rest.partition(" ")
        headers = {
            name.strip().lower(): value.strip().lower() for name, _, value in (x.partition(":") for x in lines[1:])
        }
        keep = version == "HTTP/1.1" and headers.get("connection") != "close" and "content-length" not in headers
        if is_loopback(self._host) and not names_loopback(headers.get("host", "localhost")):
            status, kind, body = 421, _TEXT, b"only the names localhost, 127.0.0.1 and [::1] are served here\n"
        else:
            status, kind, body = self._answer(method, path.partition("?")[0])
        lead = f"HTTP/1.1 {status} {_REASONS[status]}\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n"
        writer.write(f"{lead}Connection: {'keep-alive' if keep else 'close'}\r\n\r\n".encode())
        if method != "HEAD":
            writer.write(body)
        await writer.drain()
        return keep

    def _answer(self, method: str, path: str) -> tuple[int, str, bytes]:
        if method not in ("GET", "HEAD"):
            return 405, _TEXT, b"only GET is answered here\n"
        if path == "/healthz":
            ill = self._ill()
            return (503, _TEXT, f"{ill}\n".encode()) if ill else (200, _TEXT, b"live\n")
        if path == "/readyz":
            state = self._state()
            lines = (state, *self._details())
            return (200 if state == "ready" else 503), _TEXT, "".join(f"{line}\n" for line in lines).encode()
        if path == "/metrics":
            return 200, CONTENT_TYPE_LATEST, generate_latest(self._registry)
        return 404, _TEXT, b"see /healthz, /readyz and /metrics\n"
