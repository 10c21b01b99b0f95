"""HTTP/2 as a gRPC server needs it, on the loop's own transport: one connection and its streams, no threads.

What one tick of the loop sends leaves in one write. Bodies wait for the windows that the client grants and for its reading.
"""

import asyncio
import struct
from collections.abc import Callable
from typing import Any

import hpack

from chassis.header_blocks import Fields, HeaderBlocks
from chassis.http2 import (
    ACK,
    CONTINUATION,
    DATA,
    END_HEADERS,
    END_STREAM,
    GOAWAY,
    HAS_PRIORITY,
    HEADERS,
    NO_ERROR,
    PING,
    PROTOCOL_ERROR,
    RST_STREAM,
    SETTINGS,
    WINDOW_UPDATE,
    frame,
    unpadded,
)

REFUSED_STREAM, ENHANCE_YOUR_CALM = 0x7, 0xB
_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
_MAX_STREAMS, _INITIAL_WINDOW, _MAX_FRAME, _MAX_HEADER_LIST = 3, 4, 5, 6
_STREAMS = 4096
_RECEIVE_FRAME = 64 * 1024
_STREAM_WINDOW = 4 * 1024 * 1024
_RECEIVE_WINDOW = 2**30
_REFILL, _STREAM_REFILL = 2**24, _STREAM_WINDOW // 2
_LARGEST_WINDOW = 2**31 - 1
_MOST_RESETS = 1000
_MOST_UNSENT = 1024 * 1024
_SETTINGS = b"".join(
    struct.pack(">HI", name, value)
    for name, value in (
        (_MAX_STREAMS, _STREAMS),
        (_INITIAL_WINDOW, _STREAM_WINDOW),
        (_MAX_FRAME, _RECEIVE_FRAME),
        (_MAX_HEADER_LIST, 16 * 1024),
    )
)
_HELLO = frame(SETTINGS, 0, 0, _SETTINGS) + frame(WINDOW_UPDATE, 0, 0, (_RECEIVE_WINDOW - 65535).to_bytes(4, "big"))


class Stream:
    """One request and its answer, as the connection sees it. What is done with it is its subclass's."""

    __slots__ = ("connection", "drained", "ended", "id", "last", "unread", "unreported", "unsent", "window")

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

    def began(self) -> None:
        """Its request's fields are here."""

    def received(self, data: bytes, ended: bool) -> None:
        """A part of the body; `ended` with the last."""

    def gone(self) -> None:
        """The client gave it up, or the connection ended."""


class ServerConnection(asyncio.Protocol):
    """The protocol of one TCP connection. `accept` makes the stream of a request's fields."""

    def __init__(
        self,
        accept: Callable[["ServerConnection", int, Fields], Stream],
        made: Callable[["ServerConnection"], None],
        forget: Callable[["ServerConnection"], None],
    ) -> None:
        self._accept = accept
        self._made = made
        self._forget = forget
        self.lost: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._transport: Any = None
        self._rest = b""
        self._greeted = False
        self._blocks = HeaderBlocks()
        self.streams: dict[int, Stream] = {}
        self._blocked: dict[int, Stream] = {}
        self._newest = 0
        self._resets = 0
        self._max_frame = 16384
        self.initial_window = 65535
        self._window = 65535
        self._unreported = 0
        self._block: tuple[int, int, bytes] | None = None  # stream, flags, what has come of a header block
        self._paused = False
        self._draining = False

    # -- what streams do

    def answer(self, stream: Stream, head: bytes, data: bytes, last: bytes | None) -> None:
        """Sends a header block (or none), a part of the body, and the block that ends the stream (or not yet)."""
        size = len(data)
        out = frame(HEADERS, END_HEADERS, stream.id, head) if head else b""
        if stream.unsent or size > self._max_frame or size > min(self._window, stream.window) or self._paused:
            if out:
                self._write(out)
            stream.unsent += data
            stream.last = last
            self._blocked[stream.id] = stream
            self._pump(stream)
            return
        if size:
            self._window -= size
            stream.window -= size
            out += frame(DATA, 0, stream.id, data)
        if last is not None:
            out += frame(HEADERS, END_HEADERS | END_STREAM, stream.id, last)
        self._write(out)
        if last is not None:
            self._close(stream)

    def refuse(self, stream: Stream, head: bytes) -> None:
        """Answers with a header block alone."""
        self._write(frame(HEADERS, END_HEADERS | END_STREAM, stream.id, head))
        self._close(stream)

    def read(self, stream: Stream, size: int) -> None:
        """Lets the client send on after so much of the body was used."""
        stream.unreported += size
        if stream.unreported >= _STREAM_REFILL and not stream.ended:
            self._write(frame(WINDOW_UPDATE, 0, stream.id, stream.unreported.to_bytes(4, "big")))
            stream.unreported = 0

    def drain(self) -> None:
        """Takes no new streams; those there may end."""
        if not self._draining:
            self._draining = True
            self._write(frame(GOAWAY, 0, 0, struct.pack(">II", self._newest, NO_ERROR)))
            self._close_if_done()

    @property
    def peer(self) -> str:
        """Who is at the other end, as ``ipv4:host:port``."""
        name = None if self._transport is None else self._transport.get_extra_info("peername")
        if not name:
            return "unknown"
        return f"ipv6:[{name[0]}]:{name[1]}" if ":" in name[0] else f"ipv4:{name[0]}:{name[1]}"

    @property
    def socket(self) -> Any:
        """The transport's."""
        return None if self._transport is None else self._transport.get_extra_info("socket")

    def abort(self) -> None:
        """Ends the connection at once."""
        if self._transport is not None:
            self._transport.abort()

    def close(self) -> None:
        """Ends the connection after what is on its way."""
        if self._transport is not None:
            self._transport.close()

    def _close(self, stream: Stream) -> None:
        self.streams.pop(stream.id, None)
        self._blocked.pop(stream.id, None)
        if self._draining:
            self._close_if_done()

    def _close_if_done(self) -> None:
        if not self.streams and self._transport is not None:
            self._transport.close()

    def _pump(self, stream: Stream) -> None:
        """Sends of a waiting body what windows and the transport allow."""
        while stream.unsent and not self._paused:
            size = min(len(stream.unsent), self._max_frame, self._window, stream.window)
            if size <= 0:
                return
            part, stream.unsent = stream.unsent[:size], stream.unsent[size:]
            self._window -= size
            stream.window -= size
            self._write(frame(DATA, 0, stream.id, part))
        if stream.unsent:
            return
        self._blocked.pop(stream.id, None)
        if stream.drained is not None and not stream.drained.done():
            stream.drained.set_result(None)
        if stream.last is not None:
            self._write(frame(HEADERS, END_HEADERS | END_STREAM, stream.id, stream.last))
            self._close(stream)

    def _pump_all(self) -> None:
        for stream in list(self._blocked.values()):
            if self._window <= 0 or self._paused:
                return
            self._pump(stream)

    def _write(self, data: bytes) -> None:
        if self._transport is not None:
            self._transport.write(data)

    def _acknowledge(self, data: bytes) -> None:
        """Answers that a client can provoke without end: one that does not read them is let go."""
        if self._paused and self._transport is not None and self._transport.get_write_buffer_size() > _MOST_UNSENT:
            self._transport.abort()
            return
        self._write(data)

    # -- what the loop tells

    def connection_made(self, transport: Any) -> None:
        """See asyncio.Protocol."""
        self._transport = transport
        self._made(self)
        self._write(_HELLO)

    def connection_lost(self, exc: Exception | None) -> None:
        """See asyncio.Protocol; every stream ends."""
        self._transport = None
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
        if self._rest:
            data = self._rest + data
        at, end = 0, len(data)
        if not self._greeted:
            if end < len(_PREFACE) and _PREFACE.startswith(data):
                self._rest = data
                return
            if not data.startswith(_PREFACE):
                self._transport.abort()
                return
            self._greeted, at = True, len(_PREFACE)
        try:
            while end - at >= 9:
                start = at + 9
                size = data[at] << 16 | data[at + 1] << 8 | data[at + 2]
                if size > _RECEIVE_FRAME:
                    raise ValueError("a frame is larger than allowed")
                if end - start < size:
                    break
                number = int.from_bytes(data[at + 5 : start], "big") & 0x7FFFFFFF
                kind, flags, at = data[at + 3], data[at + 4], start + size
                self._take(kind, flags, number, data[start:at])
                if self._transport is None or self._transport.is_closing():
                    return
        except (ValueError, IndexError, struct.error, hpack.HPACKError):
            self._break(PROTOCOL_ERROR)
            return
        self._rest = data[at:]

    def _break(self, code: int) -> None:
        if self._transport is not None:
            self._write(frame(GOAWAY, 0, 0, struct.pack(">II", self._newest, code)))
            self._transport.close()

    def _take(self, kind: int, flags: int, number: int, payload: bytes) -> None:
        if self._block is not None and kind != CONTINUATION:
            raise ValueError("a header block was interrupted")
        if kind == DATA:
            self._take_data(flags, number, payload)
        elif kind == HEADERS:
            payload = unpadded(flags, payload)
            self._take_block(number, flags, payload[5:] if flags & HAS_PRIORITY else payload)
        elif kind == CONTINUATION:
            if self._block is None or self._block[0] != number:
                raise ValueError("a header block goes on that never began")
            _, first, before = self._block
            self._take_block(number, first | flags & END_HEADERS, before + payload)
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
        self._unreported += len(payload)
        if self._unreported >= _REFILL:
            self._write(frame(WINDOW_UPDATE, 0, 0, self._unreported.to_bytes(4, "big")))
            self._unreported = 0
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
        stream.received(unpadded(flags, payload), stream.ended)

    def _take_block(self, number: int, flags: int, block: bytes) -> None:
        if not flags & END_HEADERS:
            if len(block) > _RECEIVE_FRAME:
                raise ValueError("a header block is too long")
            self._block = (number, flags, block)
            return
        self._block = None
        fields = self._blocks.decode(block)  # even of a refused stream: the table is the connection's
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
            if name == _MAX_FRAME:
                if not 16384 <= value < 2**24:
                    raise ValueError("no such largest frame")
                self._max_frame = value
            elif name == _INITIAL_WINDOW:
                if value > _LARGEST_WINDOW:
                    raise ValueError("the window is too large")
                for stream in self.streams.values():
                    stream.window += value - self.initial_window
                self.initial_window = value
        self._acknowledge(frame(SETTINGS, ACK, 0))
        self._pump_all()
