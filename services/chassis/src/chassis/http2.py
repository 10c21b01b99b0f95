"""HTTP/2 as a gRPC client needs it, on the loop's own transport: one connection, unary exchanges, no threads.

grpc.aio hands every call to threads of its own and back, which costs more than a batch of reads itself. What is sent here is plain
HTTP/2 (RFC 9113), so any gRPC server answers it. Header blocks are written without the dynamic table; what the server sends is
decoded by `hpack`, and remembered while its table is empty, because then the same bytes mean the same headers.
"""

import asyncio
import struct
from collections import deque
from typing import Any

from chassis import keepalive
from chassis.header_blocks import Block, Fields
from chassis.http2_fields import response_flaw
from chassis.http2_frames import (
    ACK,
    CANCEL,
    DATA,
    END_HEADERS,
    END_STREAM,
    ENHANCE_YOUR_CALM,
    FAULTS,
    GOAWAY,
    HEADERS,
    INITIAL_WINDOW,
    MAX_FRAME,
    MAX_STREAMS,
    PING,
    PREFACE,
    PROTOCOL_ERROR,
    RECEIVE_WINDOW,
    RST_STREAM,
    SETTINGS,
    WINDOW_UPDATE,
    FrameReader,
    frame,
    settings,
    unpadded,
)

_LAST_STREAM = 2**30
_RESET_S = 0.05


class StreamResetError(Exception):
    """The server gave the stream up; `code` is HTTP/2's."""

    def __init__(self, code: int) -> None:
        super().__init__(f"the stream was reset with {code}")
        self.code = code


class ConnectionLostError(Exception):
    """The connection ended, or the server will not take this stream; nothing is known of what it did."""


class RefusedError(ConnectionLostError):
    """The server did nothing with this stream: it may be sent again elsewhere."""


class Exchange:
    """One request and its answer, here when `done` is; that raises StreamResetError or ConnectionLostError otherwise."""

    __slots__ = ("body", "data", "done", "fields", "head", "id", "window")

    def __init__(self, head: bytes, body: bytes, done: "asyncio.Future[None]") -> None:
        self.id = 0
        self.head = head
        self.body = body  # what is not sent yet
        self.done = done
        self.fields: list[Fields] = []
        self.data: list[bytes] = []
        self.window = 0


class Http2(FrameReader):
    """The protocol of one TCP connection. `lost` is done when it ended; `ready` when the server's settings are here.

    pings: False for a server that ended a connection because of them, as `pings` then says.
    """

    def __init__(self, *, pings: bool = True) -> None:
        super().__init__(response_flaw)
        self._loop = asyncio.get_running_loop()
        self._open: dict[int, Exchange] = {}
        self._queued: deque[Exchange] = deque()
        self._blocked: deque[Exchange] = deque()
        self._next = 1
        self._max_streams = 100
        self._max_frame = 16384
        self._initial_window = 65535
        self._window = 65535
        self._pulse = keepalive.Pulse(pings=pings)
        self.pings = pings
        self._watch: asyncio.TimerHandle | None = None
        self.accepting = True
        self.ready: asyncio.Future[None] = self._loop.create_future()
        self.lost: asyncio.Future[None] = self._loop.create_future()

    # -- what a caller does

    def send(self, head: bytes, body: bytes) -> Exchange:
        """Sends a request of the header block `head` and `body`. Raises RefusedError when it takes no more."""
        if not self.accepting or self.transport is None:
            raise RefusedError
        exchange = Exchange(head, body, self._loop.create_future())
        if len(self._open) >= self._max_streams:
            self._queued.append(exchange)
        else:
            self._begin(exchange)
        return exchange

    def give_up(self, exchange: Exchange) -> None:
        """Ends an exchange that nobody waits for."""
        if exchange.id in self._open:
            # Servers end a connection that resets streams faster than they take them up; many answers come sooner anyway.
            self._loop.call_later(_RESET_S, self._reset, exchange)
        elif exchange in self._queued:
            self._queued.remove(exchange)

    def _reset(self, exchange: Exchange) -> None:
        if self._open.pop(exchange.id, None) is not None:
            self.write(frame(RST_STREAM, 0, exchange.id, CANCEL.to_bytes(4, "big")))
            exchange.body = b""
            self._more()

    def close(self) -> None:
        """Ends the connection and whatever it carries."""
        self.accepting = False
        if self.transport is not None:
            self.write(frame(GOAWAY, 0, 0, bytes(8)))
            self.transport.close()

    def _begin(self, exchange: Exchange) -> None:
        exchange.id, self._next = self._next, self._next + 2
        if self._next > _LAST_STREAM:
            self.accepting = False
        if not self._open:
            self._pulse.heard(self._loop.time())
            if self._watch is None:
                self._watch = self._loop.call_later(keepalive.ANSWER_S, self._look)
        self._open[exchange.id] = exchange
        exchange.window = self._initial_window
        size = len(exchange.body)
        head = frame(HEADERS, END_HEADERS, exchange.id, exchange.head)
        if size <= self._max_frame and size <= self._window and size <= exchange.window:
            self._window -= size
            body, exchange.body = exchange.body, b""
            self.write(head + frame(DATA, END_STREAM, exchange.id, body))
        else:
            self.write(head)
            self._blocked.append(exchange)
            self._unblock()

    def _unblock(self) -> None:
        """Sends of waiting bodies what the windows allow."""
        waiting, self._blocked = self._blocked, deque()
        for exchange in waiting:
            left = memoryview(exchange.body)  # slices of bytes would copy all of it for each frame
            while left and (size := min(len(left), self._max_frame, self._window, exchange.window)) > 0:
                part, left = left[:size], left[size:]
                self._window -= size
                exchange.window -= size
                self.write(frame(DATA, 0 if left else END_STREAM, exchange.id, part))
            exchange.body = bytes(left)
            if exchange.body:
                self._blocked.append(exchange)

    def _more(self) -> None:
        """Begins what waited for others to end; closes a connection that only had to finish."""
        while self._queued and len(self._open) < self._max_streams and self.accepting:
            self._begin(self._queued.popleft())
        if not self.accepting and not self._open and self.transport is not None:
            self.transport.close()

    def _look(self) -> None:
        """Asks a silent server whether it is there; gives it up when it does not answer."""
        self._watch = None
        if not self._open or self.transport is None:
            return
        found = self._pulse.look(self._loop.time())
        if found == "dead":
            self.transport.abort()
            return
        if found == "ping":
            self.write(frame(PING, 0, 0, bytes(8)))
        self._watch = self._loop.call_later(keepalive.ANSWER_S, self._look)

    # -- what the loop tells

    def connection_made(self, transport: Any) -> None:
        """See asyncio.Protocol."""
        self.transport = transport
        keepalive.watch_peer(transport.get_extra_info("socket"))
        self.write(PREFACE + settings(header_table_size=0, enable_push=0, initial_window=RECEIVE_WINDOW))

    def connection_lost(self, exc: Exception | None) -> None:
        """See asyncio.Protocol; every exchange fails."""
        self.transport = None
        self.accepting = False
        if self._watch is not None:
            self._watch.cancel()
        for exchange in (*self._open.values(), *self._queued):
            _fail(exchange, ConnectionLostError())
        self._open.clear()
        self._queued.clear()
        self._blocked.clear()
        for future in (self.ready, self.lost):
            if not future.done():
                future.set_result(None)

    def data_received(self, data: bytes) -> None:
        """See asyncio.Protocol."""
        self._pulse.heard(self._loop.time())
        try:
            self.take_bytes(data)
        except FAULTS:
            self.write(frame(GOAWAY, 0, 0, struct.pack(">II", 0, PROTOCOL_ERROR)))
            if self.transport is not None:
                self.transport.abort()

    def take_frame(self, kind: int, flags: int, number: int, payload: bytes) -> None:
        """See FrameReader."""
        if kind == DATA:
            self._take_data(flags, number, payload)
        elif kind == WINDOW_UPDATE:
            self._take_window(number, int.from_bytes(payload, "big") & 0x7FFFFFFF)
        elif kind == SETTINGS:
            self._take_settings(flags, payload)
        elif kind == PING and not flags & ACK:
            self.write(frame(PING, ACK, 0, payload))
        elif kind == RST_STREAM:
            exchange = self._open.pop(number, None)
            if exchange is not None:
                exchange.body = b""
                _fail(exchange, StreamResetError(int.from_bytes(payload, "big")))
                self._more()
        elif kind == GOAWAY:
            self._take_goaway(payload)

    def take_block(self, number: int, flags: int, block: Block) -> None:
        """See FrameReader."""
        self._pulse.answered()
        exchange = self._open.get(number)
        if exchange is not None:
            exchange.fields.append(block.fields)
            if flags & END_STREAM:
                self._finish(exchange)

    def _take_data(self, flags: int, stream: int, payload: bytes) -> None:
        self.count_data(len(payload))
        self._pulse.answered()
        exchange = self._open.get(stream)
        if exchange is None:
            return
        exchange.data.append(unpadded(flags, payload))
        if flags & END_STREAM:
            self._finish(exchange)

    def _finish(self, exchange: Exchange) -> None:
        del self._open[exchange.id]
        exchange.body = b""
        if not exchange.done.done():
            exchange.done.set_result(None)
        if self._queued or not self.accepting:
            self._more()

    def _take_window(self, stream: int, grown: int) -> None:
        if stream == 0:
            self._window += grown
        elif stream in self._open:
            self._open[stream].window += grown
        if self._blocked:
            self._unblock()

    def _take_settings(self, flags: int, payload: bytes) -> None:
        if flags & ACK:
            return
        for name, value in struct.iter_unpack(">HI", payload):
            if name == MAX_STREAMS:
                self._max_streams = value
            elif name == MAX_FRAME:
                self._max_frame = value
            elif name == INITIAL_WINDOW:
                for exchange in self._open.values():
                    exchange.window += value - self._initial_window
                self._initial_window = value
        self.write(frame(SETTINGS, ACK, 0))
        if not self.ready.done():
            self.ready.set_result(None)
        self._unblock()
        self._more()

    def _take_goaway(self, payload: bytes) -> None:
        last, code = int.from_bytes(payload[:4], "big") & 0x7FFFFFFF, int.from_bytes(payload[4:8], "big")
        self.accepting = False
        if code == ENHANCE_YOUR_CALM and payload[8:] == b"too_many_pings":
            self.pings = False
        refused = [stream for stream in self._open if stream > last]
        for exchange in (*(self._open.pop(stream) for stream in refused), *self._queued):
            exchange.body = b""
            _fail(exchange, RefusedError())
        self._queued.clear()
        self._more()


def _fail(exchange: Exchange, error: Exception) -> None:
    if not exchange.done.done():
        exchange.done.set_exception(error)
