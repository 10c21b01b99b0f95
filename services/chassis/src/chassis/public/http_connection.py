"""One client's connection to the public HTTP port: uvicorn's protocol, which bounds nothing, with bounds (ADR 0017).

Bytes are parsed in steps of at most a head's size and counted as they come, so no head, chunk or trailer can grow over its bound. A
request that arrives whole in one step, which almost all do, costs a comparison or two. Nothing has a timer of its own: PublicHttp
looks at all connections now and then.
"""

import asyncio
from typing import Any

import httptools
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from chassis.errors import InvalidArgument, MizzenError, ResourceExhausted, Unavailable
from chassis.public.crowds import network
from chassis.public.gathering import Gathering
from chassis.public.http_bounds import rendered
from chassis.public.http_heads import head_fault
from chassis.public.http_shared import RETRY_S, Shared

_LINGER_S, _LINGER_BYTES = 1.0, 1 << 20
_TAKES = 64 * 1024


class _RefusedError(Exception):
    """Leaves the parser; the client has been told."""


class _Answered:
    """Stands where uvicorn keeps a request under way, for one that no app is asked to answer."""

    response_started = response_complete = disconnected = True
    keep_alive = more_body = False
    message_event = asyncio.Event()


_ANSWERED: Any = _Answered()


class PublicConnection(HttpToolsProtocol):
    """uvicorn's, bounded."""

    def __init__(self, *args: Any, shared: Shared, **more: Any) -> None:
        super().__init__(*args, **more)
        self._shared = shared
        self._bounds = shared.bounds
        self._gathering: Gathering = None  # type: ignore[assignment]  # from connection_made on
        self._open = False  # a request has begun and is not whole
        self._in_body = False
        self._whole = 0  # requests that have arrived whole
        self._since = 0.0  # since when the head or body, or a new connection's first byte, is waited for; 0 for idle
        self._dropped = 0  # header fields with `_`
        self._framing = 0  # bytes of the present head, or of the present body that are not data
        self._plain = 0  # bytes of framing that its chunks need
        self._data = self._chunk = 0  # bytes of body in this step and in this chunk
        self._fresh = False  # head or body ended within this step
        self._later = b""  # arrived behind requests that wait
        self._held = self._unsent = 0  # of Shared.held: of requests, of answers
        self._refused = False
        self._linger = _LINGER_BYTES
        self._goal: tuple[float, int] | None = None  # since when, and up to where the client has to take its answer
        self._settled = 0  # bytes of answers that are known to have been taken
        self._idle = 0.0  # since when nothing is under way; 0 while something is, and before the first request
        self.network = ""  # whose it is

    # What the transport says.

    def connection_made(self, transport: Any) -> None:
        self._gathering = Gathering(transport)
        room = self._shared.room()
        super().connection_made(self._gathering)  # type: ignore[arg-type]  # all of a transport that uvicorn uses
        self._since = self.loop.time()
        self.network = network(self.client[0]) if self.client else ""
        self._shared.connections[self] = None
        if not room:
            self.refuse(Unavailable("too many connections", reason="OVERLOADED", retry_after_s=RETRY_S))

    def connection_lost(self, exc: Exception | None) -> None:
        self._shared.connections.pop(self, None)
        self._shared.hold(-self._held - self._unsent)
        self._held = self._unsent = 0
        self._later = b""
        self._gathering.lost = True
        super().connection_lost(exc)

    def pause_writing(self) -> None:
        super().pause_writing()
        self._count_unsent()

    def resume_writing(self) -> None:
        super().resume_writing()
        self._count_unsent()

    def _count_unsent(self) -> None:
        before, self._unsent = self._unsent, self._gathering.kept()
        self._shared.hold(self._unsent - before)

    def data_received(self, data: bytes) -> None:
        if self._refused:
            self._linger -= len(data)
            if self._linger < 0:
                self.transport.abort()
            return
        self._idle = 0.0
        if self.pipeline or self._later:
            self._keep_for_later(data)
        else:
            self._parse(data)

    def _keep_for_later(self, data: bytes) -> None:
        self._later += data
        self.flow.pause_reading()
        self._hold(len(data))

    def _parse(self, data: bytes) -> None:
        step = self._bounds.head_bytes
        if len(data) <= step:
            self._step(data)
            return
        for start in range(0, len(data), step):
            if self.pipeline:
                self._keep_for_later(data[start:])
                return
            self._step(data[start : start + step])
            if self._refused or self.transport.is_closing():
                return

    def _step(self, data: bytes) -> None:
        whole = self._whole
        self._data = 0
        try:
            self._feed(data)
        except httptools.HttpParserError:
            if not self._refused:
                message = "this is not HTTP/1.1 as RFC 9112 has it"
                self.refuse(InvalidArgument(message, reason="INVALID_HTTP"))
            return
        if self._whole != whole and not self._open:
            self._since = 0.0
        else:
            self._unfinished(len(data), self._whole != whole)

    def _feed(self, data: bytes) -> None:
        while data:
            try:
                self.parser.feed_data(data)
                return
            except httptools.HttpParserUpgrade as upgrade:
                # No protocol but this one is spoken: what follows is the next request.
                data = data[upgrade.args[0] :]

    def _unfinished(self, size: int, another: bool) -> None:
        """After a step of `size` bytes that ended within a request; `another`: one that began in this step, behind others."""
        if another:
            self._since = 0.0
        if self._since == 0.0:
            self._since = self.loop.time()
        if self._fresh or another:
            self._fresh = False
            self._framing = 0
        else:
            self._framing += size - self._data
        if self._framing - self._plain > self._bounds.head_bytes:
            if self._in_body:
                message = f"chunk extensions and trailers are larger than {self._bounds.head_bytes} bytes"
                self.refuse(InvalidArgument(message, reason="CHUNKS_TOO_LARGE"))
            else:
                self.refuse(self._head_too_large())
        elif not self._refused and not (self._in_body and self.cycle.response_complete):
            self._hold(size)

    def _hold(self, size: int) -> None:
        self._held += size
        self._shared.hold(size)

    # What the parser says.

    def on_message_begin(self) -> None:
        self.url = b""
        self.headers = []
        self.expect_100_continue = False
        self._idle = 0.0
        self._open = True
        self._fresh = False
        self._dropped = 0

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._in_body:  # a trailer: nobody has asked for one
            return
        if len(self.headers) + self._dropped >= self._bounds.head_fields:
            self._stop(self._head_too_large())
        if b"_" in name:  # what others take for the same name with `-`
            self._dropped += 1
            return
        # As uvicorn does: a call of its method would cost a third of all that is done here.
        name = name.lower()
        if name == b"expect" and value.lower() == b"100-continue":
            self.expect_100_continue = True
        self.headers.append((name, value.rstrip(b" \t")))  # what may stand behind a value is no part of it

    def on_headers_complete(self) -> None:
        if self._since:  # it came in several steps, which may have held more than this head
            line = len(self.parser.get_method()) + len(self.url) + len("  HTTP/1.1\r\n\r\n")
            size = line + sum(len(name) + len(value) + 4 for name, value in self.headers)
            if size > self._bounds.head_bytes:
                self._stop(self._head_too_large())
        fault = head_fault(self.url, self.headers, self.parser.get_http_version())
        if fault is not None:
            self._stop(fault)
        if not self._turned_away():
            self._begin()
        self._in_body = self._fresh = True
        self._since = 0.0
        self._framing = self._plain = self._chunk = 0
        if len(self.pipeline) > self._bounds.pipelined:
            # An error now would be taken for the answer to the first of those that wait.
            self._refused = True
            self.drop()
            raise _RefusedError

    def _begin(self) -> None:
        """Hands the request to the app. uvicorn makes its scope earlier, which a request that is turned away has no use for."""
        url, headers, continues = self.url, self.headers, self.expect_100_continue
        super().on_message_begin()
        self.headers += headers
        self.url, self.expect_100_continue = url, continues
        super().on_headers_complete()

    def _turned_away(self) -> bool:
        """Whether the request was answered by its head alone; never behind one under way, nor the last of its connection.

        Nor while the client does not read: the app's answers wait for that, and requests behind them.
        """
        if self.flow.write_paused or (self.cycle is not None and not self.cycle.response_complete):
            return False
        if self.parser.get_http_version() != "1.1" or not self.parser.should_keep_alive():
            return False
        answer = self._shared.turn_away(self.parser.get_method(), self.url, self.headers)
        if answer is None:
            return False
        self.cycle = _ANSWERED  # so its body is read and dropped
        status, rest = answer
        self._gathering.write_whole(self._head(status) + rest)
        self.on_response_complete()
        return True

    def on_body(self, body: bytes) -> None:
        self._data += len(body)
        self._chunk += len(body)
        super().on_body(body)

    def on_chunk_complete(self) -> None:
        """httptools calls this behind each chunk, whose size line and line ends are no more than they have to be."""
        self._plain += len(f"{self._chunk:x}") + 4
        self._chunk = 0

    def on_message_complete(self) -> None:
        self._open = self._in_body = False
        self._whole += 1
        self._framing = self._plain = 0
        super().on_message_complete()
        if self.cycle.response_complete and not self.pipeline:  # it was answered before its body had come
            self._idle = self.loop.time()

    def on_response_complete(self) -> None:
        """As uvicorn's, which starts a timer for each idle connection."""
        later, self._later = self._later, b""
        if self._held:
            self._shared.hold(-self._held)
            self._held = 0
        self.server_state.total_requests += 1
        if self._gathering.is_closing():
            return
        self.flow.resume_reading()
        if self.pipeline:
            self._start_asgi_task(*self.pipeline.pop())
        elif not later:
            self._idle = self.loop.time()
        if later and self.pipeline:
            self._keep_for_later(later)
        elif later:
            self._parse(later)

    def _head_too_large(self) -> MizzenError:
        message = f"a head has at most {self._bounds.head_bytes} bytes and {self._bounds.head_fields} fields"
        return ResourceExhausted(message, reason="HEADERS_TOO_LARGE")

    # How it ends.

    def _stop(self, error: MizzenError) -> None:
        self.refuse(error)
        raise _RefusedError

    def refuse(self, error: MizzenError) -> None:
        """Tells the client, where no answer is under way that this would be taken for, and closes."""
        if self._refused or self.transport.is_closing():
            return
        self._refused = True
        cycle = self.cycle
        answering = cycle is not None and not cycle.response_complete
        if answering and (cycle.response_started or not self._in_body or self.pipeline):
            self.transport.abort()
            return
        if answering:
            cycle.body = bytearray()
            cycle.disconnected = True
            cycle.message_event.set()
        if not self._in_body or answering:  # else the request has its answer already
            status, headers, body = self._shared.refuse(getattr(self, "url", b""), error)
            self._gathering.write_whole(self._head(status) + rendered((*headers, (b"connection", b"close")), body))
        # Closed at once, what the client still sends would be answered by a reset, and that may overtake the refusal.
        self._gathering.end()
        self.flow.resume_reading()
        self.loop.call_later(_LINGER_S, self.drop)

    def _head(self, status: int) -> bytes:
        return self._shared.head(status, self.server_state.default_headers)

    def drop(self) -> None:
        """Ends the connection now."""
        if not self.transport.is_closing():
            self.transport.abort()

    def endable(self) -> int:
        """Bytes that ending this connection frees; none while a request that has arrived is worked on."""
        arriving = self._held if self._open or self._later else 0
        return self._unsent if self.transport.is_closing() else arriving + self._unsent

    def end_for_room(self) -> None:
        """Ends it as too many bytes are held."""
        if self._unsent or self._refused or not self._open:
            self._gathering.reset()
        else:
            message = "too many bytes of unfinished requests are held"
            self.refuse(Unavailable(message, reason="OVERLOADED", retry_after_s=RETRY_S))
        self._shared.hold(-self._held - self._unsent)
        self._held = self._unsent = 0

    def idle_since(self) -> float:
        """When it was last of use; infinity while it is. A head that is not whole is no use."""
        answering = self.cycle is not None and not self.cycle.response_complete
        if self.transport.is_closing() or self._refused or (self._open and (self._in_body or answering)):
            return float("inf")
        return self._idle or self._since or float("inf")

    def look(self, now: float) -> None:
        """Ends it where a deadline passes before the next look."""
        soon = now + self._bounds.look_s
        if self._refused:
            return
        if self.transport.is_closing():  # once its answer is taken, for which the client has as long as any other
            self._look_at_answer(now, soon)
            return
        if self.flow.read_paused and self._since:
            self._since = now  # it is the app that keeps the client waiting
        if self._since and soon - self._since > (self._bounds.body_s if self._in_body else self._bounds.head_s):
            self._late()
        elif self._idle and now - self._idle > self._bounds.idle_s:  # never early: a proxy may be about to use it
            self.transport.close()
        elif self._gathering.written != self._settled:
            self._look_at_answer(now, soon)

    def _late(self) -> None:
        if self._in_body and not self.cycle.response_complete:
            text = f"the body did not arrive within {self._bounds.body_s:g} s"
            self.refuse(InvalidArgument(text, reason="BODY_TIMEOUT"))
        elif self._in_body or not self._open:
            self.drop()
        else:
            text = f"the head did not arrive within {self._bounds.head_s:g} s"
            self.refuse(InvalidArgument(text, reason="HEAD_TIMEOUT"))

    def _look_at_answer(self, now: float, soon: float) -> None:
        written, taken = self._gathering.written, self._gathering.taken()
        if taken >= written:
            self._goal = None
            self._settled = written
            self._gathering.since = 0.0
        elif self._goal is None or taken >= self._goal[1]:
            # the last goal was met at any time since the last look
            began = self._gathering.since if self._goal is None else now - self._bounds.look_s
            self._goal = (began, min(written, taken + _TAKES))
        elif soon - self._goal[0] > self._bounds.answer_s:
            self._gathering.reset()
