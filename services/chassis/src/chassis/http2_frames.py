"""HTTP/2 (RFC 9113) as both ends read and write it: frames, header fields, header blocks."""

import asyncio
import struct
from typing import Any

import hpack

from chassis.header_blocks import Fields, HeaderBlocks

DATA, HEADERS, _, RST_STREAM, SETTINGS, _, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = range(10)
END_STREAM = ACK = 0x1
END_HEADERS, PADDED, HAS_PRIORITY = 0x4, 0x8, 0x20
NO_ERROR, PROTOCOL_ERROR, REFUSED_STREAM, CANCEL, ENHANCE_YOUR_CALM = 0x0, 0x1, 0x7, 0x8, 0xB
HEADER_TABLE_SIZE, ENABLE_PUSH, MAX_STREAMS, INITIAL_WINDOW, MAX_FRAME, MAX_HEADER_LIST = range(1, 7)
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
# What reading raises for bytes that are no HTTP/2.
FAULTS = (ValueError, IndexError, struct.error, hpack.HPACKError)
RECEIVE_FRAME = 64 * 1024
RECEIVE_WINDOW = 2**30
_REFILL = 2**24


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
    """What a frame's payload is without its padding. ValueError when it is all padding and more."""
    if not flags & PADDED:
        return payload
    if payload[0] >= len(payload):
        raise ValueError("a frame has more padding than payload")
    return payload[1 : len(payload) - payload[0]]


class FrameReader(asyncio.Protocol):
    """Cuts what arrives into frames and header blocks, for either end to take. `transport` is None before and after."""

    def __init__(self) -> None:
        self.transport: Any = None
        self._rest = b""
        self._blocks = HeaderBlocks()
        self._block: tuple[int, int, bytes] | None = None  # stream, flags, what has come of a header block
        self._unreported = 0

    def take_frame(self, kind: int, flags: int, number: int, payload: bytes) -> None:
        """A frame of any kind but those of header blocks."""
        raise NotImplementedError

    def take_fields(self, number: int, flags: int, fields: Fields) -> None:
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
            if size > RECEIVE_FRAME:
                raise ValueError("a frame is larger than allowed")
            if end - start < size:
                break
            number = int.from_bytes(data[at + 5 : start], "big") & 0x7FFFFFFF
            kind, flags, at = data[at + 3], data[at + 4], start + size
            payload = data[start:at]
            if self._block is not None and kind != CONTINUATION:
                raise ValueError("a header block was interrupted")
            if kind == HEADERS:
                payload = unpadded(flags, payload)
                self._take_block(number, flags, payload[5:] if flags & HAS_PRIORITY else payload)
            elif kind == CONTINUATION:
                if self._block is None or self._block[0] != number:
                    raise ValueError("a header block goes on that never began")
                _, first, before = self._block
                self._take_block(number, first | flags & END_HEADERS, before + payload)
            else:
                self.take_frame(kind, flags, number, payload)
            if self.transport is None or self.transport.is_closing():
                return
        self._rest = data[at:]

    def _take_block(self, number: int, flags: int, block: bytes) -> None:
        if not flags & END_HEADERS:
            if len(block) > RECEIVE_FRAME:
                raise ValueError("a header block is too long")
            self._block = (number, flags, block)
            return
        self._block = None
        self.take_fields(number, flags, self._blocks.decode(block))

    def count_data(self, size: int) -> None:
        """Grows the window of the connection again after so much data."""
        self._unreported += size
        if self._unreported >= _REFILL:
            self.write(frame(WINDOW_UPDATE, 0, 0, self._unreported.to_bytes(4, "big")))
            self._unreported = 0
