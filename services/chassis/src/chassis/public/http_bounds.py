"""What a stranger's connection to a public HTTP port may cost, and what a connection is told that costs more."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from chassis.errors import MizzenError

Headers = list[tuple[bytes, bytes]]
Answer = tuple[int, Headers, bytes]
# (the request's path, empty when it is not known; what is wrong) → status, headers, body.
Refuse = Callable[[bytes, MizzenError], Answer]
# (method, target, headers of a request whose head is whole) → what it is told at once, as a status and `rendered`; None where the
# app shall see it.
TurnAway = Callable[[bytes, bytes, Headers], tuple[int, bytes] | None]


@dataclass(frozen=True, slots=True)
class HttpBounds:
    """Bounds that hold while bytes arrive and leave.

    head_bytes: largest request line with headers. Chunk extensions and trailers of one body have the same bound, together. It does
        not count those that arrive in one read with the end of the head or of the body; such a read has at most head_bytes.
    head_fields: most header fields.
    head_s, body_s: seconds in which a head, and after it a body, has to arrive.
    answer_s: seconds in which a client has to take 64 KiB of its answer, or all that is left of it.
    idle_s: seconds that a connection is kept between requests.
    connections: most connections at once; for one more, an idle one of the network that has most is closed, idle the longest.
    buffered_bytes: most memory that all connections together hold, for requests that arrive and answers that are not taken; a byte
        of these is counted with a quarter more, which is what it costs. Over it, the connection that holds the most is ended.
    pipelined: most requests that wait behind one on their connection.
    """

    head_bytes: int = 16 * 1024
    head_fields: int = 100
    head_s: float = 15.0
    body_s: float = 15.0
    answer_s: float = 15.0
    idle_s: float = 75.0
    connections: int = 2048
    buffered_bytes: int = 128 * 1024 * 1024
    pipelined: int = 64

    @property
    def look_s(self) -> float:
        """Seconds between two looks at all connections. A deadline that would pass before the next look ends its connection now."""
        return min(self.head_s, self.body_s, self.answer_s) / 30


def rendered(headers: Iterable[tuple[bytes, bytes]], body: bytes) -> bytes:
    """The bytes of an answer that follow its status line and the headers that every answer has."""
    fields = (*headers, (b"content-length", b"%d" % len(body)))
    return b"".join([*[b"%b: %b\r\n" % field for field in fields], b"\r\n", body])


def plain_refusal(_path: bytes, error: MizzenError) -> Answer:
    """For an app that has no form of its own: 400 and the sentence."""
    return 400, [(b"content-type", b"text/plain; charset=utf-8")], error.message.encode()


def nobody(_method: bytes, _target: bytes, _headers: Headers) -> tuple[int, bytes] | None:
    """For an app that sees every request."""
    return None


@dataclass(frozen=True, slots=True)
class PublicAsgi:
    """An ASGI app on a port of its own.

    refuse: renders what its connections are told before the app knows of a request.
    turn_away: answers a request by its head alone, where the app has no time for it.
    """

    app: Any
    port: int
    bounds: HttpBounds = field(default_factory=HttpBounds)
    refuse: Refuse = plain_refusal
    turn_away: TurnAway = nobody
