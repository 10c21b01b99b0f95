"""What RFC 9113 (and 7541) says a server must refuse, as a table: what is sent, and what has to come of it."""

import struct
from collections.abc import Sequence
from dataclasses import dataclass

from chassis.wire.frames import frame
from tests.contract.http2_peer import (
    ACK,
    CONTINUATION,
    DATA,
    END_HEADERS,
    END_STREAM,
    GOAWAY,
    HAS_PRIORITY,
    HEADERS,
    PADDED,
    PING,
    PREFACE,
    PRIORITY,
    PUSH_PROMISE,
    REQUEST,
    RST_STREAM,
    SETTINGS,
    WINDOW_UPDATE,
    block,
    message,
)

Step = bytes | int  # bytes to send, or a stream whose answer to wait for
PLAIN = block(REQUEST)
_FLOW, _SIZE, _PROTOCOL, _CLOSED = "FLOW_CONTROL_ERROR", "FRAME_SIZE_ERROR", "PROTOCOL_ERROR", "STREAM_CLOSED"


@dataclass(frozen=True, slots=True)
class Case:
    """One thing that a client may not send."""

    name: str
    section: str
    steps: tuple[Step, ...]
    outcome: str  # what our own server has to make of it
    greet: bool = True
    also: tuple[str, ...] = ()  # what the RFC allows beside it

    @property
    def allowed(self) -> frozenset[str]:
        """All that the RFC allows: a stream error may end the connection, and GOAWAY is a courtesy."""
        where, _, code = self.outcome.partition(" ")
        ends = {f"connection {code}", "connection nothing said"} if where in ("stream", "connection") else set()
        return frozenset({self.outcome, *ends, *self.also})


def opened(number: int = 1) -> bytes:
    """A request whose body is still to come."""
    return frame(HEADERS, END_HEADERS, number, PLAIN)


def whole(number: int = 1, value: str = "x") -> bytes:
    """A request; the value ``wait`` is not answered soon."""
    return opened(number) + frame(DATA, END_STREAM, number, message(value))


def fields(
    *more: tuple[str, str], without: str = "", first: Sequence[tuple[str, str]] = (), body: bytes | None = None
) -> tuple[bytes, ...]:
    """A request of which only the fields are special."""
    kept = [one for one in REQUEST if one[0] != without]
    sent = frame(DATA, END_STREAM, 1, message("x") if body is None else body)
    return frame(HEADERS, END_HEADERS, 1, block([*first, *kept, *more])), sent


def setting(name: int, value: int) -> bytes:
    return frame(SETTINGS, 0, 0, struct.pack(">HI", name, value))


def window(number: int, grown: int) -> bytes:
    return frame(WINDOW_UPDATE, 0, number, grown.to_bytes(4, "big"))


def connection(
    name: str, section: str, code: str, *steps: Step, greet: bool = True, also: tuple[str, ...] = ()
) -> Case:
    return Case(name, section, steps, f"connection {code}", greet, also)


def stream(name: str, section: str, code: str, *steps: Step, also: tuple[str, ...] = ()) -> Case:
    return Case(name, section, steps, f"stream {code}", also=also)


def malformed(name: str, section: str, *steps: Step) -> Case:
    """A request that is one in form only: a stream error, before which an answer may tell."""
    return Case(name, section, steps, f"stream {_PROTOCOL}", also=("answered 400", "answered 405", "answered 415"))


def served(name: str, section: str, *steps: Step) -> Case:
    """What must not be refused."""
    return Case(name, section, (*steps, whole(99)), "served")


_PREFACES = (
    connection("HTTP/1.1 instead of the preface", "3.4", _PROTOCOL, b"GET / HTTP/1.1\r\nhost: x\r\n\r\n", greet=False),
    connection("a preface that is another", "3.4", _PROTOCOL, PREFACE[:-4] + b"XX\r\n", greet=False),
    connection("no settings after the preface", "3.4", _PROTOCOL, PREFACE + opened(), greet=False),
    connection("settings that only acknowledge", "3.4", _PROTOCOL, PREFACE + frame(SETTINGS, ACK, 0), greet=False),
)

_SIZES = (
    connection("a frame of 16 MB", "4.2", _SIZE, opened(), b"\xff\xff\xff\0\0\0\0\0\1"),
    connection("settings of 5 bytes", "6.5", _SIZE, frame(SETTINGS, 0, 0, bytes(5))),
    connection("an acknowledgement with settings", "6.5", _SIZE, frame(SETTINGS, ACK, 0, bytes(6))),
    connection("a ping of 7 bytes", "6.7", _SIZE, frame(PING, 0, 0, bytes(7))),
    connection("a ping of 9 bytes", "6.7", _SIZE, frame(PING, 0, 0, bytes(9))),
    connection("a reset of 3 bytes", "6.4", _SIZE, opened(), frame(RST_STREAM, 0, 1, bytes(3))),
    connection("a reset of 5 bytes", "6.4", _SIZE, opened(), frame(RST_STREAM, 0, 1, bytes(5))),
    connection("a window update of 3 bytes", "6.9", _SIZE, frame(WINDOW_UPDATE, 0, 0, bytes(3))),
    connection("a window update of 5 bytes", "6.9", _SIZE, opened(), frame(WINDOW_UPDATE, 0, 1, b"\0\0\0\1\0")),
    connection("a goodbye of 7 bytes", "4.2", _SIZE, frame(GOAWAY, 0, 0, bytes(7))),
    stream("a priority of 4 bytes", "6.3", _SIZE, opened(), frame(PRIORITY, 0, 1, bytes(4))),
    connection(
        "headers too short for their priority", "4.2", _SIZE, frame(HEADERS, END_HEADERS | HAS_PRIORITY, 1, bytes(4))
    ),
    connection(
        "padded data without a length",
        "4.2",
        _SIZE,
        opened(),
        frame(DATA, PADDED, 1),
        also=(f"connection {_PROTOCOL}",),
    ),
    connection(
        "padded headers without a length",
        "4.2",
        _SIZE,
        frame(HEADERS, END_HEADERS | PADDED, 1),
        also=(f"connection {_PROTOCOL}",),
    ),
    connection("data that is all padding", "6.1", _PROTOCOL, opened(), frame(DATA, PADDED, 1, b"\x05abcde"[:5])),
    connection(
        "headers with more padding than bytes",
        "6.2",
        _PROTOCOL,
        frame(HEADERS, END_HEADERS | PADDED, 1, b"\xff" + PLAIN[:50]),
    ),
)

_PLACES = (
    connection("data of the connection", "6.1", _PROTOCOL, frame(DATA, 0, 0, b"x")),
    connection("headers of the connection", "6.2", _PROTOCOL, frame(HEADERS, END_HEADERS, 0, PLAIN)),
    connection("a priority of the connection", "6.3", _PROTOCOL, frame(PRIORITY, 0, 0, bytes(5))),
    connection("a reset of the connection", "6.4", _PROTOCOL, frame(RST_STREAM, 0, 0, bytes(4))),
    connection("a promise of the connection", "6.6", _PROTOCOL, frame(PUSH_PROMISE, END_HEADERS, 0, bytes(4) + PLAIN)),
    connection("a continuation of the connection", "6.10", _PROTOCOL, frame(CONTINUATION, END_HEADERS, 0, PLAIN)),
    connection("settings of a stream", "6.5", _PROTOCOL, opened(), frame(SETTINGS, 0, 1)),
    connection("a ping of a stream", "6.7", _PROTOCOL, opened(), frame(PING, 0, 1, bytes(8))),
    connection("a goodbye of a stream", "6.8", _PROTOCOL, opened(), frame(GOAWAY, 0, 1, bytes(8))),
    connection(
        "a promise from a client", "8.4", _PROTOCOL, opened(), frame(PUSH_PROMISE, END_HEADERS, 1, b"\0\0\0\2" + PLAIN)
    ),
)

_STATES = (
    connection("a stream of an even number", "5.1.1", _PROTOCOL, opened(2)),
    connection("a stream of a lower number", "5.1.1", _PROTOCOL, whole(5), 5, whole(3)),
    connection("data of an idle stream", "5.1", _PROTOCOL, frame(DATA, 0, 1, b"x")),
    connection("a reset of an idle stream", "6.4", _PROTOCOL, frame(RST_STREAM, 0, 1, bytes(4))),
    connection("a window of an idle stream", "5.1", _PROTOCOL, window(1, 1)),
    stream("data after the end", "5.1", _CLOSED, whole(1, "wait"), frame(DATA, 0, 1, b"x")),
    stream("headers after the end", "5.1", _CLOSED, whole(1, "wait"), opened(1)),
    connection(
        "data of a closed stream", "5.1", _CLOSED, whole(), 1, frame(DATA, 0, 1, b"x"), also=(f"stream {_CLOSED}",)
    ),
    connection("headers of a closed stream", "5.1", _CLOSED, whole(), 1, opened(1), also=(f"stream {_CLOSED}",)),
    connection(
        "data after a reset",
        "5.1",
        _CLOSED,
        opened(),
        frame(RST_STREAM, 0, 1, bytes(4)),
        frame(DATA, 0, 1, b"x"),
        also=(f"stream {_CLOSED}",),
    ),
    connection(
        "headers after a reset",
        "5.1",
        _CLOSED,
        opened(),
        frame(RST_STREAM, 0, 1, bytes(4)),
        opened(1),
        also=(f"stream {_CLOSED}",),
    ),
    stream("trailers that do not end", "8.1", _PROTOCOL, opened(), frame(HEADERS, END_HEADERS, 1, block([("a", "b")]))),
    stream(
        "headers that depend on themselves",
        "RFC 7540, 5.3.1",
        _PROTOCOL,
        frame(HEADERS, END_HEADERS | HAS_PRIORITY, 1, b"\0\0\0\1\0" + PLAIN),
    ),
    stream("a priority over itself", "RFC 7540, 5.3.1", _PROTOCOL, opened(), frame(PRIORITY, 0, 1, b"\0\0\0\1\0")),
)

_WINDOWS = (
    connection("a window that grows by nothing", "6.9", _PROTOCOL, window(0, 0)),
    stream("a stream's window that grows by nothing", "6.9", _PROTOCOL, opened(), window(1, 0)),
    connection("a window over the limit", "6.9.1", _FLOW, window(0, 2**31 - 1)),
    stream("a stream's window over the limit", "6.9.1", _FLOW, opened(), window(1, 2**31 - 1)),
    connection("an initial window over the limit", "6.5.2", _FLOW, setting(4, 2**31)),
    connection(
        "settings that lift a window over the limit",
        "6.9.2",
        _FLOW,
        opened(),
        window(1, 2**31 - 65536),
        setting(4, 2**30),
    ),
    connection("a push setting of 2", "6.5.2", _PROTOCOL, setting(2, 2)),
    connection("a frame setting below 16384", "6.5.2", _PROTOCOL, setting(5, 16383)),
    connection("a frame setting over 16777215", "6.5.2", _PROTOCOL, setting(5, 2**24)),
)

_HALF = frame(HEADERS, 0, 1, PLAIN[:20])
_CONTINUATIONS = (
    connection("a continuation of nothing", "6.10", _PROTOCOL, frame(CONTINUATION, END_HEADERS, 1, PLAIN)),
    connection(
        "a continuation of whole headers", "6.10", _PROTOCOL, opened(), frame(CONTINUATION, END_HEADERS, 1, PLAIN)
    ),
    connection(
        "a continuation of another stream", "6.10", _PROTOCOL, _HALF, frame(CONTINUATION, END_HEADERS, 3, PLAIN[20:])
    ),
    connection("headers with a ping in between", "6.10", _PROTOCOL, _HALF, frame(PING, 0, 0, bytes(8))),
    connection("headers with data in between", "6.10", _PROTOCOL, _HALF, frame(DATA, 0, 1, b"x")),
    connection("headers with others in between", "6.10", _PROTOCOL, _HALF, opened(3)),
    connection("headers with an unknown frame in between", "5.5", _PROTOCOL, _HALF, frame(0x77, 0, 0, b"x")),
)

_PSEUDO = (
    *(malformed(f"no {name}", "8.3.1", *fields(without=name)) for name in (":method", ":scheme", ":path")),
    malformed("an empty path", "8.3.1", *fields((":path", ""), without=":path")),
    *(malformed(f"{name} twice", "8.3", *fields(first=[(name, value)])) for name, value in REQUEST[:3]),
    malformed("a late pseudo-header", "8.3", *fields((":path", "/x"), without=":path")),
    malformed("an unknown pseudo-header", "8.3", *fields(first=[(":unknown", "x")])),
    malformed("a status in a request", "8.3", *fields(first=[(":status", "200")])),
    malformed(
        "a pseudo-header in trailers",
        "8.1",
        opened(),
        frame(HEADERS, END_HEADERS | END_STREAM, 1, block([(":path", "/")])),
    ),
    malformed("CONNECT with a path", "8.5", *fields(without=":method", first=[(":method", "CONNECT")])),
)

_OF_HTTP1 = {
    "connection": "close",
    "keep-alive": "1",
    "proxy-connection": "close",
    "transfer-encoding": "chunked",
    "upgrade": "h2c",
}
_BAD_NAMES = ("X-Upper", "a b", "a\0b", "a\x7f", "a\xe9", "a:b")
_BAD_VALUES = ("a\0b", "a\rb", "a\nb", " a", "a ", "\ta")
_NAMES = (
    *(malformed(f"the name {name!r}", "8.2.1", *fields((name, "x"))) for name in _BAD_NAMES),
    *(malformed(f"a value with {text!r}", "8.2.1", *fields(("x-a", text))) for text in _BAD_VALUES),
    *(malformed(f"the field {name}", "8.2.2", *fields((name, value))) for name, value in _OF_HTTP1.items()),
    malformed("te other than trailers", "8.2.2", *fields(("te", "gzip"), without="te")),
    malformed("a host that is another", "8.3.1", *fields(("host", "elsewhere"))),
)

_LENGTHS = (
    malformed("a body shorter than it should be", "8.1.1", *fields(("content-length", "9"))),
    malformed("a body longer than it should be", "8.1.1", *fields(("content-length", "7"))),
    malformed(
        "no body where there should be one",
        "8.1.1",
        frame(HEADERS, END_HEADERS | END_STREAM, 1, block([*REQUEST, ("content-length", "8")])),
    ),
    malformed("a length that is no number", "8.1.1", *fields(("content-length", "x"))),
    malformed("two lengths", "8.1.1", *fields(("content-length", "8"), ("content-length", "9"))),
)


def unreadable(name: str, section: str, sent: bytes) -> Case:
    return connection(name, section, "COMPRESSION_ERROR", frame(HEADERS, END_HEADERS, 1, sent))


_COMPRESSION = (
    unreadable("the index 0", "RFC 7541, 6.1", b"\x80"),
    unreadable("an index beyond the table", "RFC 7541, 2.3.3", PLAIN + b"\xc0"),
    unreadable("a table over its limit", "RFC 7541, 6.3", b"\x3f\xe1\xff\x03" + PLAIN),
    unreadable("a change of the table after fields", "RFC 7541, 4.2", PLAIN + b"\x20"),
    unreadable("a field cut short", "RFC 7541, 5.2", PLAIN[:-3]),
    unreadable("an integer cut short", "RFC 7541, 5.1", PLAIN + b"\xff\xff"),
    unreadable("Huffman code with its end in it", "RFC 7541, 5.2", PLAIN + b"\x00\x84\xff\xff\xff\xff\x01x"),
    unreadable("Huffman code padded by zeros", "RFC 7541, 5.2", PLAIN + b"\x00\x81\x18\x01x"),
)

_KEPT = (
    served("an unknown frame", "5.5", frame(0x77, 0xFF, 0, b"x"), frame(0x78, 0, 1, b"x")),
    served("an unknown setting", "6.5.2", setting(0x77, 7)),
    served("a priority of an idle stream", "5.1", frame(PRIORITY, 0, 7, bytes(5))),
    served("a window of a closed stream", "5.1", whole(), 1, window(1, 1)),
    served("a reset of a closed stream", "5.1", whole(), 1, frame(RST_STREAM, 0, 1, bytes(4))),
    served(
        "headers in parts, one of them empty",
        "6.10",
        _HALF,
        frame(CONTINUATION, 0, 1),
        frame(CONTINUATION, END_HEADERS, 1, PLAIN[20:]),
    ),
    served("unknown flags", "4.1", frame(PING, 0xFE & ~ACK, 0, bytes(8))),
)

CASES: tuple[Case, ...] = (
    *_PREFACES, *_SIZES, *_PLACES, *_STATES, *_WINDOWS, *_CONTINUATIONS, *_PSEUDO, *_NAMES, *_LENGTHS, *_COMPRESSION, *_KEPT,
)  # fmt: skip
