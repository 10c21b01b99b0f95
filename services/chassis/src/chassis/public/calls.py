"""Calls of a public gRPC port: who calls is looked at before a body is read, and what a call holds is told to the edge's guard.

A handler is remade once, at registration. On grpcio a method with one request is registered as one with a stream of them, so
that its body is asked for by us, after the caller's key was looked at and under a deadline; the wire is the same.
"""

import asyncio
import contextlib
import inspect
import math
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Any

import grpc
from google.protobuf.message import DecodeError
from grpc import aio

from chassis.errors import DeadlineExceeded, InvalidArgument, ResourceExhausted, Unavailable
from chassis.public.guard import EdgeGuard
from chassis.public.held import Connection
from chassis.rpc.handlers import Handler

MAX_METADATA = 16 * 1024
_MOST_FIELDS = 1000
_LEAST_COMPRESSED = 1024
_MOST_COMPRESSED = 4 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Edge:
    """admit: raises MizzenError for a caller who may not come in.

    compress: whether answers leave compressed where clients take it; None where the server compresses none.
    counts: whether a call under way keeps its connection when others need room. Calls that need no key do not.
    """

    guard: EdgeGuard
    admit: Callable[[Any], None] = lambda _context: None
    compress: bool | None = None
    counts: bool = True


def remade(handler: Handler, edge: Edge, *, reads: bool) -> Handler:
    """`handler` for a public port, to be wrapped by chassis.rpc.handlers.wrap.

    reads: the server gives single requests over as they are asked for (grpcio), not before the call is made (pygrpc-native).
    """
    behaviour: Any = handler.unary_unary or handler.unary_stream or handler.stream_unary or handler.stream_stream
    streams = handler.request_streaming or reads
    call = _PublicCall(edge, handler, reads=streams)
    generates, answers = inspect.isasyncgenfunction(behaviour), inspect.iscoroutinefunction(behaviour)
    if not generates and not answers:
        made: Any = behaviour  # left to the generated class: refused without a look at its body
    elif not handler.response_streaming:
        made = call.answered(behaviour)
    else:
        made = call.generated(behaviour) if generates else call.written(behaviour)
    factory: Any = {
        (False, False): grpc.unary_unary_rpc_method_handler,
        (False, True): grpc.unary_stream_rpc_method_handler,
        (True, False): grpc.stream_unary_rpc_method_handler,
        (True, True): grpc.stream_stream_rpc_method_handler,
    }[(streams, handler.response_streaming)]
    return factory(made)


class _PublicCall:
    """One method's way in and out, in bytes."""

    def __init__(self, edge: Edge, handler: Handler, *, reads: bool) -> None:
        self._guard = edge.guard
        self._admit = edge.admit
        self._compress = edge.compress
        self._counted = int(edge.counts)
        self._streams = handler.request_streaming
        self._reads = reads
        self._parse = handler.request_deserializer
        self._serialize = handler.response_serializer

    def answered(self, behaviour: Any) -> Any:
        async def answer(given: Any, context: Any) -> bytes:
            connection = self._open(context)
            try:
                asked = await self._asked(connection, context, given)
                return self._last(connection, context, await behaviour(asked, context))
            finally:
                connection.calls -= self._counted

        return answer

    def generated(self, behaviour: Any) -> Any:
        async def answers(given: Any, context: Any) -> AsyncIterator[bytes]:
            connection = self._open(context)
            try:
                responses = behaviour(await self._asked(connection, context, given), context)
                async with contextlib.aclosing(responses):
                    async for response in responses:
                        out = self.out(connection, context, response)
                        try:
                            yield out
                        finally:
                            self.sent(connection, out)
            finally:
                connection.calls -= self._counted

        return answers

    def written(self, behaviour: Any) -> Any:
        async def answers(given: Any, context: Any) -> None:
            connection = self._open(context)
            try:
                await behaviour(await self._asked(connection, context, given), _Writing(context, self, connection))
            finally:
                connection.calls -= self._counted

        return answers

    async def _asked(self, connection: Connection, context: Any, given: Any) -> Any:
        """The method's request, or its requests as they come."""
        if self._streams:
            return self._messages(given, connection)
        return await self._read(connection, context) if self._reads else self._taken(connection, given)

    def _open(self, context: Any) -> Connection:
        """Refuses who may not come in, before anything of the body is asked for."""
        connection = self._guard.connection(context.peer())
        fields = context.invocation_metadata() or ()
        if len(fields) > _MOST_FIELDS:
            self._guard.flooded(connection)  # grpcio bounds a field and not their number, and each of them costs us
        size = sum([len(key) + len(value) for key, value in fields])
        if size > MAX_METADATA:
            raise ResourceExhausted(f"metadata of {size} bytes is over {MAX_METADATA}", reason="METADATA_TOO_LARGE")
        connection.delivered += size
        self._admit(context)
        connection.calls += self._counted
        return connection

    async def _read(self, connection: Connection, context: Any) -> Any:
        timeout_s = self._guard.bounds.body_timeout_s
        connection.reading += 1
        asked_at = time.monotonic()
        data: Any = None
        try:
            async with asyncio.timeout(timeout_s):
                data = await context.read()
        except TimeoutError:
            raise DeadlineExceeded(
                f"the request did not arrive within {timeout_s:g} s", reason="REQUEST_TIMEOUT"
            ) from None
        except aio.BaseError as error:
            raise Unavailable("the server stops", reason="SERVER_STOPPING") from error
        finally:
            connection.reading -= 1
            if data is None:
                self._guard.abandoned(connection)
        if data is aio.EOF:
            raise InvalidArgument("the call has no request", reason="REQUEST_MISSING")
        return self._taken(connection, data, time.monotonic() - asked_at)

    def _taken(self, connection: Connection, data: bytes, waited_s: float = math.inf) -> Any:
        self._guard.delivered(connection, len(data), waited_s)
        if self._parse is None:
            return data
        try:
            return self._parse(data)
        except DecodeError as error:
            raise InvalidArgument("the request cannot be parsed", reason="REQUEST_MALFORMED") from error

    async def _messages(self, requests: AsyncIterator[bytes], connection: Connection) -> AsyncIterator[Any]:
        source = aiter(requests)
        while True:
            connection.reading += 1
            try:
                data = await anext(source, None)
            except BaseException:
                connection.abandoned = True
                raise
            finally:
                connection.reading -= 1
            if data is None:
                return
            yield self._taken(connection, data)

    def _last(self, connection: Connection, context: Any, response: Any) -> bytes:
        """The only answer of a call, which is out when the call is done: grpc.aio tells when that is."""
        data = self.out(connection, context, response)
        size = len(data)
        if self._reads:
            context.add_done_callback(lambda _: self._guard.sent(connection, size))
        return data

    def sent(self, connection: Connection, data: bytes) -> None:
        self._guard.sent(connection, len(data))

    def out(self, connection: Connection, context: Any, response: Any) -> bytes:
        """An answer's bytes, told to the guard. ResourceExhausted: see EdgeGuard.answer."""
        data: bytes = response if self._serialize is None else self._serialize(response)
        self._guard.answer(connection, len(data))
        if self._compress is not None and not (self._compress and _LEAST_COMPRESSED <= len(data) <= _MOST_COMPRESSED):
            context.disable_next_message_compression()
        return data


class _Writing:
    """A call's context whose `write` goes through the call's way out."""

    def __init__(self, context: Any, call: _PublicCall, connection: Connection) -> None:
        self._context = context
        self._call = call
        self._connection = connection

    def __getattr__(self, name: str) -> Any:
        return getattr(self._context, name)

    async def write(self, response: Any) -> None:
        data = self._call.out(self._connection, self._context, response)
        try:
            await self._context.write(data)
        finally:
            self._call.sent(self._connection, data)
