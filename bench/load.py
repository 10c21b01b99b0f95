"""Load over loopback, run as a script on its own core: HTTP/1.1 or gRPC, closed loop, fixed request bytes.

    python bench/load.py '{"kind": "http", "port": 8080, "path": "/v1/features:read", "body": "<base64>",
                           "connections": 16, "requests": 4000}'

prints one JSON line: requests, failed, wall_s, p50_us, p99_us (latency as this client saw it) and bytes of one answer.
"""

import asyncio
import base64
import json
import sys
import time
from typing import Any

import hpack
import uvloop

from chassis.wire.frames import (
    ACK,
    DATA,
    END_HEADERS,
    END_STREAM,
    GOAWAY,
    HEADERS,
    PING,
    PREFACE,
    RECEIVE_WINDOW,
    RST_STREAM,
    SETTINGS,
    WINDOW_UPDATE,
    frame,
    literal,
    settings,
)

# Places in HPACK's static table.
_AUTHORITY, _PATH, _CONTENT_TYPE = 1, 4, 31
_FRAME = 16384
_STATUS_OK, _OK = b"grpc-status\x010", {"grpc-status": "0"}


class Http(asyncio.Protocol):
    """One keep-alive connection that sends the next request when the answer before is whole."""

    def __init__(self, request: bytes, tally: "Tally") -> None:
        self._request, self._tally = request, tally
        self._buffer = bytearray()
        self._sent = 0.0
        self._transport: Any = None

    def connection_made(self, transport: Any) -> None:
        self._transport = transport
        self._send()

    def _send(self) -> None:
        if self._tally.take():
            self._sent = time.perf_counter()
            self._transport.write(self._request)
        else:
            self._transport.close()

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        end = self._buffer.find(b"\r\n\r\n")
        if end < 0:
            return
        head = bytes(self._buffer[:end]).lower()
        at = head.find(b"content-length:")
        if at < 0:
            raise SystemExit(f"no content-length in {head!r}")
        length = int(head[at + 15 :].split(b"\r\n", 1)[0])
        if len(self._buffer) < end + 4 + length:
            return
        ok = head.split(b" ", 2)[1] == b"200"
        if not ok:
            sys.stderr.write(f"{self._buffer[end + 4 :].decode()}\n")
        self._tally.done(time.perf_counter() - self._sent, ok, end + 4 + length)
        self._buffer.clear()
        self._send()

    def connection_lost(self, exc: Exception | None) -> None:
        self._tally.closed(exc)


class Grpc(asyncio.Protocol):
    """Unary calls as what they are on the wire: a POST over HTTP/2 with one message of fixed bytes, one call at a time.

    A gRPC client costs more CPU than the servers that are measured, so that they would wait for it. The server may use no header
    table, so every block can be read alone.
    """

    def __init__(self, head: bytes, body: bytes, tally: "Tally") -> None:
        self._head, self._body, self._tally = head, body, tally
        self._stream = -1
        self._size = 0
        self._unreported = 0
        self._sent = 0.0
        self._rest = b""
        self._transport: Any = None

    def connection_made(self, transport: Any) -> None:
        self._transport = transport
        transport.write(PREFACE + settings(header_table_size=0, enable_push=0, initial_window=RECEIVE_WINDOW))
        self._send()

    def _send(self) -> None:
        if not self._tally.take():
            self._transport.close()
            return
        self._stream, self._size, self._sent = self._stream + 2, 0, time.perf_counter()
        out = frame(HEADERS, END_HEADERS, self._stream, self._head)
        for at in range(0, len(self._body), _FRAME):
            part = self._body[at : at + _FRAME]
            out += frame(DATA, END_STREAM if at + _FRAME >= len(self._body) else 0, self._stream, part)
        self._transport.write(out)

    def data_received(self, data: bytes) -> None:
        data = self._rest + data
        at = 0
        while len(data) - at >= 9:
            size, kind, flags = int.from_bytes(data[at : at + 3], "big"), data[at + 3], data[at + 4]
            if len(data) - at - 9 < size:
                break
            at += 9 + size
            if kind == DATA:
                self._count(size)
            elif kind == HEADERS and flags & END_STREAM:
                self._done(data[at - size : at])
            elif kind in (SETTINGS, PING) and not flags & ACK:
                self._transport.write(frame(kind, ACK, 0, data[at - size : at] if kind == PING else b""))
            elif kind in (RST_STREAM, GOAWAY):
                raise SystemExit(f"the server ended a call or the connection: {data[at - size : at]!r}")
        self._rest = data[at:]

    def _count(self, size: int) -> None:
        self._size += size
        self._unreported += size
        if self._unreported > RECEIVE_WINDOW // 2:
            self._transport.write(frame(WINDOW_UPDATE, 0, 0, self._unreported.to_bytes(4, "big")))
            self._unreported = 0

    def _done(self, block: bytes) -> None:
        fields: dict[Any, Any] = _OK if _STATUS_OK in block else dict(hpack.Decoder().decode(block))
        ok = fields.get("grpc-status") == "0"
        if not ok:
            sys.stderr.write(f"{fields}\n")
        self._tally.done(time.perf_counter() - self._sent, ok, self._size)
        self._send()

    def connection_lost(self, exc: Exception | None) -> None:
        self._tally.closed(exc)


class Tally:
    """Counts what is left to send and what came back."""

    def __init__(self, requests: int, connections: int) -> None:
        self._left, self._open = requests, connections
        self.latencies: list[float] = []
        self.failed = 0
        self.answer_bytes = 0
        self.finished = asyncio.Event()

    def take(self) -> bool:
        self._left -= 1
        return self._left >= 0

    def done(self, seconds: float, ok: bool, size: int) -> None:
        self.latencies.append(seconds)
        self.failed += not ok
        self.answer_bytes = size

    def closed(self, error: Exception | None = None) -> None:
        self.failed += error is not None
        self._open -= 1
        if self._open == 0:
            self.finished.set()


async def http(plan: dict[str, Any], tally: Tally) -> None:
    body = base64.b64decode(plan["body"])
    lines = (
        f"POST {plan['path']} HTTP/1.1",
        "host: 127.0.0.1",
        "content-type: application/json",
        f"content-length: {len(body)}",
    )
    head = "\r\n".join(lines) + "\r\n\r\n"
    loop = asyncio.get_running_loop()
    for _ in range(plan["connections"]):
        await loop.create_connection(lambda: Http(head.encode() + body, tally), "127.0.0.1", plan["port"])
    await tally.finished.wait()


async def grpc_calls(plan: dict[str, Any], tally: Tally) -> None:
    message = base64.b64decode(plan["body"])
    head = b"\x83\x86" + literal(_PATH, plan["path"].encode()) + literal(_AUTHORITY, b"127.0.0.1")
    head += literal(_CONTENT_TYPE, b"application/grpc") + literal(b"te", b"trailers") + literal(b"grpc-timeout", b"30S")
    body = b"\0" + len(message).to_bytes(4, "big") + message
    loop = asyncio.get_running_loop()
    for _ in range(plan["connections"]):
        await loop.create_connection(lambda: Grpc(head, body, tally), "127.0.0.1", plan["port"])
    await tally.finished.wait()


async def run(plan: dict[str, Any]) -> dict[str, float]:
    """Sends `requests` over `connections`, each with one in flight."""
    tally = Tally(plan["requests"], plan["connections"])
    started = time.perf_counter()
    await (http if plan["kind"] == "http" else grpc_calls)(plan, tally)
    ordered = sorted(tally.latencies)
    return {
        "requests": len(ordered),
        "failed": tally.failed,
        "wall_s": time.perf_counter() - started,
        "p50_us": ordered[len(ordered) // 2] * 1e6,
        "p99_us": ordered[len(ordered) * 99 // 100] * 1e6,
        "answer_bytes": tally.answer_bytes,
    }


if __name__ == "__main__":
    print(json.dumps(uvloop.run(run(json.loads(sys.argv[1])))))
