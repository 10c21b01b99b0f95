"""A gRPC service with one method of each kind, to hold servers and channels against."""

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import grpc
from google.protobuf.wrappers_pb2 import StringValue

NAME = "mizzen.tests.Echo"
SAY, COUNT, WRITE, JOIN, CHAT = (f"/{NAME}/{name}" for name in ("Say", "Count", "Write", "Join", "Chat"))


class Echo:
    """Answers what it is told; `behaviour` replaces what a method does, by its name."""

    def __init__(self) -> None:
        self.started = asyncio.Event()
        self.cancelled = asyncio.Event()
        self.calls = 0
        self.counted = 0
        self.padding = ""
        self.observe: Callable[[Any], None] | None = None
        self.behaviour: Callable[[str], Any] | None = None

    async def Say(self, request: StringValue, context: Any) -> StringValue:
        if self.observe is not None:
            self.observe(context)
        await self._act(request.value)
        return StringValue(value=request.value)

    async def Count(self, request: StringValue, context: Any) -> AsyncIterator[StringValue]:
        for index in range(int(request.value)):
            self.counted += 1
            yield StringValue(value=str(index) + self.padding)
        await self._act(request.value)

    async def Write(self, request: StringValue, context: Any) -> None:
        for index in range(int(request.value)):
            await context.write(StringValue(value=str(index)))

    async def Join(self, requests: AsyncIterator[StringValue], context: Any) -> StringValue:
        return StringValue(value=",".join([request.value async for request in requests]))

    async def Chat(self, requests: AsyncIterator[StringValue], context: Any) -> AsyncIterator[StringValue]:
        async for request in requests:
            yield StringValue(value=request.value.upper())
            await self._act(request.value)

    async def _act(self, value: str) -> None:
        self.calls += 1
        self.started.set()
        try:
            if self.behaviour is not None:
                result = self.behaviour(value)
                if asyncio.iscoroutine(result):
                    await result
        except asyncio.CancelledError:
            self.cancelled.set()
            raise


def add_echo(servicer: Echo, server: Any) -> None:
    """What protoc would generate."""
    parse, serialize = StringValue.FromString, StringValue.SerializeToString
    handlers = {
        "Say": grpc.unary_unary_rpc_method_handler(servicer.Say, parse, serialize),
        "Count": grpc.unary_stream_rpc_method_handler(servicer.Count, parse, serialize),
        "Write": grpc.unary_stream_rpc_method_handler(servicer.Write, parse, serialize),
        "Join": grpc.stream_unary_rpc_method_handler(servicer.Join, parse, serialize),
        "Chat": grpc.stream_stream_rpc_method_handler(servicer.Chat, parse, serialize),
    }
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(NAME, handlers),))
    server.add_registered_method_handlers(NAME, handlers)
