"""HTTP/2 as a gRPC server needs it, on the loop's own transport: one connection and its streams, no threads.

Whatever RFC 9113 says must be refused is refused: what breaks the connection's state ends it, what breaks one request ends that.
"""

import asyncio
import struct
from collections.abc import Callable, Sequence
from typing import Any

from chassis.telemetry.logs import logger
from chassis.wire.bounds import SETTINGS_COST, Calm
from chassis.wire.fields import request_flaw, trailers_flaw
from chassis.wire.frames import (
    ACK,
    CANCEL,
    DATA,
    END_HEADERS,
    END_STREAM,
    FAULTS,
    FLOW_CONTROL_ERROR,
    FRAME_SIZE_ERROR,
    GOAWAY,
    HEADERS,
    INITIAL_WINDOW,
    LARGEST_WINDOW,
    MAX_FRAME,
    NO_ERROR,
    OF_ITSELF,
    PING,
    PREFACE,
    PRIORITY,
    PROTOCOL_ERROR,
    RECEIVE_FRAME,
    REFUSED_STREAM,
    RST_STREAM,
    SETTINGS,
    STREAM_CLOSED,
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
from chassis.wire.header_blocks import Block
from chassis.wire.outbox import Outbox
from chassis.wire.streams import STREAM_WINDOW, Budgets, Numbers, Stream

_log = logger("chassis.rpc.server")
STREAMS = 4096
MOST_FIELDS = 16 * 1024  # bytes of a request's fields, each counted with 32 more
_STREAM_REFILL = STREAM_WINDOW // 2
_MOST_UNSENT = 1024 * 1024
_GREETING_S = 15.0
_FLUSH_S = 1.0
_STALLED_S, _LOOK_S = 60.0, 5.0
_LARGE_FIELDS_COST = 25
_HELLO = settings(max_streams=STREAMS, initial_window=STREAM_WINDOW, max_header_list=MOST_FIELDS)


class ServerConnection(FrameReader):
    """The protocol of one TCP connection. `accept` makes the stream of a request's fields."""

    def __init__(
        self,
        accept: Callable[["ServerConnection", int, Block], Stream],
        made: Callable[["ServerConnection"], None],
        forget: Callable[["ServerConnection"], None],
        budgets: Budgets,
    ) -> None:
        super().__init__(request_flaw)
        self._accept = accept
        self._made = made
        self._forget = forget
        self._budgets = budgets
        self.lost: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._greeting: bytes | None = b""  # what has come of the preface; None once it is whole
        self._timer: asyncio.TimerHandle | None = None
        self.streams: dict[int, Stream] = {}
        self._numbers = Numbers()
        self._calm = Calm()
        self.out = Outbox(self.write, self._close, budgets.answers, self._calm)
        self._draining = False

    # -- what streams do

    def answer(self, stream: Stream, head: bytes, data: Sequence[bytes], last: bytes | None) -> None:
        """Sends a header block (or none), a part of the body, and the block that ends the stream (or not yet)."""
        self._calm.earn(4)
        self.out.send(stream, head, data, last)
        if self.out.blocked and self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(_LOOK_S, self._look)

    def refuse(self, stream: Stream, head: bytes) -> None:
        """Answers with a header block alone."""
        self._calm.earn(4)
        self.write(frame(HEADERS, END_HEADERS | END_STREAM, stream.id, head))
        self._close(stream)

    def read(self, stream: Stream, size: int) -> None:
        """Lets the client send on after so much of the body was used."""
        stream.unreported += size
        if stream.unreported >= _STREAM_REFILL and not stream.ended:
            self.write(frame(WINDOW_UPDATE, 0, stream.id, stream.unreported.to_bytes(4, "big")))
            stream.credit += stream.unreported
            stream.unreported = 0

    def hold(self, stream: Stream, size: int) -> None:
        """`size` bytes of its body wait now, for the rest or for a reader."""
        if size != stream.held:
            stream.held = size
            if size:
                self._budgets.requests.hold(stream, size)
            else:
                self._budgets.requests.release(stream)

    def fail(self, stream: Stream, code: int) -> None:
        """Ends a stream with an error."""
        if self.streams.get(stream.id) is stream:
            self._reset(stream.id, code, ended=stream.ended)
            self._drop(stream)

    def drain(self) -> None:
        """Takes no new streams; those there may end."""
        if not self._draining:
            self._draining = True
            self.write(frame(GOAWAY, 0, 0, struct.pack(">II", self._numbers.newest, NO_ERROR)))
            self._close_if_done()

    @property
    def peer(self) -> str:
        """Who is at the other end, as ``ipv4:host:port``."""
        name = None if self.transport is None else self.transport.get_extra_info("peername")
        if not name:
            return "unknown"
        return f"ipv6:[{name[0]}]:{name[1]}" if ":" in name[0] else f"ipv4:{name[0]}:{name[1]}"

    @property
    def socket(self) -> Any:
        """The transport's."""
        return None if self.transport is None else self.transport.get_extra_info("socket")

    def abort(self) -> None:
        """Ends the connection at once."""
        if self.transport is not None:
            self.transport.abort()

    def close(self) -> None:
        """Ends the connection after what is on its way, or soon when nobody takes that."""
        if self.transport is not None:
            self.transport.close()
            asyncio.get_running_loop().call_later(_FLUSH_S, self.abort)

    def _close(self, stream: Stream) -> None:
        """An answer is out."""
        self._numbers.closed(stream.id, ended=stream.ended)
        self.streams.pop(stream.id, None)
        self.hold(stream, 0)
        self.out.forget(stream)
        if self._draining:
            self._close_if_done()

    def _drop(self, stream: Stream) -> None:
        """A stream has ended without its answer."""
        self._close(stream)
        stream.gone()

    def _close_if_done(self) -> None:
        if not self.streams and self.transport is not None:
            self.transport.close()

    def _look(self) -> None:
        """Ends what nobody takes, and a connection that doesn't begin."""
        self._timer = None
        if self._greeting is not None:
            self.abort()
            return
        for stream in self.out.stalled(_STALLED_S):
            self.fail(stream, CANCEL)
        if self.out.blocked:
            self._timer = asyncio.get_running_loop().call_later(_LOOK_S, self._look)

    def _acknowledge(self, data: bytes) -> None:
        """Answers that a client can provoke without end: one that does not read them is let go."""
        if self.out.paused and self.transport is not None and self.transport.get_write_buffer_size() > _MOST_UNSENT:
            self.transport.abort()
            return
        self.write(data)

    def _reset(self, number: int, code: int, *, ended: bool) -> None:
        self._numbers.closed(number, ended=ended, told=True)
        self._acknowledge(frame(RST_STREAM, 0, number, code.to_bytes(4, "big")))

    # -- what the loop tells

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        self._timer = asyncio.get_running_loop().call_later(_GREETING_S, self._look)
        self._made(self)
        self.write(_HELLO)

    def connection_lost(self, exc: Exception | None) -> None:
        """See asyncio.Protocol; every stream ends."""
        self.transport = None
        if self._timer is not None:
            self._timer.cancel()
        for stream in list(self.streams.values()):
            self._drop(stream)
        self._forget(self)
        self.lost.set_result(None)

    def pause_writing(self) -> None:
        self.out.paused = True

    def resume_writing(self) -> None:
        self.out.paused = False
        self.out.pump()

    def data_received(self, data: bytes) -> None:
        if self._greeting is not None:
            data = self._greeting + data
            if len(data) < len(PREFACE) and PREFACE.startswith(data):
                self._greeting = data
                return
            if not data.startswith(PREFACE):
                self._break(ConnectionFaultError(PROTOCOL_ERROR, "the preface is missing"))
                return
            self._greeting, data = None, data[len(PREFACE) :]
            if self._timer is not None:
                self._timer.cancel()
                self._timer = None
        try:
            self.take_bytes(data)
        except FAULTS as error:
            self._break(error)

    def _break(self, error: Exception) -> None:
        code = fault_code(error)
        _log.info("a client broke the rules of HTTP/2", client=self.peer, reason=fault_reason(error), code=code)
        self.write(frame(GOAWAY, 0, 0, struct.pack(">II", self._numbers.newest, code)))
        self.close()

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
            self._acknowledge(frame(PING, ACK, 0, payload))
        elif kind == RST_STREAM:
            self._numbers.expect(number)
            stream = self.streams.get(number)
            if stream is not None:
                stream.ended = True
                self._drop(stream)
        elif kind == PRIORITY:
            self._take_priority(number, payload)

    def _take_data(self, flags: int, number: int, payload: bytes) -> None:
        size, ended = len(payload), bool(flags & END_STREAM)
        self.count_data(size)
        stream = self.streams.get(number)
        data = unpadded(flags, payload)
        if not data and not ended:
            self._calm.count()
        if stream is None:
            self._take_late(number, ended=ended)
            return
        if stream.ended:
            self.fail(stream, STREAM_CLOSED)
            return
        stream.credit -= size
        if stream.credit < 0:
            self.fail(stream, FLOW_CONTROL_ERROR)
            return
        if stream.left is not None:
            stream.left -= len(data)
        stream.ended = ended
        if not stream.unread:
            self.read(stream, size)
        elif size > len(data):
            self.read(stream, size - len(data))  # padding has no reader
        self._pass_on(stream, data)

    def _pass_on(self, stream: Stream, data: bytes) -> None:
        """Hands a part of the body over, unless the body is of another length than its request said."""
        if stream.left is not None and (stream.left < 0 or (stream.ended and stream.left)):
            self.fail(stream, PROTOCOL_ERROR)
        else:
            stream.received(data, stream.ended)

    def _take_late(self, number: int, *, ended: bool) -> None:
        """Data or trailers of a stream that is no more: fine where it was answered early, and the client may not know yet."""
        self._numbers.expect(number)
        if not self._numbers.is_early(number):
            raise ConnectionFaultError(STREAM_CLOSED, "a stream goes on that has ended")
        self._calm.count()
        if ended:
            self._numbers.closed(number, ended=True)
        elif self._numbers.tell(number):  # sooner, grpc's clients would take it for a failure
            self._acknowledge(frame(RST_STREAM, 0, number, NO_ERROR.to_bytes(4, "big")))

    def take_block(self, number: int, flags: int, block: Block) -> None:
        """See FrameReader. Even those of a refused stream are read: their table is the connection's."""
        ended = bool(flags & END_STREAM)
        if block.size > MOST_FIELDS:
            self._calm.count(_LARGE_FIELDS_COST)
        if self._numbers.is_known(number):
            self._take_trailers(number, ended=ended, block=block)
            return
        self._numbers.begin(number)
        if self._draining or len(self.streams) >= STREAMS or block.flaw is not None or flags & OF_ITSELF:
            self._calm.count()
            code = PROTOCOL_ERROR if block.flaw is not None or flags & OF_ITSELF else REFUSED_STREAM
            self._reset(number, code, ended=ended)
            return
        stream = self._accept(self, number, block)
        self.streams[number] = stream
        if ended and stream.left:
            self.fail(stream, PROTOCOL_ERROR)
            return
        stream.ended = ended
        stream.began()
        if ended:
            stream.received(b"", True)

    def _take_trailers(self, number: int, *, ended: bool, block: Block) -> None:
        stream = self.streams.get(number)
        if stream is None:
            self._take_late(number, ended=ended)
        elif stream.ended:
            self.fail(stream, STREAM_CLOSED)
        elif not ended or trailers_flaw(block.fields) is not None:
            self.fail(stream, PROTOCOL_ERROR)
        else:
            stream.ended = True
            self._pass_on(stream, b"")

    def _take_priority(self, number: int, payload: bytes) -> None:
        stream = self.streams.get(number)
        of_itself = len(payload) == 5 and int.from_bytes(payload[:4], "big") & LARGEST_WINDOW == number
        if len(payload) == 5 and not of_itself:
            return
        code = PROTOCOL_ERROR if of_itself else FRAME_SIZE_ERROR
        if stream is None:
            raise ConnectionFaultError(code, "a priority of another size, or of a stream over itself")
        self.fail(stream, code)

    def _take_window(self, number: int, grown: int) -> None:
        if number == 0:
            self.out.window += grown
            if not grown or self.out.window > LARGEST_WINDOW:
                code = FLOW_CONTROL_ERROR if grown else PROTOCOL_ERROR
                raise ConnectionFaultError(code, "the window is too large, or does not grow")
            self.out.pump()
            return
        self._numbers.expect(number)
        stream = self.streams.get(number)
        if stream is None:
            if not grown:
                raise ConnectionFaultError(PROTOCOL_ERROR, "the window of a stream does not grow")
            return
        stream.out.window += grown
        if not grown or stream.out.window > LARGEST_WINDOW:
            self.fail(stream, FLOW_CONTROL_ERROR if grown else PROTOCOL_ERROR)
        elif stream.out.size:
            self.out.pump()

    def _take_settings(self, payload: bytes) -> None:
        for name, value in settings_of(payload):
            if name == MAX_FRAME:
                self.out.max_frame = min(value, RECEIVE_FRAME)  # larger ones would hold up other streams
            elif name == INITIAL_WINDOW:
                for stream in self.streams.values():
                    stream.out.window += value - self.out.initial_window
                    if stream.out.window > LARGEST_WINDOW:
                        raise ConnectionFaultError(FLOW_CONTROL_ERROR, "a window is too large")
                self.out.initial_window = value
        self._acknowledge(frame(SETTINGS, ACK, 0))
        self.out.pump()
