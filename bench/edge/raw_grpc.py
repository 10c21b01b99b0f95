"""A gRPC client that does what no client should: HTTP/2 frames by hand over a socket."""

import contextlib
import socket
import struct
import time
from types import TracebackType
from typing import Self

from chassis.wire.frames import (
    ACK,
    DATA,
    END_HEADERS,
    END_STREAM,
    GOAWAY,
    HEADERS,
    INITIAL_WINDOW,
    PING,
    PREFACE,
    RST_STREAM,
    SETTINGS,
    WINDOW_UPDATE,
    frame,
    literal,
)

_PATH, _AUTHORITY, _CONTENT_TYPE = 4, 1, 31  # places in HPACK's static table
_PART = 16384


def message(data: bytes, size: int | None = None, *, compressed: bool = False) -> bytes:
    """gRPC's frame of a message; `size` may declare more than is there."""
    return bytes((compressed,)) + (len(data) if size is None else size).to_bytes(4, "big") + data


def head(path: str, fields: tuple[tuple[bytes, bytes], ...] = (), timeout: bytes = b"") -> bytes:
    """A call's header block, without use of a table."""
    block = b"\x83\x86" + literal(_PATH, path.encode()) + literal(_AUTHORITY, b"edge")
    block += literal(_CONTENT_TYPE, b"application/grpc") + literal(b"te", b"trailers")
    if timeout:
        block += literal(b"grpc-timeout", timeout)
    return block + b"".join(literal(name, value) for name, value in fields)


class RawGrpc:
    """One connection. `window` is what it grants for each answer; `source` the address that it comes from."""

    def __init__(self, address: str, window: int = 65535, source: str = "") -> None:
        host, _, port = address.rpartition(":")
        own = (source, 0) if source else None
        self.socket = socket.create_connection((host.strip("[]"), int(port)), timeout=10, source_address=own)
        self.windows = {0: 65535}
        self.initial = 65535
        self.closed = False
        self.resets: dict[int, int] = {}
        self.heads: dict[int, list[bytes]] = {}
        self.data: dict[int, bytes] = {}
        self.ended: set[int] = set()
        self.goaway: int | None = None
        self._rest = b""
        self._next = 1
        self.send(PREFACE + frame(SETTINGS, 0, 0, struct.pack(">HIHI", INITIAL_WINDOW, window, 1, 0)))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.socket.close()

    def send(self, data: bytes) -> bool:
        """False once the server ended the connection, or takes nothing more for a tenth of a second."""
        self.socket.settimeout(0.1)
        try:
            self.socket.sendall(data)
        except TimeoutError:
            return False
        except OSError:
            self.closed = True
            return False
        return True

    def begin(self, path: str, *, ended: bool = False, **of_head: object) -> int:
        """Sends a call's head; answers its stream."""
        stream, self._next = self._next, self._next + 2
        self.windows[stream] = self.initial
        flags = END_HEADERS | (END_STREAM if ended else 0)
        self.send(frame(HEADERS, flags, stream, head(path, **of_head)))  # type: ignore[arg-type]  # head's own parameters
        return stream

    def body(self, stream: int, data: bytes, *, ended: bool = False) -> int:
        """Sends of `data` what the windows allow; answers how much."""
        sent = 0
        while sent < len(data) or (ended and not data):
            size = min(_PART, len(data) - sent, self.windows[0], self.windows.get(stream, 0))
            if size <= 0 and data:
                break
            last = ended and sent + size == len(data)
            if not self.send(frame(DATA, END_STREAM if last else 0, stream, data[sent : sent + size])):
                break
            self.windows[0] -= size
            self.windows[stream] -= size
            sent += size
            if not data:
                break
        return sent

    def call(self, path: str, data: bytes, **of_head: object) -> int:
        """A whole unary call."""
        stream = self.begin(path, **of_head)  # type: ignore[arg-type]
        self.body(stream, message(data), ended=True)
        return stream

    def listen(self, seconds: float) -> None:
        """Reads what comes for so long: windows are used, pings are answered, answers are kept."""
        until = time.monotonic() + seconds
        while not self.closed and (left := until - time.monotonic()) > 0:
            self.socket.settimeout(left)
            with contextlib.suppress(TimeoutError):
                try:
                    arrived = self.socket.recv(1 << 20)
                except ConnectionError:
                    arrived = b""
                if not arrived:
                    self.closed = True
                self._take(self._rest + arrived)

    def until(self, stream: int, seconds: float = 5.0) -> None:
        """Reads until a call is over, or the connection."""
        deadline = time.monotonic() + seconds
        while stream not in self.ended and not self.closed and time.monotonic() < deadline:
            self.listen(0.05)

    def _take(self, data: bytes) -> None:
        at = 0
        while len(data) - at >= 9:
            size, kind, flags = int.from_bytes(data[at : at + 3], "big"), data[at + 3], data[at + 4]
            if len(data) - at - 9 < size:
                break
            stream = int.from_bytes(data[at + 5 : at + 9], "big")
            self._frame(kind, flags, stream, data[at + 9 : at + 9 + size])
            at += 9 + size
        self._rest = data[at:]

    def _frame(self, kind: int, flags: int, stream: int, payload: bytes) -> None:
        if kind == SETTINGS and not flags & ACK:
            for name, value in struct.iter_unpack(">HI", payload):
                if name == INITIAL_WINDOW:
                    self.windows = {
                        key: old + (value - self.initial if key else 0) for key, old in self.windows.items()
                    }
                    self.initial = value
            self.send(frame(SETTINGS, ACK, 0))
        elif kind == PING and not flags & ACK:
            self.send(frame(PING, ACK, 0, payload))
        elif kind == WINDOW_UPDATE:
            self.windows[stream] = self.windows.get(stream, self.initial) + int.from_bytes(payload, "big")
        elif kind == HEADERS:
            self.heads.setdefault(stream, []).append(payload)
        elif kind == DATA:
            self.data[stream] = self.data.get(stream, b"") + payload
        elif kind == GOAWAY:
            self.goaway = int.from_bytes(payload[4:8], "big")
        elif kind == RST_STREAM:
            self.resets[stream] = int.from_bytes(payload, "big")
            self.ended.add(stream)
        if kind in (HEADERS, DATA) and flags & END_STREAM:
            self.ended.add(stream)
