"""One gRPC server for all services, on one of three implementations behind one port.

- loop: our own on the event loop, the least CPU per call. No TLS, no compression.
- native: pygrpc-native, HTTP/2 in Rust outside the GIL. No TLS, no maximum connection age.
- grpcio: ``grpc.aio``.

All serve the same wrapped handlers (chassis.rpc.handlers), health and reflection; one contract suite runs on all.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, Protocol

import grpc
from grpc import aio
from grpc_health.v1 import health_pb2_grpc
from grpc_reflection.v1alpha import reflection
from grpc_reflection.v1alpha._async import ReflectionServicer
from grpc_reflection.v1alpha.reflection_pb2_grpc import add_ServerReflectionServicer_to_server

from chassis.rpc import health
from chassis.rpc.handlers import Handler, Registration, Surroundings, wrap
from chassis.rpc.loop_server import LoopServer
from chassis.rpc.native import NativeServer

__all__ = ["AioServer", "Kind", "Registration", "Server", "Surroundings", "make_server"]

Kind = Literal["loop", "native", "grpcio"]


class Server(Protocol):
    """A gRPC server of one process."""

    port: int

    async def start(self) -> None:
        """Binds and accepts, NOT_SERVING. Raises OSError when the port is taken."""
        ...

    def set_serving(self, serving: bool) -> None:
        """What the health service answers."""
        ...

    async def stop(self, grace_s: float) -> None:
        """Refuses new calls, gives those in flight `grace_s` seconds, closes."""
        ...


class AioServer:
    """What the implementations share: they have grpc.aio's interface."""

    def __init__(self, server: Any, address: str, served: Sequence[Registration], around: Surroundings) -> None:
        self._server = server
        self._address = address
        self.served = served
        self._health = health.Health(registration.name for registration in served)
        self.port = 0
        self._add(Registration(health_pb2_grpc.add_HealthServicer_to_server, self._health, health.NAME), _open(around))
        names = [*(registration.name for registration in served), health.NAME, reflection.SERVICE_NAME]
        reflector: Any = ReflectionServicer
        self._add(
            Registration(add_ServerReflectionServicer_to_server, reflector(names), reflection.SERVICE_NAME),
            _open(around),
        )
        for registration in served:
            self._add(registration, around)

    def _add(self, registration: Registration, around: Surroundings) -> None:
        name = registration.name
        methods = {
            method: wrap(handler, f"/{name}/{method}", around) for method, handler in registration.handlers().items()
        }
        self._register(name, methods)

    def _register(self, name: str, methods: dict[str, Handler]) -> None:
        self._server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(name, methods),))

    def _bind(self) -> int:
        return int(self._server.add_insecure_port(self._address))

    def set_serving(self, serving: bool) -> None:
        self._health.set_serving(serving)

    async def start(self) -> None:
        try:
            self.port = self._bind()
        except RuntimeError as error:
            raise OSError(f"cannot listen on {self._address}: {error}") from error
        await self._server.start()

    async def stop(self, grace_s: float) -> None:
        self._health.close()
        await self._server.stop(grace_s)


class _OwnServer(AioServer):
    """One that takes the methods of a service as they are."""

    def _register(self, name: str, methods: dict[str, Handler]) -> None:
        self._server.add_methods(name, methods)


def _open(around: Surroundings) -> Surroundings:
    """Without the caller check: probes and operators' tools are no services."""
    return Surroundings(metrics=around.metrics, callers=None, tracing=around.tracing)


def _options(max_message_bytes: int) -> list[tuple[str, int]]:
    return [
        ("grpc.max_receive_message_length", max_message_bytes),
        ("grpc.max_send_message_length", -1),
        ("grpc.so_reuseport", 0),  # a taken port is an error, not a silent partner
        ("grpc.keepalive_time_ms", 30_000),
        ("grpc.keepalive_timeout_ms", 10_000),
        ("grpc.http2.min_ping_interval_without_data_ms", 5_000),
        ("grpc.max_concurrent_streams", 4096),
    ]


def make_server(
    kind: Kind,
    address: str,
    registrations: Sequence[Registration],
    around: Surroundings,
    max_message_bytes: int = 64 * 1024 * 1024,
    sockets: Path | None = None,
) -> Server:
    """A server for ``host:port`` (port 0 takes a free one; `port` is true after start). Nothing is bound before start.

    sockets: directory for sockets of its own; None takes the system's temporary one.
    """
    options = _options(max_message_bytes)
    if kind == "loop":
        return _OwnServer(LoopServer(max_message_bytes), address, registrations, around)
    if kind == "native":
        return _OwnServer(NativeServer(options, sockets), address, registrations, around)
    return AioServer(aio.server(options=options), address, registrations, around)
