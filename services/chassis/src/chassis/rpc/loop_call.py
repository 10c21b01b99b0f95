"""One call on the loop's server: its request, its answer, and grpc.aio's context, as handlers know it."""

import asyncio
import inspect
from collections import deque
from collections.abc import AsyncIterator, Callable
from typing import Any, NoReturn

import grpc
from grpc import aio

from chassis.rpc.handlers import Handler
from chassis.telemetry.logs import logger
from chassis.wire.frames import CANCEL, literal
from chassis.wire.grpc_fields import Metadata, metadata_field, metadata_of, refusal, status_fields, timeout_s
from chassis.wire.header_blocks import Block
from chassis.wire.server import MOST_FIELDS, ServerConnection
from chassis.wire.streams import Stream

_log = logger("chassis.rpc.server")
_HEAD = b"\x88" + literal(31, b"application/grpc")  # :status 200, content-type
_OK = literal(b"grpc-status", b"0")
_OVERTAKEN_S = 0.02
_BODY_S = 60.0


class Call(Stream):
    """A call from its first header block to its status."""

    __slots__ = (
        "_body", "_callbacks", "_calls", "_code", "_deadline", "_details", "_handler", "_head", "_heard", "_limit", "_messages",
        "_need", "_over", "_queued", "_size", "_started", "_task", "_timer", "_too_large", "_trailing", "_waiter", "fields",
    )  # fmt: skip

    def __init__(
        self,
        connection: ServerConnection,
        number: int,
        block: Block,
        handler: Handler | None,
        limit: int,
        calls: "dict[Call, asyncio.Task[None]]",
    ) -> None:
        super().__init__(connection, number, block.length)
        self.fields = block.fields
        self._limit = limit
        self._too_large = block.size > MOST_FIELDS
        self._calls = calls
        self._handler: Handler = handler
        self._body: list[bytes] = []
        self._size = 0
        self._queued = 0  # bytes of `_messages`
        self._need = 5  # bytes until the next message of a request that is a stream can be told
        # of a request that is a stream: with each, what the client may send on for it
        self._messages: deque[tuple[bytes, int]] = deque()
        self._waiter: asyncio.Future[None] | None = None
        self._task: asyncio.Task[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._deadline: float | None = None
        self._started = False  # the answer's first header block is out
        self._heard = False  # anything after the fields came
        self._over = False
        self._head = _HEAD
        self._code: grpc.StatusCode | None = None
        self._details = ""
        self._trailing: Metadata = ()
        self._callbacks: list[Callable[[Any], None]] = []

    # -- the way in

    def began(self) -> None:
        handler = self._handler
        if self._too_large:
            self._finish(grpc.StatusCode.RESOURCE_EXHAUSTED, f"the metadata is larger than {MOST_FIELDS} bytes")
            return
        if handler is None:
            refused = refusal(self.fields)
            if refused is None:
                self._finish(grpc.StatusCode.UNIMPLEMENTED, "Method not found!")
            else:
                self._over = True
                self.connection.refuse(self, refused)
            return
        left_s = timeout_s(self.fields)
        loop = asyncio.get_running_loop()
        now_s = loop.time()
        if left_s is not None:
            self._deadline = now_s + left_s
        self._timer = loop.call_at(now_s + min(_BODY_S if left_s is None else left_s, _BODY_S), self._expire)
        if handler.request_streaming:
            self.unread = True
            self._start(self._requests())

    def received(self, data: bytes, ended: bool) -> None:
        self._heard = True
        if self._over:
            return
        if data:
            self._body.append(data)
            self._size += len(data)
        if self.unread:
            self._cut(len(data))
        elif self._size > self._limit + 5:
            self._finish(grpc.StatusCode.RESOURCE_EXHAUSTED, f"Received message larger than max ({self._limit})")
        elif ended:
            message = self._whole()
            if message is not None:
                self._start(message)
        else:
            self.connection.hold(self, self._size)

    def overrun(self) -> None:
        self.cancel(grpc.StatusCode.RESOURCE_EXHAUSTED, "the server holds too many bytes of unfinished requests")

    def _whole(self) -> bytes | None:
        """The one message of the body; None, the call ended, when it is not one."""
        body = self._body[0] if len(self._body) == 1 else b"".join(self._body)
        self._body.clear()
        self.connection.hold(self, 0)
        if len(body) < 5 or len(body) != 5 + int.from_bytes(body[1:5], "big"):
            self._finish(grpc.StatusCode.INTERNAL, "the request is not one message")
            return None
        if body[0]:
            self._finish(grpc.StatusCode.UNIMPLEMENTED, "compressed messages are not taken")
            return None
        return body[5:]

    def _cut(self, arrived: int) -> None:
        """Takes whole messages out of the body of a request that is a stream, and wakes their reader.

        The client may send on for what is no whole message yet at once, and for a message when it is taken.
        """
        if self._size >= self._need:
            body = b"".join(self._body)
            credited = self._size - arrived  # the tail that was here before
            at = 0
            while len(body) - at >= 5:
                size = int.from_bytes(body[at + 1 : at + 5], "big")
                if size > self._limit or body[at]:
                    self._end_reading(size)
                    return
                self._need = 5 + size
                if len(body) - at < self._need:
                    break
                owed = max(0, self._need - credited)
                credited = max(0, credited - self._need)
                self._messages.append((body[at + 5 : at + self._need], owed))
                self._queued += self._need
                at += self._need
                self._need = 5
            self._body, self._size = [body[at:]], len(body) - at
            arrived = max(0, self._size - credited)
        self.connection.read(self, arrived)
        self.connection.hold(self, self._size + self._queued)
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def _end_reading(self, size: int) -> None:
        if size > self._limit:
            self.cancel(grpc.StatusCode.RESOURCE_EXHAUSTED, f"Received message larger than max ({self._limit})")
        else:
            self.cancel(grpc.StatusCode.UNIMPLEMENTED, "compressed messages are not taken")

    async def _requests(self) -> AsyncIterator[Any]:
        """The messages of a request that is a stream."""
        parse = self._handler.request_deserializer
        while True:
            while self._messages:
                message, owed = self._messages.popleft()
                self._queued -= 5 + len(message)
                self.connection.hold(self, self._size + self._queued)
                self.connection.read(self, owed)
                yield message if parse is None else parse(message)
            if self.ended:
                return
            self._waiter = asyncio.get_running_loop().create_future()
            await self._waiter

    def gone(self) -> None:
        self._over = True
        self._settle()
        self._body.clear()
        self._messages.clear()
        if self._task is not None:
            self._task.cancel()

    def cancel(self, code: grpc.StatusCode, details: str) -> None:
        """Ends the call with a status, and its work."""
        self._finish(code, details)
        if self._task is not None:
            self._task.cancel()

    def _expire(self) -> None:
        """The deadline passed, or the time that a request may take to arrive."""
        loop = asyncio.get_running_loop()
        if self._deadline is not None and loop.time() >= self._deadline:
            self.cancel(grpc.StatusCode.DEADLINE_EXCEEDED, "Deadline Exceeded")
        elif self._task is None:
            self.cancel(grpc.StatusCode.DEADLINE_EXCEEDED, f"the request did not arrive in {_BODY_S:g} s")
        elif self._deadline is not None:
            self._timer = loop.call_at(self._deadline, self._expire)

    def _undelivered(self) -> None:
        """The deadline passed, and the client did not take all of the answer."""
        self.connection.fail(self, CANCEL)

    # -- the work

    def _start(self, request: Any) -> None:
        self._task = asyncio.get_running_loop().create_task(self._run(request))
        self._calls[self] = self._task

    async def _run(self, request: Any) -> None:
        handler = self._handler
        try:
            if handler.response_streaming:
                await self._stream(handler.stream_stream or handler.unary_stream, request)
            else:
                response = await (handler.unary_unary or handler.stream_unary)(request, self)
                if self._code in (None, grpc.StatusCode.OK):
                    serialize = handler.response_serializer
                    self._finish(grpc.StatusCode.OK, "", response if serialize is None else serialize(response))
                else:
                    self._finish(self._code, self._details)
        except aio.AbortError:
            self._finish(self._code or grpc.StatusCode.UNKNOWN, self._details)
        except asyncio.CancelledError:
            self._finish(grpc.StatusCode.CANCELLED, "Cancelled")
        except Exception as error:
            _log.error(
                "unexpected error in a handler",
                method=dict(self.fields).get(b":path", b"").decode("latin-1"),
                exc_info=error,
            )
            self._finish(grpc.StatusCode.UNKNOWN, f"Unexpected {type(error)}")
        finally:
            self._calls.pop(self, None)
            callbacks, self._callbacks = self._callbacks, []
            for callback in callbacks:
                callback(self)

    async def _stream(self, behaviour: Any, request: Any) -> None:
        if inspect.isasyncgenfunction(behaviour):
            responses = behaviour(request, self)
            try:
                async for response in responses:
                    await self.write(response)
            finally:
                await responses.aclose()
        else:
            await behaviour(request, self)
        self._finish(self._code or grpc.StatusCode.OK, self._details)

    # -- the way out

    def _finish(self, code: grpc.StatusCode, details: str, data: bytes | None = None) -> None:
        """Sends the status, after a last message where there is one. Nothing when the call is over."""
        if self._over:
            return
        self._over = True
        self._settle()
        self._body.clear()
        self._messages.clear()
        if self.unread and not self._heard:
            # grpc.aio's client takes a status that overtakes its first message for a failure of its own
            asyncio.get_running_loop().call_later(_OVERTAKEN_S, self._send_status, code, details, data)
        else:
            self._send_status(code, details, data)

    def _send_status(self, code: grpc.StatusCode, details: str, data: bytes | None) -> None:
        if self.id not in self.connection.streams:
            return
        last = _OK if code is grpc.StatusCode.OK else status_fields(code, details)
        for name, value in self._trailing:
            last += metadata_field(name, value)
        head = b"" if self._started else self._head
        if data is None and not self._started:
            self.connection.refuse(self, head + last)
            return
        pieces = () if data is None else (b"\0" + len(data).to_bytes(4, "big"), data)
        self.connection.answer(self, head, pieces, last)
        if self.out.size and self._deadline is not None:
            self._timer = asyncio.get_running_loop().call_at(self._deadline, self._undelivered)

    def _settle(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        for future in (self.drained, self._waiter):
            if future is not None and not future.done():
                future.cancel()

    # -- what a handler does: grpc.aio.ServicerContext

    async def write(self, message: Any) -> None:
        """Sends one message of a stream; waits while the client does not read."""
        if self._over:
            raise asyncio.CancelledError
        serialize = self._handler.response_serializer
        data = message if serialize is None else serialize(message)
        head = b"" if self._started else self._head
        self._started = True
        self.connection.answer(self, head, (b"\0" + len(data).to_bytes(4, "big"), data), None)
        if self.out.size:
            self.drained = asyncio.get_running_loop().create_future()
            await self.drained

    async def send_initial_metadata(self, initial_metadata: Metadata) -> None:
        """Sent with the first message."""
        if self._started:
            raise ValueError("Initial metadata no longer allowed!")
        self._head += b"".join([metadata_field(name, value) for name, value in initial_metadata])

    async def abort(self, code: grpc.StatusCode, details: str = "", trailing_metadata: Metadata = ()) -> NoReturn:
        """Ends the call with a status other than OK."""
        self._code = grpc.StatusCode.UNKNOWN if code is grpc.StatusCode.OK else code
        self._details = details
        if trailing_metadata:
            self._trailing = trailing_metadata
        raise aio.AbortError("Locally aborted.")

    def set_trailing_metadata(self, trailing_metadata: Metadata) -> None:
        """Sent with the status."""
        self._trailing = trailing_metadata

    def trailing_metadata(self) -> Metadata:
        """What was set."""
        return self._trailing

    def invocation_metadata(self) -> tuple[tuple[str, str | bytes], ...]:
        """The client's metadata."""
        return metadata_of(self.fields)

    def set_code(self, code: grpc.StatusCode) -> None:
        """The status to end with."""
        self._code = code

    def code(self) -> grpc.StatusCode | None:
        """The status set, or aborted with."""
        return self._code

    def set_details(self, details: str) -> None:
        """The status' text."""
        self._details = details

    def details(self) -> str:
        """What was set."""
        return self._details

    def peer(self) -> str:
        """Who calls, as ``ipv4:host:port``."""
        peer: str = self.connection.peer
        return peer

    def time_remaining(self) -> float | None:
        """Seconds until the deadline; None without one."""
        return None if self._deadline is None else max(0.0, self._deadline - asyncio.get_running_loop().time())

    def cancelled(self) -> bool:
        """Whether the client gave the call up, or its deadline passed."""
        return self._over and self._task is not None and not self._task.done()

    def done(self) -> bool:
        """Whether the call ended."""
        return self._task is None or self._task.done()

    def add_done_callback(self, callback: Callable[[Any], None]) -> None:
        """Called with the context when the call ended."""
        self._callbacks.append(callback)
