"""Load that does not wait for answers, as a script in a process of its own: HTTP/1.1 or gRPC, fixed request bytes.

    python -m bench.edge.open_loop '{"kind": "http", "port": 8080, "path": "/v1/…", "body": "<base64>", "seconds": 60,
                                     "rate": 900, "connections": 16}'

With `rate`, so many requests a second are due whatever happens, and time counts from when one was due. Without it, each of
`connections` sends its next request when the answer before is whole. One JSON line says for each status how many came, their
p50 and p99 in ms, and how many of those refused said when to come back.
"""

import asyncio
import base64
import contextlib
import json
import os
import sys
import time
from collections import deque
from collections.abc import Callable
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

_AUTHORITY, _PATH, _CONTENT_TYPE = 1, 4, 31
_STATUS_OK = b"grpc-status\x010"
_MOST_CONNECTIONS = 1000
_STREAMS = 100
_TICK_S = 0.001
_PATIENCE_S = 10.0
Ended = Callable[[str, float, bool], None]


class Http(asyncio.Protocol):
    """A keep-alive connection with one request at a time."""

    def __init__(self, request: bytes, ended: Ended, idle: Callable[["Http"], None]) -> None:
        self._request, self._ended, self._idle = request, ended, idle
        self._buffer = bytearray()
        self._due_s: float | None = None
        self.transport: Any = None

    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def send(self, due_s: float) -> None:
        self._due_s = due_s
        self.transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        end = self._buffer.find(b"\r\n\r\n")
        if end < 0:
            return
        head = bytes(self._buffer[:end]).lower()
        length = int(head[head.index(b"content-length:") + 15 :].split(b"\r\n", 1)[0])
        if len(self._buffer) < end + 4 + length:
            return
        self._buffer.clear()
        self._end(head[9:12].decode(), b"\r\nretry-after:" in head)
        if b"\r\nconnection: close" in head:
            self.transport.close()
        else:
            self._idle(self)

    def _end(self, status: str, says_when: bool) -> None:
        due_s, self._due_s = self._due_s, None
        if due_s is not None:
            self._ended(status, due_s, says_when)

    def connection_lost(self, exc: Exception | None) -> None:
        self._end("lost", False)


class Grpc(asyncio.Protocol):
    """An HTTP/2 connection with many unary calls at once."""

    def __init__(self, head: bytes, body: bytes, ended: Ended, idle: Callable[["Grpc"], None]) -> None:
        self._head, self._body, self._ended, self._idle = head, body, ended, idle
        self._due: dict[int, float] = {}
        self._stream = -1
        self._unreported = 0
        self._rest = b""
        self.transport: Any = None

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        transport.write(PREFACE + settings(header_table_size=0, enable_push=0, initial_window=RECEIVE_WINDOW))

    @property
    def has_room(self) -> bool:
        return len(self._due) < _STREAMS

    def send(self, due_s: float) -> None:
        self._stream += 2
        self._due[self._stream] = due_s
        head = frame(HEADERS, END_HEADERS, self._stream, self._head)
        self.transport.write(head + frame(DATA, END_STREAM, self._stream, self._body))

    def data_received(self, data: bytes) -> None:
        data, at = self._rest + data, 0
        while len(data) - at >= 9:
            size, kind, flags = int.from_bytes(data[at : at + 3], "big"), data[at + 3], data[at + 4]
            if len(data) - at - 9 < size:
                break
            stream = int.from_bytes(data[at + 5 : at + 9], "big")
            at += 9 + size
            self._frame(kind, flags, stream, data[at - size : at])
        self._rest = data[at:]

    def _frame(self, kind: int, flags: int, stream: int, payload: bytes) -> None:
        if kind == DATA:
            self._unreported += len(payload)
            if self._unreported > RECEIVE_WINDOW // 2:
                self.transport.write(frame(WINDOW_UPDATE, 0, 0, self._unreported.to_bytes(4, "big")))
                self._unreported = 0
        elif kind == HEADERS and flags & END_STREAM:
            fields: dict[Any, Any] = {"grpc-status": "0"}
            if _STATUS_OK not in payload:
                fields = dict(hpack.Decoder().decode(payload))
            self._end(stream, fields.get("grpc-status", "none"), "grpc-status-details-bin" in fields)
        elif kind in (SETTINGS, PING) and not flags & ACK:
            self.transport.write(frame(kind, ACK, 0, payload if kind == PING else b""))
        elif kind == RST_STREAM:
            self._end(stream, "reset", False)
        elif kind == GOAWAY:
            self.transport.close()

    def _end(self, stream: int, status: str, says_when: bool) -> None:
        due_s = self._due.pop(stream, None)
        if due_s is not None:
            self._ended(status, due_s, says_when)
            self._idle(self)

    def connection_lost(self, exc: Exception | None) -> None:
        for stream in list(self._due):
            self._end(stream, "lost", False)


class Load:
    """Hands due requests to connections."""

    def __init__(self, plan: dict[str, Any]) -> None:
        self._plan = plan
        body = base64.b64decode(plan["body"])
        self._make = self._grpc(body) if plan["kind"] == "grpc" else self._http(body)
        self._idle: deque[Any] = deque()
        self._waiting: deque[float] = deque()
        self._open = 0
        self._connecting: set[asyncio.Future[None]] = set()
        self._until_s = 0.0
        self.ended: list[tuple[str, float, bool]] = []
        self.sent = 0

    def _http(self, body: bytes) -> Callable[[], Any]:
        lines = (
            f"POST {self._plan['path']} HTTP/1.1",
            "host: 127.0.0.1",
            "content-type: application/json",
            f"content-length: {len(body)}",
        )
        request = "\r\n".join(lines).encode() + b"\r\n\r\n" + body
        return lambda: Http(request, self._end, self._free)

    def _grpc(self, message: bytes) -> Callable[[], Any]:
        head = b"\x83\x86" + literal(_PATH, self._plan["path"].encode()) + literal(_AUTHORITY, b"127.0.0.1")
        head += literal(_CONTENT_TYPE, b"application/grpc") + literal(b"te", b"trailers")
        body = b"\0" + len(message).to_bytes(4, "big") + message
        return lambda: Grpc(head, body, self._end, self._free)

    def _end(self, status: str, due_s: float, says_when: bool) -> None:
        self.ended.append((status, time.perf_counter() - due_s, says_when))

    def _free(self, connection: Any) -> None:
        now_s = time.perf_counter()
        if self._waiting:
            self._send(connection, self._waiting.popleft())
        elif "rate" not in self._plan and now_s < self._until_s:
            self._send(connection, now_s)
        elif isinstance(connection, Http):
            self._idle.append(connection)

    def _send(self, connection: Any, due_s: float) -> None:
        self.sent += 1
        connection.send(due_s)

    async def _connect(self) -> Any:
        self._open += 1
        _, connection = await asyncio.get_running_loop().create_connection(self._make, "127.0.0.1", self._plan["port"])
        return connection

    async def _connect_for(self, due_s: float) -> None:
        try:
            self._send(await self._connect(), due_s)
        except OSError:
            self._end("lost", due_s, False)

    def _offer(self, due_s: float) -> None:
        if isinstance(self._idle[0] if self._idle else None, Grpc):
            for _ in range(len(self._idle)):
                self._idle.rotate(-1)
                if self._idle[0].has_room:
                    self._send(self._idle[0], due_s)
                    return
            self._waiting.append(due_s)
            return
        while self._idle:
            connection = self._idle.pop()
            if not connection.transport.is_closing():
                self._send(connection, due_s)
                return
        if self._open < _MOST_CONNECTIONS:
            self._connecting.add(task := asyncio.ensure_future(self._connect_for(due_s)))
            task.add_done_callback(self._connecting.discard)
        else:
            self._waiting.append(due_s)

    async def run(self) -> dict[str, Any]:
        """Sends for `seconds`, then waits for what is on its way."""
        plan = self._plan
        connections = [await self._connect() for _ in range(plan["connections"])]
        started_s = time.perf_counter()
        self._until_s = started_s + plan["seconds"]
        if "rate" in plan:
            self._idle.extend(connections)
            offered = 0
            while (now_s := time.perf_counter()) < self._until_s:
                while offered < (now_s - started_s) * plan["rate"]:
                    self._offer(started_s + offered / plan["rate"])
                    offered += 1
                await asyncio.sleep(_TICK_S)
        else:
            for connection in connections:
                self._send(connection, started_s)
            await asyncio.sleep(plan["seconds"])
        seconds = time.perf_counter() - started_s
        patience_s = time.perf_counter() + _PATIENCE_S
        while (len(self.ended) < self.sent or self._waiting) and time.perf_counter() < patience_s:  # noqa: ASYNC110 - no hot path
            await asyncio.sleep(0.02)
        return {"seconds": seconds, "unanswered": self.sent - len(self.ended), "statuses": self._statuses()}

    def _statuses(self) -> dict[str, dict[str, float]]:
        found: dict[str, dict[str, float]] = {}
        for status in sorted({status for status, _, _ in self.ended}):
            took = sorted(seconds for each, seconds, _ in self.ended if each == status)
            found[status] = {
                "count": len(took),
                "p50_ms": took[len(took) // 2] * 1e3,
                "p99_ms": took[len(took) * 99 // 100] * 1e3,
                "says_when": sum(says for each, _, says in self.ended if each == status),
            }
        return found


if __name__ == "__main__":
    with contextlib.suppress(OSError):
        os.nice(-10)  # a load generator that waits for the CPU measures itself
    print(json.dumps(uvloop.run(Load(json.loads(sys.argv[1])).run())))
