"""HTTP/2 (RFC 9113) as both ends read and write it: frames, their rules, header blocks."""

import asyncio
import struct
from typing import Any

import hpack

from chassis.wire.header_blocks import Block, HeaderBlocks, Judge

DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PUSH_PROMISE, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = range(10)
END_STREAM = ACK = 0x1
END_HEADERS, PADDED, HAS_PRIORITY = 0x4, 0x8, 0x20
OF_ITSELF = 0x100  # no flag of the wire: the header block says that its stream depends on itself
NO_ERROR, PROTOCOL_ERROR, FLOW_CONTROL_ERROR, STREAM_CLOSED, FRAME_SIZE_ERROR = 0x0, 0x1, 0x3, 0x5, 0x6
REFUSED_STREAM, CANCEL, COMPRESSION_ERROR, ENHANCE_YOUR_CALM = 0x7, 0x8, 0x9, 0xB
HEADER_TABLE_SIZE, ENABLE_PUSH, MAX_STREAMS, INITIAL_WINDOW, MAX_FRAME, MAX_HEADER_LIST = range(1, 7)
ENABLE_CONNECT = 8  # RFC 8441
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
LARGEST_WINDOW = 2**31 - 1
RECEIVE_FRAME = 64 * 1024
RECEIVE_WINDOW = 2**30
_REFILL = 2**24
_MOST_BLOCK = 96 * 1024
_MOST_PARTS = 64
_OF_STREAMS = frozenset((DATA, HEADERS, PRIORITY, RST_STREAM, PUSH_PROMISE, CONTINUATION))
_OF_CONNECTION = frozenset((SETTINGS, PING, GOAWAY))
_SIZES = {RST_STREAM: 4, PING: 8, WINDOW_UPDATE: 4}


class ConnectionFaultError(Exception):
    """The peer did what ends its connection; `code` is HTTP/2's."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code


def fault_code(error: Exception) -> int:
    """The code to end a connection with after `error`, one of FAULTS."""
    if isinstance(error, ConnectionFaultError):
        return error.code
    if isinstance(error, hpack.OversizedHeaderListError):
        return ENHANCE_YOUR_CALM
    return COMPRESSION_ERROR if isinstance(error, hpack.HPACKError) else PROTOCOL_ERROR


def fault_reason(error: Exception) -> str:
    """Why, for a log: what hpack says of a block may carry the block itself, and somebody's key in it."""
    return str(error) if isinstance(error, ConnectionFaultError) else type(error).__name__


# What reading raises for bytes that are no HTTP/2.
FAULTS = (ConnectionFaultError, ValueError, IndexError, struct.error, hpack.HPACKError)


def frame(kind: int, flags: int, stream: int, payload: bytes | memoryview = b"") -> bytes:
    """One frame."""
    return frame_head(kind, flags, stream, len(payload)) + payload


def frame_head(kind: int, flags: int, stream: int, size: int) -> bytes:
    """What stands before a payload of `size` bytes."""
    return struct.pack(">IBI", size << 8 | kind, flags, stream)


def settings(**values: int) -> bytes:
    """What an end sends first: its settings, and a window for all of its streams that hardly ever needs to grow."""
    names = {"header_table_size": 1, "enable_push": 2, "max_streams": 3, "initial_window": 4, "max_header_list": 6}
    pairs = [(names[name], value) for name, value in values.items()]
    payload = b"".join(struct.pack(">HI", *pair) for pair in (*pairs, (MAX_FRAME, RECEIVE_FRAME)))
    return frame(SETTINGS, 0, 0, payload) + frame(WINDOW_UPDATE, 0, 0, (RECEIVE_WINDOW - 65535).to_bytes(4, "big"))


def settings_of(payload: bytes) -> list[tuple[int, int]]:
    """(name, value) of each setting. ConnectionFaultError for a value that no end may send."""
    found = list(struct.iter_unpack(">HI", payload))
    for name, value in found:
        if name == INITIAL_WINDOW and value > LARGEST_WINDOW:
            raise ConnectionFaultError(FLOW_CONTROL_ERROR, "the initial window is too large")
        if (name in (ENABLE_PUSH, ENABLE_CONNECT) and value > 1) or (name == MAX_FRAME and not 16384 <= value < 2**24):
            raise ConnectionFaultError(PROTOCOL_ERROR, f"setting {name} cannot be {value}")
    return found


def literal(name: bytes | int, value: bytes) -> bytes:
    """A header field that enters no table; an int names it by its place in the static table."""
    if not isinstance(name, int):
        return b"\x00" + _sized(name) + _sized(value)
    return (bytes((name,)) if name < 15 else bytes((15, name - 15))) + _sized(value)


def _sized(text: bytes) -> bytes:
    length = len(text)
    if length < 127:
        return bytes((length,)) + text
    parts = bytearray((127,))
    length -= 127
    while length > 127:
        parts.append(length & 127 | 128)
        length >>= 7
    parts.append(length)
    return bytes(parts) + text


def unpadded(flags: int, payload: bytes) -> bytes:
    """What a frame's payload is without its padding. ConnectionFaultError when it is all padding and more."""
    if not flags & PADDED:
        return payload
    if not payload:
        raise ConnectionFaultError(FRAME_SIZE_ERROR, "a padded frame has no length of its padding")
    if payload[0] >= len(payload):
        raise ConnectionFaultError(PROTOCOL_ERROR, "a frame has more padding than payload")
    return payload[1 : len(payload) - payload[0]]


def _check(kind: int, flags: int, number: int, size: int) -> None:
    """Refuses a frame that is in the wrong place or of a size that its kind cannot have."""
    if kind in (_OF_CONNECTION if number else _OF_STREAMS):
        raise ConnectionFaultError(PROTOCOL_ERROR, f"a frame of kind {kind} cannot be of stream {number}")
    if size != _SIZES.get(kind, size) or (kind == GOAWAY and size < 8):
        raise ConnectionFaultError(FRAME_SIZE_ERROR, f"a frame of kind {kind} cannot have {size} bytes")
    if kind == SETTINGS and (size % 6 or (flags & ACK and size)):
        raise ConnectionFaultError(FRAME_SIZE_ERROR, f"settings cannot have {size} bytes")


class FrameReader(asyncio.Protocol):
    """Cuts what arrives into frames and header blocks, for either end to take. `transport` is None before and after."""

    def __init__(self, judge: Judge) -> None:
        """judge: what is wrong with the fields of a header block."""
        self.transport: Any = None
        self._rest = b""
        self._blocks = HeaderBlocks(judge)
        self._block: tuple[int, int, list[bytes]] | None = None  # stream, flags, what has come of a header block
        self._settled = False  # the peer's settings came, which are its first frame
        self._unreported = 0

    def take_frame(self, kind: int, flags: int, number: int, payload: bytes) -> None:
        """A frame of any kind but those of header blocks, in its place and of a possible size."""
        raise NotImplementedError

    def take_block(self, number: int, flags: int, block: Block) -> None:
        """A whole header block; `flags` are those of its first frame."""
        raise NotImplementedError

    def write(self, data: bytes) -> None:
        """Sends bytes, unless the connection ended."""
        if self.transport is not None:
            self.transport.write(data)

    def take_bytes(self, data: bytes) -> None:
        """Raises one of FAULTS for what is no HTTP/2."""
        if self._rest:
            data = self._rest + data
        at, end = 0, len(data)
        while end - at >= 9:
            start = at + 9
            size = data[at] << 16 | data[at + 1] << 8 | data[at + 2]
            kind, flags = data[at + 3], data[at + 4]
            if size > RECEIVE_FRAME:
                raise ConnectionFaultError(FRAME_SIZE_ERROR, "a frame is larger than allowed")
            if not self._settled and (kind != SETTINGS or flags & ACK):
                raise ConnectionFaultError(PROTOCOL_ERROR, "the first frame must be the settings")
            if end - start < size:
                break
            number = int.from_bytes(data[at + 5 : start], "big") & 0x7FFFFFFF
            at = start + size
            self._take(kind, flags, number, data[start:at])
            if self.transport is None or self.transport.is_closing():
                return
        self._rest = data[at:]

    def _take(self, kind: int, flags: int, number: int, payload: bytes) -> None:
        if self._block is not None and kind != CONTINUATION:
            raise ConnectionFaultError(PROTOCOL_ERROR, "a header block was interrupted")
        if kind > HEADERS or not number:  # data and headers of a stream are looked at where they are read
            _check(kind, flags, number, len(payload))
        if kind == HEADERS:
            self._take_headers(number, flags, payload)
        elif kind == CONTINUATION:
            self._take_continuation(number, flags, payload)
        elif kind == PUSH_PROMISE:
            raise ConnectionFaultError(PROTOCOL_ERROR, "nothing may be pushed")
        else:
            self._settled = True
            self.take_frame(kind, flags, number, payload)

    def _take_headers(self, number: int, flags: int, payload: bytes) -> None:
        payload = unpadded(flags, payload)
        if flags & HAS_PRIORITY:
            if len(payload) < 5:
                raise ConnectionFaultError(FRAME_SIZE_ERROR, "a priority is too short")
            if int.from_bytes(payload[:4], "big") & 0x7FFFFFFF == number:
                flags |= OF_ITSELF
            payload = payload[5:]
        if flags & END_HEADERS:
            self.take_block(number, flags, self._blocks.decode(payload))
        else:
            self._block = (number, flags, [payload])

    def _take_continuation(self, number: int, flags: int, payload: bytes) -> None:
        if self._block is None or self._block[0] != number:
            raise ConnectionFaultError(PROTOCOL_ERROR, "a header block goes on that never began")
        _, first, parts = self._block
        parts.append(payload)
        if len(parts) > _MOST_PARTS or sum(map(len, parts)) > _MOST_BLOCK:
            raise ConnectionFaultError(ENHANCE_YOUR_CALM, "a header block is too long")
        if flags & END_HEADERS:
            self._block = None
            self.take_block(number, first, self._blocks.decode(b"".join(parts)))

    def count_data(self, size: int) -> None:
        """Grows the window of the connection again after so much data."""
        self._unreported += size
        if self._unreported >= _REFILL:
            self.write(frame(WINDOW_UPDATE, 0, 0, self._unreported.to_bytes(4, "big")))
            self._unreported = 0
