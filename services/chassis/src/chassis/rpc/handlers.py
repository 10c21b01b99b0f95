"""What happens around every RPC, on either server: caller check, error mapping, metrics, span.

Handlers are wrapped once, at registration. Interceptors would do the same for each call through several extra
coroutines, and pygrpc-native and grpcio would run them differently.
"""

import asyncio
import inspect
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Any

import grpc
from google.protobuf.message import DecodeError
from grpc import aio

from chassis import metrics as declared
from chassis.errors import Code, InvalidArgument, MizzenError, Unimplemented
from chassis.rpc.identity import CALLER_KEY, CallerTokens
from chassis.rpc.status import GRPC_CODES, to_status, trailing_metadata
from chassis.telemetry.metrics import Metrics
from chassis.telemetry.tracing import NoTracing, Tracing

Handler = Any  # grpc.RpcMethodHandler, whose attributes are not declared


@dataclass(frozen=True, slots=True)
class Registration:
    """One gRPC service to serve.

    add: the generated ``add_XServicer_to_server``; servicer: an instance with ``async`` methods;
    name: full service name such as ``mizzen.features.v1.FeaturesService``.
    """

    add: Callable[[Any, Any], Any]
    servicer: Any
    name: str

    def handlers(self) -> dict[str, Handler]:
        """Method name → handler, as the generated function registers them."""
        collected = _Collected()
        self.add(self.servicer, collected)
        return collected.methods


class _Collected:
    """Stands in for a server while a generated function registers its methods."""

    def __init__(self) -> None:
        self.methods: dict[str, Handler] = {}

    def add_generic_rpc_handlers(self, handlers: tuple[Any, ...]) -> None:
        pass

    def add_registered_method_handlers(self, service: str, handlers: dict[str, Handler]) -> None:
        self.methods.update(handlers)


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What the wrapping needs. callers: None on a public server, which authenticates its clients itself."""

    metrics: Metrics = field(default_factory=Metrics)
    callers: CallerTokens | None = None
    tracing: Tracing = field(default_factory=NoTracing)


class _Method:
    """One method's check, measurements and error mapping."""

    def __init__(self, path: str, around: Surroundings) -> None:
        self._path = path
        self._callers = around.callers
        self._tracing = around.tracing
        self._seconds = around.metrics.histogram(declared.SERVER_SECONDS)
        self._in_flight = around.metrics.level(declared.SERVER_IN_FLIGHT)
        # Made when a call ends so: at each scrape all buckets of a method that nobody calls would be written as well.
        self._by_code: dict[Code, Any] = {}

    def begin(self, context: aio.ServicerContext[Any, Any]) -> Any:
        """Refuses strangers; answers the span of this call when it belongs to a trace."""
        if self._callers is None and not self._tracing.enabled:
            return None
        metadata = dict(context.invocation_metadata() or ())
        if self._callers is not None:
            self._callers.check(metadata.get(CALLER_KEY))
        parent = metadata.get("traceparent")
        # a batch of many callers has no parent: its items' spans hang on their envelopes
        return self._tracing.span(self._path, parent, "server") if self._tracing.enabled and parent else None

    def end(self, code: Code, started: float, span: Any) -> None:
        """Counts a finished call."""
        child = self._by_code.get(code)
        if child is None:
            child = self._by_code[code] = self._seconds.labels(self._path, code.value)
        child.observe(time.perf_counter() - started)
        if span is not None:
            span.set("rpc.grpc.status_code", code.value)
            span.__exit__(None, None, None)

    def enter(self) -> float:
        """Counts a call in; answers when it started."""
        self._in_flight.now += 1
        return time.perf_counter()

    def leave(self) -> None:
        """Counts a call out."""
        self._in_flight.now -= 1

    async def fail(self, error: Exception, context: aio.ServicerContext[Any, Any]) -> None:
        """Ends the call with the status of `error`; always raises AbortError."""
        status = to_status(error, method=self._path)
        code = error.code if isinstance(error, MizzenError) else Code.INTERNAL
        error.__traceback__ = None  # its frames would keep request and answer until the client is told
        await context.abort(GRPC_CODES[code], status.message, trailing_metadata(status))


def remaining_s(context: Any, default_s: float) -> float:
    """Seconds that the client of this call gave it, at most `default_s`, which also stands in where it gave none."""
    left = context.time_remaining()
    return default_s if left is None else min(float(left), default_s)


def code_of(error: BaseException) -> Code:
    """The code under which a failed call is counted."""
    if isinstance(error, MizzenError):
        return error.code
    if isinstance(error, asyncio.CancelledError | GeneratorExit):
        return Code.CANCELLED
    return Code.INTERNAL


def wrap(handler: Handler, path: str, around: Surroundings) -> Handler:
    """`handler` with everything around it; `path` is ``/service/Method``."""
    behaviour: Any = handler.unary_unary or handler.unary_stream or handler.stream_unary or handler.stream_stream
    method = _Method(path, around)
    if inspect.isasyncgenfunction(behaviour) and handler.response_streaming:
        made = _streaming(_parsing(handler, behaviour), method)
    elif inspect.iscoroutinefunction(behaviour):
        made = _single(_parsing(handler, behaviour), method)
    else:
        made = _unimplemented(method, handler.response_streaming)
    factory: Any = {
        (False, False): grpc.unary_unary_rpc_method_handler,
        (False, True): grpc.unary_stream_rpc_method_handler,
        (True, False): grpc.stream_unary_rpc_method_handler,
        (True, True): grpc.stream_stream_rpc_method_handler,
    }[(handler.request_streaming, handler.response_streaming)]
    # a single request is parsed inside the wrapping, so that garbage is the caller's fault and not INTERNAL
    parse = handler.request_deserializer if handler.request_streaming else None
    return factory(made, parse, handler.response_serializer)


def _parsing(handler: Handler, behaviour: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
    """`behaviour` on the request's bytes."""
    parse = handler.request_deserializer
    if handler.request_streaming or parse is None:
        return behaviour

    def parsed(data: bytes, context: Any) -> Any:
        try:
            request = parse(data)
        except DecodeError as error:
            raise InvalidArgument("the request cannot be parsed", reason="REQUEST_MALFORMED") from error
        return behaviour(request, context)

    return parsed


def _single(behaviour: Callable[[Any, Any], Any], method: _Method) -> Callable[[Any, Any], Any]:
    """For methods that are coroutines: one answer, or a stream written through the context."""

    async def answer(request: Any, context: aio.ServicerContext[Any, Any]) -> Any:
        started, code, span = method.enter(), Code.OK, None
        try:
            span = method.begin(context)
            return await behaviour(request, context)
        except aio.AbortError:
            code = _aborted_code(context)
            raise
        except Exception as error:
            code = code_of(error)
            await method.fail(error, context)
        except BaseException as error:
            code = code_of(error)
            raise
        finally:
            method.leave()
            method.end(code, started, span)

    return answer


def _streaming(behaviour: Callable[[Any, Any], AsyncIterator[Any]], method: _Method) -> Callable[[Any, Any], Any]:
    """For methods that are async generators."""

    async def answers(request: Any, context: aio.ServicerContext[Any, Any]) -> AsyncIterator[Any]:
        started, code, span = method.enter(), Code.OK, None
        responses: Any = None
        try:
            span = method.begin(context)
            responses = behaviour(request, context)
            async for response in responses:
                yield response
        except aio.AbortError:
            code = _aborted_code(context)
            raise
        except Exception as error:
            code = code_of(error)
            await method.fail(error, context)
        except BaseException as error:
            code = code_of(error)
            raise
        finally:
            method.leave()
            method.end(code, started, span)
            if responses is not None:
                await responses.aclose()

    return answers


def _unimplemented(method: _Method, streaming: bool) -> Callable[[Any, Any], Any]:
    """For methods that the servicer leaves to the generated class, which is not async."""

    async def refuse(_request: Any, context: aio.ServicerContext[Any, Any]) -> None:
        await method.fail(Unimplemented("this method is not offered here"), context)

    return refuse


def _aborted_code(context: aio.ServicerContext[Any, Any]) -> Code:
    status = context.code()
    return Code(status.name) if isinstance(status, grpc.StatusCode) and status.name != "UNKNOWN" else Code.INTERNAL
