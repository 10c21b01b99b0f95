"""Calls to another service: one connection an address, least in flight of two random ones, a deadline on every call."""

import asyncio
import random
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from typing import Any, Literal, TypeVar

import grpc
from google.protobuf.message import DecodeError
from grpc import aio

from chassis import metrics as declared
from chassis.errors import Code, DeadlineExceeded, Internal, MizzenError, Unavailable
from chassis.rpc.addresses import Addresses, StaticAddresses, parse_addresses
from chassis.rpc.breaker import HEALTH, Breaker, State
from chassis.rpc.identity import CallerTokens
from chassis.rpc.status import from_rpc_error
from chassis.telemetry.logs import logger
from chassis.telemetry.metrics import Metrics
from chassis.wire.client import Connection

__all__ = ["Addresses", "Channel", "StaticAddresses", "parse_addresses"]

R = TypeVar("R")
Metadata = tuple[tuple[str, str], ...]

_OPTIONS: list[tuple[str, int]] = [
    ("grpc.enable_retries", 0),  # retries are the gateway's, inside the deadline
    ("grpc.use_local_subchannel_pool", 1),  # one connection an address of one channel, shared with nobody
    ("grpc.initial_reconnect_backoff_ms", 50),
    ("grpc.min_reconnect_backoff_ms", 1000),  # also the time that one attempt may take
    ("grpc.max_reconnect_backoff_ms", 250),
    ("grpc.max_receive_message_length", -1),
    ("grpc.max_send_message_length", -1),
    # of streams; a foreign server allows one ping in five minutes while it sends nothing (see chassis.wire.keepalive)
    ("grpc.keepalive_time_ms", 310_000),
    ("grpc.keepalive_timeout_ms", 20_000),  # also how long bytes may stay unacknowledged
    ("grpc.http2.max_pings_without_data", 0),
]
_AVOID_S = 1.0  # a draining server refuses calls on a connection that still stands
_SILENT = (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED)
_log = logger("chassis.rpc.channel")
_READY = grpc.ChannelConnectivity.READY


class _Replica:
    """One address, with what is needed to choose it. grpc.aio's channel is made when first needed: for streams, or for all."""

    __slots__ = ("_channel", "_own", "address", "avoid_until", "breaker", "in_flight", "methods", "retired")

    def __init__(self, address: str, opened: Callable[[str, bool], None], *, own: bool) -> None:
        self.address = address
        self.breaker = Breaker(self, time.perf_counter, lambda is_open: opened(address, is_open))
        self._own = Connection(address) if own else None
        self._channel: aio.Channel | None = None
        self.methods: dict[tuple[str, Any, Any], Any] = {}
        self.in_flight = 0
        self.avoid_until = 0.0
        self.retired = False

    @property
    def channel(self) -> aio.Channel:
        """grpc.aio's."""
        if self._channel is None:
            self._channel = aio.insecure_channel(self.address, options=_OPTIONS)
        return self._channel

    def connected(self) -> bool:
        """Whether it stands; asking makes it try to connect."""
        return self._own.usable() if self._own else self.channel.get_state(try_to_connect=True) is _READY

    def usable(self) -> bool:
        """Whether it stands, answers and did not just refuse a call."""
        if self.breaker.is_open or not self.connected():
            return False
        return self.avoid_until == 0.0 or time.monotonic() >= self.avoid_until

    async def unary(
        self, method: str, request: Any, response_type: type[R], timeout_s: float, metadata: Metadata | None
    ) -> R:
        """Raises AioRpcError, or DecodeError for an answer of another type."""
        if self._own is None:
            call = _callable(self, "unary_unary", method, type(request), response_type)
            answer: R = await call(request, timeout=timeout_s, metadata=metadata)
            return answer
        message = request if type(request) is bytes else request.SerializeToString()
        data: Any = await self._own.unary(method, message, timeout_s, metadata or ())
        made: R = data if response_type is bytes else response_type.FromString(data)  # type: ignore[attr-defined]
        return made

    async def probe(self, timeout_s: float) -> bool:
        try:
            await self.unary(HEALTH, b"", bytes, timeout_s, None)
        except aio.AioRpcError as error:
            return error.code() not in _SILENT
        return True

    async def close(self) -> None:
        """Ends its connections."""
        await self.breaker.close()
        if self._own is not None:
            await self._own.close()
        if self._channel is not None:
            await self._channel.close()


class Channel:
    """Calls to the replicas of one service. Raises MizzenError only.

    name: the upstream's name, for metrics and messages; callers: proves who we are (None for foreign servers).
    client: loop carries unary calls on chassis.wire.client, grpcio on grpc.aio; streams are grpc.aio's either way.
    Requests are proto messages or bytes; ``response_type`` is a message class or ``bytes``, which passes raw bytes.
    """

    def __init__(
        self,
        name: str,
        addresses: Addresses,
        *,
        callers: CallerTokens | None = None,
        metrics: Metrics | None = None,
        client: Literal["loop", "grpcio"] = "loop",
    ) -> None:
        self._name = name
        self._callers = callers
        self._own = client == "loop"
        metrics = metrics or Metrics()
        self._seconds = metrics.histogram(declared.CHANNEL_SECONDS)
        self._in_flight = metrics.level(declared.CHANNEL_IN_FLIGHT, name)
        self._known = metrics.gauge(declared.CHANNEL_CONNECTIONS).labels(name)
        for state in State:
            metrics.gauge(declared.CHANNEL_BREAKERS).labels(name, state.value).set_function(self._counted(state))
        self._children: dict[tuple[str, Code], Any] = {}
        self._connections: list[_Replica] = []
        self._closing: set[asyncio.Task[None]] = set()
        self._streams: set[Any] = set()
        self._closed = False
        self._addresses = addresses
        self._started = False

    async def unary(
        self, method: str, request: Any, response_type: type[R], timeout_s: float, metadata: Metadata = ()
    ) -> R:
        """One answer to one request. method: ``/service/Method``. Raises a MizzenError, DeadlineExceeded after `timeout_s`."""
        if not self._connections:
            timeout_s = await self._learn(timeout_s)
        connection, all_metadata = self._choose(timeout_s), self._metadata(metadata)
        code, started = Code.OK, time.perf_counter()
        self._enter(connection)
        try:
            return await connection.unary(method, request, response_type, timeout_s, all_metadata)
        except DecodeError as error:
            code = Code.INTERNAL
            message = f"{self._name} answered what cannot be read"
            raise Internal(message, reason="UPSTREAM_INTERNAL", ids={"upstream": self._name}) from error
        except aio.AioRpcError as error:
            failure = self._failure(error, connection, started)
            code = failure.code
            raise failure from error
        except asyncio.CancelledError as error:
            code = Code.CANCELLED
            self._distinguish(error)
            raise
        finally:
            self._leave(connection, method, code, started)

    def stream(
        self, method: str, request: Any, response_type: type[R], timeout_s: float, metadata: Metadata = ()
    ) -> AsyncGenerator[R, None]:
        """Answers as they come. Leaving the iteration early (close it, or cancel the task) cancels the call."""
        return self._iterate(("unary_stream", method, type(request), response_type), request, timeout_s, metadata)

    def stream_stream(
        self,
        method: str,
        requests: AsyncIterator[Any],
        types: tuple[type[Any], type[R]],
        timeout_s: float,
        metadata: Metadata = (),
    ) -> AsyncGenerator[R, None]:
        """Answers as they come while `requests` are sent as they come; leaving early cancels the call.

        types: the request's and the response's type.
        """
        return self._iterate(("stream_stream", method, *types), requests, timeout_s, metadata)

    async def _iterate(
        self, what: tuple[str, str, type[Any], type[R]], request: Any, timeout_s: float, metadata: Metadata
    ) -> AsyncGenerator[R, None]:
        if not self._connections:
            timeout_s = await self._learn(timeout_s)
        connection, all_metadata = self._choose(timeout_s), self._metadata(metadata)
        code, started = Code.OK, time.perf_counter()
        self._enter(connection)
        call: Any = None
        try:
            call = _callable(connection, *what)(request, timeout=timeout_s, metadata=all_metadata)
            self._streams.add(call)
            async for answer in call:
                yield answer
        except aio.AioRpcError as error:
            failure = self._failure(error, connection, started)
            code = failure.code
            raise failure from error
        except asyncio.CancelledError as error:
            code = Code.CANCELLED
            self._distinguish(error)
            raise
        except GeneratorExit:
            code = Code.CANCELLED
            raise
        finally:
            if call is not None:
                self._streams.discard(call)
                call.cancel()
            self._leave(connection, what[1], code, started)

    async def ready(self, timeout_s: float) -> None:
        """Waits until one address is connected. Raises Unavailable after `timeout_s`."""
        self._start()
        deadline = time.monotonic() + timeout_s
        while not any(one.connected() for one in self._connections):
            if time.monotonic() >= deadline:
                raise self._unreachable()
            await asyncio.sleep(0.02)

    async def close(self) -> None:
        """Closes all connections; calls in flight end with Unavailable."""
        self._closed = True
        for stream in list(self._streams):
            stream.cancel()  # closing its channel would leave a reader waiting for good
        connections, self._connections = self._connections, []
        await asyncio.gather(self._addresses.close(), *(one.close() for one in connections), *self._closing)

    def _metadata(self, metadata: Metadata) -> Metadata | None:
        if self._callers is None:
            return metadata or None
        return self._callers.metadata() + metadata

    def _start(self) -> None:
        if not self._started:
            self._started = True
            self._addresses.watch(self._replace)
            self._replace(self._addresses.current())

    async def _learn(self, timeout_s: float) -> float:
        """Waits for an address book that was not answered yet; what is left of `timeout_s`."""
        self._start()
        if timeout_s <= 0:
            return timeout_s
        started = time.monotonic()
        try:
            async with asyncio.timeout(timeout_s):
                await self._addresses.first()
        except TimeoutError:
            raise self._unreachable() from None
        return timeout_s - (time.monotonic() - started)

    def _replace(self, addresses: tuple[str, ...]) -> None:
        """Keeps the connections of addresses that stay, opens new ones, lets the others finish what they carry."""
        if self._closed:
            return
        kept = {one.address: one for one in self._connections if one.address in addresses}
        for connection in self._connections:
            if connection.address not in kept:
                connection.retired = True
                self._release(connection)
        self._connections = [
            kept.get(address) or _Replica(address, self._opened, own=self._own) for address in addresses
        ]
        self._known.set(len(self._connections))

    def _release(self, connection: _Replica) -> None:
        if connection.retired and connection.in_flight == 0:
            task = asyncio.ensure_future(connection.close())
            self._closing.add(task)
            task.add_done_callback(self._closing.discard)

    def _choose(self, timeout_s: float) -> _Replica:
        if timeout_s <= 0:
            raise DeadlineExceeded("the deadline has passed")
        self._start()
        connections = self._connections
        if len(connections) == 1 and not connections[0].breaker.is_open:
            return connections[0]
        if len(connections) < 2:
            raise self._unreachable()
        first, second = random.sample(connections, 2)
        if not (first.usable() and second.usable()):
            usable = [one for one in connections if one.usable()] or [
                one for one in connections if not one.breaker.is_open
            ]
            if not usable:
                raise self._unreachable()
            first, second = random.sample(usable, 2) if len(usable) > 1 else (usable[0], usable[0])
        return first if first.in_flight <= second.in_flight else second

    def _counted(self, state: State) -> Callable[[], float]:
        return lambda: sum(one.breaker.state is state for one in self._connections)

    def _opened(self, address: str, is_open: bool) -> None:
        event = "an address does not answer and gets no calls" if is_open else "an address answers again"
        _log.warning(event, upstream=self._name, address=address)

    def _enter(self, connection: _Replica) -> None:
        connection.in_flight += 1
        self._in_flight.now += 1

    def _leave(self, connection: _Replica, method: str, code: Code, started: float) -> None:
        now = time.perf_counter()
        connection.in_flight -= 1
        self._in_flight.now -= 1
        if code is Code.OK:
            connection.breaker.answered(now)
        if connection.retired:
            self._release(connection)
        child = self._children.get((method, code))
        if child is None:
            child = self._children[method, code] = self._seconds.labels(self._name, method, code.value)
        child.observe(now - started)

    def _failure(self, error: aio.AioRpcError, connection: _Replica, started: float) -> MizzenError:
        failure = from_rpc_error(error)
        if error.code() in _SILENT and failure.reason.startswith("UPSTREAM_"):
            connection.breaker.failed(started)
        else:
            connection.breaker.answered(time.perf_counter())
        if not failure.reason.startswith("UPSTREAM_"):
            return failure  # the service's own words
        if error.code() is grpc.StatusCode.UNAVAILABLE:
            connection.avoid_until = time.monotonic() + _AVOID_S
            return self._unreachable()
        if error.code() is grpc.StatusCode.DEADLINE_EXCEEDED:
            return DeadlineExceeded(f"{self._name} did not answer in time", ids={"upstream": self._name})
        if error.code() is grpc.StatusCode.CANCELLED:
            return self._ended()
        return type(failure)(
            f"{self._name} answered {failure.code.value}", reason=failure.reason, ids={"upstream": self._name}
        )

    def _distinguish(self, error: asyncio.CancelledError) -> None:
        """Raises Unavailable for a call that ended because the channel closed under it, not because its task was cancelled."""
        task = asyncio.current_task()
        if task is not None and task.cancelling() == 0:
            raise self._ended() from error

    def _ended(self) -> Unavailable:
        return Unavailable(f"{self._name} ended the call", reason="UPSTREAM_CANCELLED", ids={"upstream": self._name})

    def _unreachable(self) -> Unavailable:
        return Unavailable(
            f"{self._name} cannot be reached", reason="UPSTREAM_UNAVAILABLE", ids={"upstream": self._name}
        )


def _callable(connection: _Replica, kind: str, method: str, request: type[Any], response: type[Any]) -> Any:
    """grpc.aio's callable for one method, made once a connection."""
    key = (method, request, response)
    made = connection.methods.get(key)
    if made is None:
        serialize = None if request is bytes else request.SerializeToString
        parse = None if response is bytes else response.FromString
        made = getattr(connection.channel, kind)(method, serialize, parse)
        connection.methods[key] = made
    return made
