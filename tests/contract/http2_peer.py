"""A peer that speaks HTTP/2 by hand: any frames, in any order, and what the server made of them."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import hpack
from google.protobuf.wrappers_pb2 import StringValue

from chassis.wire.frames import frame
from tests.fakes.echo import SAY

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PUSH_PROMISE, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = range(10)
END_STREAM, ACK, END_HEADERS, PADDED, HAS_PRIORITY = 0x1, 0x1, 0x4, 0x8, 0x20
REQUEST = [
    (":method", "POST"),
    (":scheme", "http"),
    (":path", SAY),
    (":authority", "x"),
    ("content-type", "application/grpc"),
    ("te", "trailers"),
    ("user-agent", "test"),
]
_CODES = (
    *("NO_ERROR", "PROTOCOL_ERROR", "INTERNAL_ERROR", "FLOW_CONTROL_ERROR", "SETTINGS_TIMEOUT", "STREAM_CLOSED"),
    *("FRAME_SIZE_ERROR", "REFUSED_STREAM", "CANCEL", "COMPRESSION_ERROR", "CONNECT_ERROR", "ENHANCE_YOUR_CALM"),
    *("INADEQUATE_SECURITY", "HTTP_1_1_REQUIRED"),
)
_WAIT_S = 10.0


def message(value: str) -> bytes:
    """A gRPC message."""
    data = StringValue(value=value).SerializeToString()
    return b"\0" + len(data).to_bytes(4, "big") + data


def code_name(payload: bytes) -> str:
    """The name of an HTTP/2 error code."""
    return _CODES[int.from_bytes(payload, "big")]


@dataclass
class Heard:
    """What came of one stream."""

    fields: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    reset: str | None = None
    ended: bool = False


class Peer:
    """Frames by hand on one connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer
        self.encoder, self.decoder = hpack.Encoder(), hpack.Decoder()
        self.streams: dict[int, Heard] = {}
        self.pings: list[bytes] = []
        self.gone: str | None = None  # how the server ended the connection: a code's name, or "nothing said"

    def send(self, *frames: bytes) -> None:
        """Writes at once; nothing when the server has ended the connection."""
        if not self.writer.transport.is_closing():
            self.writer.write(b"".join(frames))

    async def frame(self) -> tuple[int, int, int, bytes]:
        """(kind, flags, stream, payload) of the next frame."""
        head = await asyncio.wait_for(self.reader.readexactly(9), _WAIT_S)
        payload = await self.reader.readexactly(int.from_bytes(head[:3], "big"))
        return head[3], head[4], int.from_bytes(head[5:], "big"), payload

    async def hear(self) -> bool:
        """Takes one frame in; False when there are no more."""
        try:
            kind, flags, number, payload = await self.frame()
        except (asyncio.IncompleteReadError, ConnectionError):
            self.gone = self.gone or "nothing said"
            return False
        heard = self.streams.setdefault(number, Heard())
        if kind == HEADERS:
            decoded = self.decoder.decode(payload, raw=True)
            heard.fields |= {name.decode("latin-1"): value.decode("latin-1") for name, value in decoded}
        elif kind == DATA:
            heard.body += payload
        elif kind == RST_STREAM:
            heard.reset = heard.reset or code_name(payload)
        elif kind == GOAWAY and (code := code_name(payload[4:8])) != "NO_ERROR":
            self.gone = code
        elif kind == PING and flags & ACK:
            self.pings.append(payload)
        elif kind == SETTINGS and not flags & ACK:
            self.send(frame(SETTINGS, ACK, 0))
        heard.ended |= kind == RST_STREAM or bool(kind in (HEADERS, DATA) and flags & END_STREAM)
        return True

    async def until_ended(self, stream: int) -> Heard:
        """What a stream answered, whole."""
        while not self.streams.setdefault(stream, Heard()).ended and await self.hear():
            pass
        return self.streams[stream]

    async def answer(self, stream: int) -> tuple[dict[str, str], bytes]:
        """(all fields, body) of a stream."""
        heard = await self.until_ended(stream)
        assert self.gone is None, self.gone
        return heard.fields, heard.body

    async def until_gone(self) -> str:
        """How the server ended the connection: a code's name, or "nothing said"."""
        while await self.hear():
            pass
        assert self.gone is not None
        return self.gone

    async def settle(self, pings: int = 2) -> None:
        """Waits until the server has taken in all that was sent, or ended the connection."""
        for number in range(pings):
            self.send(frame(PING, 0, 0, b"settled%d" % number))
            while self.gone is None and b"settled%d" % number not in self.pings and await self.hear():
                pass


@asynccontextmanager
async def peer(address: str, *, greet: bool = True, settings: bytes = b"") -> AsyncIterator[Peer]:
    """A connection to ``host:port``; greet: with the preface and `settings`."""
    reader, writer = await asyncio.open_connection(*address.rsplit(":", 1))
    made = Peer(reader, writer)
    if greet:
        made.send(PREFACE, frame(SETTINGS, 0, 0, settings))
    try:
        yield made
    finally:
        writer.close()


def said(answer: tuple[dict[str, str], bytes]) -> str:
    """The message of a call that was answered well."""
    assert answer[0][":status"] == "200", answer
    assert answer[0]["grpc-status"] == "0", answer
    return str(StringValue.FromString(answer[1][5:]).value)


def block(fields: Sequence[tuple[str, str]]) -> bytes:
    """A header block that touches no table and checks nothing."""
    out = b""
    for name, value in fields:
        out += b"\0"
        for text in (name.encode("latin-1"), value.encode("latin-1")):
            out += hpack.hpack.encode_integer(len(text), 7) + text
    return out
