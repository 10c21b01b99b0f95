"""HTTP/2 as a gRPC client needs it, on the loop's own transport: one connection, unary exchanges, no threads.

grpc.aio hands every call to threads of its own and back, which costs more than a batch of reads itself. What is sent here is plain
HTTP/2 (RFC 9113), so any gRPC server answers it. Header blocks are written without the dynamic table, and the server is asked to
write its own without one. A server that breaks the rules, or floods, loses the connection.
"""

import asyncio
import struct
from collections import deque
from typing import Any

from chassis.telemetry.logs import logger
from chassis.wire import keepalive
from chassis.wire.bounds import SETTINGS_COST, Budget, Calm
from chassis.wire.fields import response_flaw
from chassis.wire.frames import (
    ACK,
    CANCEL,
    DATA,
    END_STREAM,
    ENHANCE_YOUR_CALM,
    FAULTS,
    FLOW_CONTROL_ERROR,
    GOAWAY,
    INITIAL_WINDOW,
    LARGEST_WINDOW,
    MAX_FRAME,
    MAX_STREAMS,
    PING,
    PREFACE,
    PROTOCOL_ERROR,
    RECEIVE_FRAME,
    RECEIVE_WINDOW,
    RST_STREAM,
    SETTINGS,
    WINDOW_UPDATE,
    ConnectionFaultError,
    FrameReader,
    fault_code,
    fault_reason,
    frame,
    settings,
    settings_of,
    unpadded,
)
from chassis.wire.header_blocks import Block, Fields
from chassis.wire.outbox import BODY_ENDS, Outbox, Outgoing

_log = logger("chassis.rpc.channel")
_LAST_STREAM = 2**30
_RESET_S = 0.05
_FLUSH_S = 1.0
_MOST_BLOCKS = 4  # of one answer: informational ones, its head, its trailers


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

    __slots__ = ("body", "data", "done", "drained", "fields", "head", "id", "out")

    def __init__(self, head: bytes, body: bytes, done: "asyncio.Future[None]") -> None:
        self.id = 0
        self.head = head
        self.body = body
        self.done = done
        self.drained: asyncio.Future[None] | None = None
        self.out = Outgoing(0)
        self.fields: list[Fields] = []
        self.data: list[bytes] = []


class Http2(FrameReader):
    """The protocol of one TCP connection. `lost` is done when it ended; `ready` when the server's settings are here.

    pings: False for a server that ended a connection because of them, as `pings` then says.
    """

    def __init__(self, *, pings: bool = True) -> None:
        super().__init__(response_flaw)
        self._loop = asyncio.get_running_loop()
        self._open: dict[int, Exchange] = {}
        self._queued: deque[Exchange] = deque()
        self._next = 1
        self._max_streams = 100
        self._calm = Calm()
        self._out = Outbox(self.write, _sent, Budget(), self._calm)
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
            self._loop.call_later(_RESET_S, self._reset, exchange, CANCEL)
        elif exchange in self._queued:
            self._queued.remove(exchange)

    def _reset(self, exchange: Exchange, code: int) -> None:
        if self._open.pop(exchange.id, None) is not None:
            self.write(frame(RST_STREAM, 0, exchange.id, code.to_bytes(4, "big")))
            self._out.forget(exchange)
            _fail(exchange, StreamResetError(code))
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
        exchange.out.window = self._out.initial_window
        body, exchange.body = exchange.body, b""
        self._out.send(exchange, exchange.head, (body,), BODY_ENDS)

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
            self._out.forget(exchange)
            _fail(exchange, ConnectionLostError())
        self._open.clear()
        self._queued.clear()
        for future in (self.ready, self.lost):
            if not future.done():
                future.set_result(None)

    def pause_writing(self) -> None:
        self._out.paused = True

    def resume_writing(self) -> None:
        self._out.paused = False
        self._out.pump()

    def data_received(self, data: bytes) -> None:
        self._pulse.heard(self._loop.time())
        try:
            self.take_bytes(data)
        except FAULTS as error:
            code = fault_code(error)
            _log.warning("a server broke the rules of HTTP/2", reason=fault_reason(error), code=code)
            self.accepting = False
            self.write(frame(GOAWAY, 0, 0, struct.pack(">II", 0, code)))
            if self.transport is not None:
                self.transport.close()
                self._loop.call_later(_FLUSH_S, self._abort)

    def _abort(self) -> None:
        if self.transport is not None:
            self.transport.abort()

    def take_frame(self, kind: int, flags: int, number: int, payload: bytes) -> None:
        if kind == DATA:
            self._take_data(flags, number, payload)
            return
        self._calm.count(SETTINGS_COST if kind == SETTINGS else 1)
        if kind == WINDOW_UPDATE:
            self._take_window(number, int.from_bytes(payload, "big") & LARGEST_WINDOW)
        elif kind == SETTINGS and not flags & ACK:
            self._take_settings(payload)
        elif kind == PING and not flags & ACK:
            self.write(frame(PING, ACK, 0, payload))
        elif kind == RST_STREAM:
            self._expect(number)
            exchange = self._open.pop(number, None)
            if exchange is not None:
                self._out.forget(exchange)
                _fail(exchange, StreamResetError(int.from_bytes(payload, "big")))
                self._more()
        elif kind == GOAWAY:
            self._take_goaway(payload)

    def _expect(self, number: int) -> None:
        if number >= self._next or not number & 1:
            raise ConnectionFaultError(PROTOCOL_ERROR, f"stream {number} never began")

    def take_block(self, number: int, flags: int, block: Block) -> None:
        self._expect(number)
        self._pulse.answered()
        exchange = self._open.get(number)
        if exchange is None:
            return
        is_first = not exchange.fields
        exchange.fields.append(block.fields)
        if block.flaw is not None or len(exchange.fields) > _MOST_BLOCKS or (is_first and not block.has_status):
            self._reset(exchange, PROTOCOL_ERROR)
        elif flags & END_STREAM:
            self._finish(exchange)

    def _take_data(self, flags: int, number: int, payload: bytes) -> None:
        self._expect(number)
        self.count_data(len(payload))
        self._pulse.answered()
        data = unpadded(flags, payload)
        if not data and not flags & END_STREAM:
            self._calm.count()
        exchange = self._open.get(number)
        if exchange is None:
            return
        if not exchange.fields:
            self._reset(exchange, PROTOCOL_ERROR)
            return
        exchange.data.append(data)
        if flags & END_STREAM:
            self._finish(exchange)

    def _finish(self, exchange: Exchange) -> None:
        del self._open[exchange.id]
        self._out.forget(exchange)
        self._calm.earn(4)
        if not exchange.done.done():
            exchange.done.set_result(None)
        if self._queued or not self.accepting:
            self._more()

    def _take_window(self, number: int, grown: int) -> None:
        if number:
            self._expect(number)
        exchange = self._open.get(number)
        if number and exchange is None and grown:
            return
        code = FLOW_CONTROL_ERROR if grown else PROTOCOL_ERROR
        if exchange is None:
            self._out.window += grown
            if not grown or self._out.window > LARGEST_WINDOW:
                raise ConnectionFaultError(code, "the window is too large, or does not grow")
        else:
            exchange.out.window += grown
            if not grown or exchange.out.window > LARGEST_WINDOW:
                self._reset(exchange, code)
        self._out.pump()

    def _take_settings(self, payload: bytes) -> None:
        for name, value in settings_of(payload):
            if name == MAX_STREAMS:
                self._max_streams = value
            elif name == MAX_FRAME:
                self._out.max_frame = min(value, RECEIVE_FRAME)
            elif name == INITIAL_WINDOW:
                for exchange in self._open.values():
                    exchange.out.window += value - self._out.initial_window
                self._out.initial_window = value
        self.write(frame(SETTINGS, ACK, 0))
        if not self.ready.done():
            self.ready.set_result(None)
        self._out.pump()
        self._more()

    def _take_goaway(self, payload: bytes) -> None:
        last, code = int.from_bytes(payload[:4], "big") & LARGEST_WINDOW, int.from_bytes(payload[4:8], "big")
        self.accepting = False
        if code == ENHANCE_YOUR_CALM and payload[8:] == b"too_many_pings":
            self.pings = False
        refused = [stream for stream in self._open if stream > last]
        for exchange in (*(self._open.pop(stream) for stream in refused), *self._queued):
            self._out.forget(exchange)
            _fail(exchange, RefusedError())
        self._queued.clear()
        self._more()


def _sent(exchange: Exchange) -> None:
    """A request is out; its answer is still to come."""


def _fail(exchange: Exchange, error: Exception) -> None:
    if not exchange.done.done():
        exchange.done.set_exception(error)
