"""Unary gRPC calls on one HTTP/2 connection of our own: connects when first used, reconnects with backoff, never blocks."""

import asyncio
import base64
import binascii
from typing import Any
from urllib.parse import unquote

import grpc
from grpc import aio

from chassis.wire.frames import literal
from chassis.wire.http2 import ConnectionLostError, Exchange, Http2, RefusedError, StreamResetError

Metadata = tuple[tuple[str, str], ...]
_CODES = {code.value[0]: code for code in grpc.StatusCode}
_CONNECT_S = 1.0
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.05, 0.25
_RESETS = {0x7: grpc.StatusCode.UNAVAILABLE, 0x8: grpc.StatusCode.CANCELLED, 0xB: grpc.StatusCode.RESOURCE_EXHAUSTED}
# Places in HPACK's static table.
_AUTHORITY, _PATH, _CONTENT_TYPE = 1, 4, 31
_POST_HTTP = b"\x83\x86"
_HEADS = 256
_HTTP_CODES = {
    b"400": grpc.StatusCode.INTERNAL,
    b"401": grpc.StatusCode.UNAUTHENTICATED,
    b"403": grpc.StatusCode.PERMISSION_DENIED,
    b"404": grpc.StatusCode.UNIMPLEMENTED,
    b"429": grpc.StatusCode.UNAVAILABLE,
    b"502": grpc.StatusCode.UNAVAILABLE,
    b"503": grpc.StatusCode.UNAVAILABLE,
    b"504": grpc.StatusCode.UNAVAILABLE,
}


class Connection:
    """To one ``host:port``. Raises aio.AioRpcError as grpc.aio does."""

    def __init__(self, address: str) -> None:
        self._address = address
        self._http: Http2 | None = None
        self._connecting: asyncio.Task[None] | None = None
        self._tried: asyncio.Future[None] | None = None
        self._heads: dict[tuple[str, Metadata], bytes] = {}
        self._closed = False

    def usable(self) -> bool:
        """Whether calls can be sent now; asking makes it connect."""
        if self._http is not None and self._http.accepting:
            return True
        self._connect()
        return False

    async def unary(self, path: str, message: bytes, timeout_s: float, metadata: Metadata) -> bytes:
        """The answer's bytes. What the server refused without looking at it is sent once more, on a new connection."""
        deadline = asyncio.get_running_loop().time() + timeout_s
        try:
            return await self._exchange(path, message, deadline, metadata)
        except RefusedError:
            pass
        try:
            return await self._exchange(path, message, deadline, metadata)
        except RefusedError:
            raise _error(grpc.StatusCode.UNAVAILABLE, "the server takes no more calls") from None

    async def _exchange(self, path: str, message: bytes, deadline: float, metadata: Metadata) -> bytes:
        loop = asyncio.get_running_loop()
        http = self._http
        if http is None or not http.accepting:
            http = await self._connected(deadline - loop.time())
        timeout_s = max(0.001, deadline - loop.time())
        head = self._head(path, metadata) + literal(b"grpc-timeout", _timeout(timeout_s))
        body = b"\0" + len(message).to_bytes(4, "big") + message
        exchange = http.send(head, body)
        expiry = loop.call_at(deadline, _expire, exchange)
        try:
            await exchange.done
            return _message(exchange)
        except RefusedError:
            raise
        except ConnectionLostError:
            raise _error(grpc.StatusCode.UNAVAILABLE, "the connection was lost") from None
        except StreamResetError as error:
            raise _error(_RESETS.get(error.code, grpc.StatusCode.INTERNAL), str(error)) from None
        except TimeoutError:
            http.give_up(exchange)
            raise _error(grpc.StatusCode.DEADLINE_EXCEEDED, "the deadline passed") from None
        except asyncio.CancelledError:
            http.give_up(exchange)
            raise
        finally:
            expiry.cancel()

    async def close(self) -> None:
        """Ends it; calls in flight end with UNAVAILABLE."""
        self._closed = True
        if self._connecting is not None:
            self._connecting.cancel()
            await asyncio.gather(self._connecting, return_exceptions=True)
        if self._tried is not None and not self._tried.done():
            self._tried.set_result(None)
        if self._http is not None:
            self._http.close()
            await self._http.lost

    def _connect(self) -> None:
        if not self._closed and (self._connecting is None or self._connecting.done()):
            self._tried = asyncio.get_running_loop().create_future()
            self._connecting = asyncio.create_task(self._until_connected(self._tried))

    async def _connected(self, timeout_s: float) -> Http2:
        """Waits for a first attempt under way; while attempts fail, so do calls, at once."""
        self._connect()
        if self._tried is not None and not self._tried.done():
            try:
                await asyncio.wait_for(asyncio.shield(self._tried), timeout_s)
            except TimeoutError:
                raise _error(grpc.StatusCode.DEADLINE_EXCEEDED, "the deadline passed while connecting") from None
        if self._http is None or not self._http.accepting:
            raise _error(grpc.StatusCode.UNAVAILABLE, "there is no connection")
        return self._http

    async def _until_connected(self, tried: "asyncio.Future[None]") -> None:
        pause_s = _FIRST_PAUSE_S
        while True:
            http = await self._attempt()
            if http is not None:
                self._http = http
            if not tried.done():
                tried.set_result(None)
            if http is not None:
                return
            await asyncio.sleep(pause_s)
            pause_s = min(_LONGEST_PAUSE_S, pause_s * 2)

    async def _attempt(self) -> Http2 | None:
        host, _, port = self._address.rpartition(":")
        http: Http2 | None = None
        pings = self._http is None or self._http.pings
        try:
            async with asyncio.timeout(_CONNECT_S):
                loop = asyncio.get_running_loop()
                _, http = await loop.create_connection(lambda: Http2(pings=pings), host.strip("[]"), int(port))
                await asyncio.shield(http.ready)
        except (OSError, TimeoutError):
            pass
        except asyncio.CancelledError:
            if http is not None:
                http.close()
            raise
        if http is not None and not (http.ready.done() and http.accepting):
            http.close()
            return None
        return http

    def _head(self, path: str, metadata: Metadata) -> bytes:
        head = self._heads.get((path, metadata))
        if head is None:
            head = _POST_HTTP + literal(_PATH, path.encode()) + literal(_AUTHORITY, self._address.encode())
            head += literal(_CONTENT_TYPE, b"application/grpc") + literal(b"te", b"trailers")
            head += b"".join(literal(key.encode(), value.encode()) for key, value in metadata)
            if len(self._heads) >= _HEADS:
                self._heads.clear()
            self._heads[path, metadata] = head
        return head


def _expire(exchange: Exchange) -> None:
    if not exchange.done.done():
        exchange.done.set_exception(TimeoutError())


def _timeout(seconds: float) -> bytes:
    micros = max(1, int(seconds * 1e6))
    return b"%du" % micros if micros < 100_000_000 else b"%dS" % min(99_999_999, micros // 1_000_000)


def _message(exchange: Exchange) -> bytes:
    """The one message of a finished exchange, or its status raised."""
    last = dict(exchange.fields[-1]) if exchange.fields else {}
    status = last.get(b"grpc-status")
    if status is None:
        http = dict(exchange.fields[0]).get(b":status", b"") if exchange.fields else b""
        raise _error(_HTTP_CODES.get(http, grpc.StatusCode.UNKNOWN), "the answer carries no gRPC status")
    if status != b"0":
        code = _CODES.get(int(status), grpc.StatusCode.UNKNOWN) if status.isdigit() else grpc.StatusCode.UNKNOWN
        raise _error(code, unquote(last.get(b"grpc-message", b"").decode("latin-1")), last)
    parts = exchange.data
    if parts and len(parts[0]) < 5:
        parts = [b"".join(parts)]
    head = parts[0][:5] if parts else b""
    if len(head) < 5 or head[0] != 0 or sum(map(len, parts)) != 5 + int.from_bytes(head[1:], "big"):
        raise _error(grpc.StatusCode.INTERNAL, "the answer is not one plain message")
    return parts[0][5:] if len(parts) == 1 else b"".join((memoryview(parts[0])[5:], *parts[1:]))


def _error(code: grpc.StatusCode, details: str, trailers: dict[bytes, bytes] | None = None) -> aio.AioRpcError:
    metadata: list[tuple[str, Any]] = []
    for name, value in (trailers or {}).items():
        key = name.decode("latin-1")
        try:
            metadata.append((key, base64.b64decode(value + b"==") if key.endswith("-bin") else value.decode("latin-1")))
        except binascii.Error:
            continue
    return aio.AioRpcError(code, aio.Metadata(), aio.Metadata(*metadata), details)
