"""HTTP/2 as a gRPC server needs it, on the loop's own transport: one connection and its streams, no threads.

An answer leaves in one write. Bodies wait for the windows that the client grants and for its reading.
"""

import asyncio
import struct
from collections.abc import Callable, Sequence
from typing import Any

from chassis.header_blocks import Fields
from chassis.http2_frames import (
    ACK,
    DATA,
    END_HEADERS,
    END_STREAM,
    ENHANCE_YOUR_CALM,
    FAULTS,
    GOAWAY,
    HEADERS,
    INITIAL_WINDOW,
    MAX_FRAME,
    NO_ERROR,
    PING,
    PREFACE,
    PROTOCOL_ERROR,
    RECEIVE_FRAME,
    REFUSED_STREAM,
    RST_STREAM,
    SETTINGS,
    WINDOW_UPDATE,
    FrameReader,
    frame,
    frame_head,
    settings,
    unpadded,
)

_STREAMS = 4096
_STREAM_WINDOW = 4 * 1024 * 1024
_STREAM_REFILL = _STREAM_WINDOW // 2
_LARGEST_WINDOW = 2**31 - 1
_MOST_RESETS = 1000
_MOST_UNSENT = 1024 * 1024
_MOST_HELD = 256 * 1024 * 1024
_HELLO = settings(max_streams=_STREAMS, initial_window=_STREAM_WINDOW, max_header_list=16 * 1024)


class Stream:
    """One request and its answer, as the connection sees it. What is done with it is its subclass's."""

    __slots__ = ("connection", "drained", "ended", "held", "id", "last", "unread", "unreported", "unsent", "window")

    def __init__(self, connection: "ServerConnection", number: int) -> None:
        self.connection = connection
        self.id = number
        self.window = connection.initial_window
        self.unsent = b""  # of the body, waiting for a window
        self.last: bytes | None = None  # the header block that ends the stream, once known
        self.drained: asyncio.Future[None] | None = None
        self.ended = False  # the client sent all
        self.unread = False  # True: its data counts as read only when `read` says so
        self.unreported = 0
        self.held = 0  # bytes of its body that wait for the rest

    def began(self) -> None:
        """Its request's fields are here."""

    def received(self, data: bytes, ended: bool) -> None:
        """A part of the body; `ended` with the last."""

    def gone(self) -> None:
        """The client gave it up, or the connection ended."""


class ServerConnection(FrameReader):
    """The protocol of one TCP connection. `accept` makes the stream of a request's fields."""

    def __init__(
        self,
        accept: Callable[["ServerConnection", int, Fields], Stream],
        made: Callable[["ServerConnection"], None],
        forget: Callable[["ServerConnection"], None],
    ) -> None:
        super().__init__()
        self._accept = accept
        self._made = made
        self._forget = forget
        self.lost: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._greeting = b""
        self._greeted = False
        self.streams: dict[int, Stream] = {}
        self._blocked: dict[int, Stream] = {}
        self._newest = 0
        self._resets = 0
        self._held = 0
        self._max_frame = 16384
        self.initial_window = 65535
        self._window = 65535
        self._paused = False
        self._draining = False

    # -- what streams do

    def answer(self, stream: Stream, head: bytes, data: Sequence[bytes], last: bytes | None) -> None:
        """Sends a header block (or none), a part of the body, and the block that ends the stream (or not yet).

        data: the part in pieces, which are copied once.
        """
        size = sum(map(len, data))
        out = [frame(HEADERS, END_HEADERS, stream.id, head)] if head else []
        if stream.unsent or size > self._max_frame or size > min(self._window, stream.window) or self._paused:
            if head:
                self.write(out[0])
            stream.unsent = b"".join((stream.unsent, *data))
            stream.last = last
            self._blocked[stream.id] = stream
            self._pump(stream)
            return
        if size:
            self._window -= size
            stream.window -= size
            out.append(frame_head(DATA, 0, stream.id, size))
            out += data
        if last is not None:
            out.append(frame(HEADERS, END_HEADERS | END_STREAM, stream.id, last))
        self.write(b"".join(out))
        if last is not None:
            self._close(stream)

    def refuse(self, stream: Stream, head: bytes) -> None:
        """Answers with a header block alone."""
        self.write(frame(HEADERS, END_HEADERS | END_STREAM, stream.id, head))
        self._close(stream)

    def read(self, stream: Stream, size: int) -> None:
        """Lets the client send on after so much of the body was used."""
        stream.unreported += size
        if stream.unreported >= _STREAM_REFILL and not stream.ended:
            self.write(frame(WINDOW_UPDATE, 0, stream.id, stream.unreported.to_bytes(4, "big")))
            stream.unreported = 0

    def drain(self) -> None:
        """Takes no new streams; those there may end."""
        if not self._draining:
            self._draining = True
            self.write(frame(GOAWAY, 0, 0, struct.pack(">II", self._newest, NO_ERROR)))
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
        """Ends the connection after what is on its way."""
        if self.transport is not None:
            self.transport.close()

    def _close(self, stream: Stream) -> None:
        self.streams.pop(stream.id, None)
        self._blocked.pop(stream.id, None)
        self._let_go(stream)
        if self._draining:
            self._close_if_done()

    def _close_if_done(self) -> None:
        if not self.streams and self.transport is not None:
            self.transport.close()

    def _pump(self, stream: Stream) -> None:
        """Sends of a waiting body what windows and the transport allow."""
        while stream.unsent and not self._paused:
            size = min(len(stream.unsent), self._max_frame, self._window, stream.window)
            if size <= 0:
                return
            # taken before it is written: writing may resume the connection, which pumps again
            part, stream.unsent = stream.unsent[:size], stream.unsent[size:]
            self._window -= size
            stream.window -= size
            self.write(frame(DATA, 0, stream.id, part))
        if stream.unsent:
            return
        self._blocked.pop(stream.id, None)
        if stream.drained is not None and not stream.drained.done():
            stream.drained.set_result(None)
        if stream.last is not None:
            self.write(frame(HEADERS, END_HEADERS | END_STREAM, stream.id, stream.last))
            self._close(stream)

    def _pump_all(self) -> None:
        for stream in list(self._blocked.values()):
            if self._window <= 0 or self._paused:
                return
            self._pump(stream)

    def _acknowledge(self, data: bytes) -> None:
        """Answers that a client can provoke without end: one that does not read them is let go."""
        if self._paused and self.transport is not None and self.transport.get_write_buffer_size() > _MOST_UNSENT:
            self.transport.abort()
            return
        self.write(data)

    # -- what the loop tells

    def connection_made(self, transport: Any) -> None:
        """See asyncio.Protocol."""
        self.transport = transport
        self._made(self)
        self.write(_HELLO)

    def connection_lost(self, exc: Exception | None) -> None:
        """See asyncio.Protocol; every stream ends."""
        self.transport = None
        streams, self.streams, self._blocked = list(self.streams.values()), {}, {}
        for stream in streams:
            stream.gone()
        self._forget(self)
        self.lost.set_result(None)

    def pause_writing(self) -> None:
        """See asyncio.Protocol."""
        self._paused = True

    def resume_writing(self) -> None:
        """See asyncio.Protocol."""
        self._paused = False
        self._pump_all()

    def data_received(self, data: bytes) -> None:
        """See asyncio.Protocol."""
        if not self._greeted:
            data = self._greeting + data
            if len(data) < len(PREFACE) and PREFACE.startswith(data):
                self._greeting = data
                return
            if not data.startswith(PREFACE):
                self.transport.abort()
                return
            self._greeted, data = True, data[len(PREFACE) :]
        try:
            self.take_bytes(data)
        except FAULTS:
            self._break(PROTOCOL_ERROR)

    def _break(self, code: int) -> None:
        if self.transport is not None:
            self.write(frame(GOAWAY, 0, 0, struct.pack(">II", self._newest, code)))
            self.transport.close()

    def take_frame(self, kind: int, flags: int, number: int, payload: bytes) -> None:
        """See FrameReader."""
        if kind == DATA:
            self._take_data(flags, number, payload)
        elif kind == WINDOW_UPDATE:
            self._take_window(number, payload)
        elif kind == SETTINGS:
            self._take_settings(flags, payload)
        elif kind == PING:
            if len(payload) != 8:
                raise ValueError("a ping is of another size")
            if not flags & ACK:
                self._acknowledge(frame(PING, ACK, 0, payload))
        elif kind == RST_STREAM:
            self._take_reset(number)

    def _take_data(self, flags: int, number: int, payload: bytes) -> None:
        self.count_data(len(payload))
        stream = self.streams.get(number)
        if stream is None:
            if number > self._newest or not number & 1:
                raise ValueError("data of a stream that never began")
            if (
                not flags & END_STREAM
            ):  # answered, and the client goes on; sooner, grpc's clients would take it for a failure
                self._acknowledge(frame(RST_STREAM, 0, number, NO_ERROR.to_bytes(4, "big")))
            return
        if stream.ended:
            raise ValueError("data after the end of its stream")
        stream.ended = bool(flags & END_STREAM)
        if not stream.unread:
            self.read(stream, len(payload))
            self._hold(stream, len(payload))
        stream.received(unpadded(flags, payload), stream.ended)

    def _hold(self, stream: Stream, size: int) -> None:
        """A body is kept until it is whole; a client that begins many and ends none is let go before memory is."""
        if stream.ended:
            self._let_go(stream)
            return
        stream.held += size
        self._held += size
        if self._held > _MOST_HELD:
            self._break(ENHANCE_YOUR_CALM)

    def _let_go(self, stream: Stream) -> None:
        self._held -= stream.held
        stream.held = 0

    def take_fields(self, number: int, flags: int, fields: Fields) -> None:
        """See FrameReader. Even those of a refused stream are read: their table is the connection's."""
        if number <= self._newest:
            self._take_trailers(number, flags)
            return
        if not number & 1:
            raise ValueError("a client's stream has an odd number")
        self._newest = number
        if self._draining or len(self.streams) >= _STREAMS:
            self._acknowledge(frame(RST_STREAM, 0, number, REFUSED_STREAM.to_bytes(4, "big")))
            return
        stream = self._accept(self, number, fields)
        stream.ended = bool(flags & END_STREAM)
        self.streams[number] = stream
        stream.began()
        if stream.ended:
            stream.received(b"", True)

    def _take_trailers(self, number: int, flags: int) -> None:
        stream = self.streams.get(number)
        if stream is None:
            return
        if stream.ended or not flags & END_STREAM:
            raise ValueError("a header block in the middle of a stream")
        stream.ended = True
        stream.received(b"", True)

    def _take_reset(self, number: int) -> None:
        if number > self._newest:
            raise ValueError("a stream that never began was reset")
        stream = self.streams.pop(number, None)
        if stream is None:
            return
        self._blocked.pop(number, None)
        self._let_go(stream)
        stream.gone()
        # A client that opens streams only to reset them makes work and sees none of it.
        self._resets += 1
        if self._resets > _MOST_RESETS and self._resets * 4 > self._newest // 2:
            self._break(ENHANCE_YOUR_CALM)
        if self._draining:
            self._close_if_done()

    def _take_window(self, number: int, payload: bytes) -> None:
        if len(payload) != 4:
            raise ValueError("a window update is of another size")
        grown = int.from_bytes(payload, "big") & 0x7FFFFFFF
        if number == 0:
            self._window += grown
            if self._window > _LARGEST_WINDOW:
                raise ValueError("the window is too large")
            self._pump_all()
        elif (stream := self.streams.get(number)) is not None:
            stream.window += grown
            if stream.id in self._blocked:
                self._pump(stream)

    def _take_settings(self, flags: int, payload: bytes) -> None:
        if flags & ACK:
            return
        for name, value in struct.iter_unpack(">HI", payload):
            if name == MAX_FRAME:
                if not 16384 <= value < 2**24:
                    raise ValueError("no such largest frame")
                self._max_frame = min(value, RECEIVE_FRAME)  # larger ones would hold up other streams
            elif name == INITIAL_WINDOW:
                if value > _LARGEST_WINDOW:
                    raise ValueError("the window is too large")
                for stream in self.streams.values():
                    stream.window += value - self.initial_window
                self.initial_window = value
        self._acknowledge(frame(SETTINGS, ACK, 0))
        self._pump_all()
