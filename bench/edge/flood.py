"""python -m bench.edge.flood NAME HOST:PORT SECONDS: frames of one kind, on a new connection whenever one is ended.

A flood of LEAVING ends each connection itself, after the first frames. The flood comes from another loopback address than everybody
else's connections, as its address will be kept out.
"""

import sys
import time
from collections.abc import Callable

from bench.edge.raw_grpc import RawGrpc, head
from chassis.wire.frames import (
    ACK,
    CONTINUATION,
    DATA,
    END_HEADERS,
    HEADERS,
    PING,
    RST_STREAM,
    SETTINGS,
    WINDOW_UPDATE,
    frame,
)

PATH = "/grpc.health.v1.Health/Check"
_HEAD = head(PATH)
_AT_ONCE = 500
_REFUSED_S = 0.001
_ELSEWHERE = "127.0.0.2"


def _reset_calls(number: int, many: int = _AT_ONCE) -> bytes:
    """So many calls, each begun and given up at once."""
    return b"".join(
        frame(HEADERS, END_HEADERS, at, _HEAD) + frame(RST_STREAM, 0, at, b"\0\0\0\x08")
        for at in range(number, number + 2 * many, 2)
    )


_ANEW = _reset_calls(1, 2000)

# Name → what is sent again and again, given the next free stream, and what is sent once before.
FLOODS: dict[str, tuple[Callable[[int], bytes], bytes]] = {
    "PING": (lambda _: frame(PING, 0, 0, b"12345678") * _AT_ONCE, b""),
    "SETTINGS": (lambda _: frame(SETTINGS, 0, 0, b"\0\4\0\0\xff\xff") * _AT_ONCE, b""),
    "SETTINGS acknowledged": (lambda _: frame(SETTINGS, ACK, 0) * _AT_ONCE, b""),
    "CONTINUATION": (lambda _: frame(CONTINUATION, 0, 1, b"\0\1a\1b" * 10) * 200, frame(HEADERS, 0, 1, _HEAD)),
    "empty DATA": (lambda _: frame(DATA, 0, 1) * _AT_ONCE, frame(HEADERS, END_HEADERS, 1, _HEAD)),
    "WINDOW_UPDATE": (lambda _: frame(WINDOW_UPDATE, 0, 0, b"\0\0\0\1") * _AT_ONCE, b""),
    "rapid reset": (_reset_calls, b""),
    "rapid reset, each time anew": (lambda _: _ANEW, b""),
}
LEAVING = frozenset({"rapid reset, each time anew"})


def flood(name: str, address: str, seconds: float, *, again: bool = False, source: str = "") -> int:
    """How often the server ended the connection. again: connects anew then, as an attacker does, until the time is over."""
    frames, first = FLOODS[name]
    ends, ended = time.monotonic() + seconds, 0
    while time.monotonic() < ends and (again or not ended):
        try:
            raw = RawGrpc(address, source=source)
        except OSError:  # refused
            ended += 1
            time.sleep(_REFUSED_S)
            continue
        with raw:
            if name not in LEAVING:
                raw.listen(0.02)
            raw.send(first)
            number = 1
            while time.monotonic() < ends and not raw.closed and raw.goaway is None:
                raw.send(frames(number))
                number += 2 * _AT_ONCE
                if name in LEAVING:
                    break
                raw.listen(0.0005)
            ended += raw.closed or raw.goaway is not None
    return ended


if __name__ == "__main__":
    print("begins", flush=True)
    print(flood(sys.argv[1], sys.argv[2], float(sys.argv[3]), again=True, source=_ELSEWHERE))
