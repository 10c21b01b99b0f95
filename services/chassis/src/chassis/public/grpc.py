"""The gRPC port that clients of the installation reach: grpcio, or pygrpc-native for clients that are trusted (ADR 0019).

On either, chassis.public.guard bounds what clients hold. TLS, a greatest age of connections and compressed answers are grpcio's.
"""

import asyncio
import ssl
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
from grpc import aio

from chassis import metrics as declared
from chassis.public.calls import Edge, remade
from chassis.public.grpcio_accepting import Accepting
from chassis.public.guard import Bounds, EdgeGuard
from chassis.public.tcp_sockets import TcpSockets
from chassis.rpc.handlers import Handler, Registration, Surroundings, wrap
from chassis.rpc.native import NativeServer
from chassis.rpc.server import AioServer, Kind, Server, make_server
from chassis.telemetry.logs import logger

_STREAMS = {"grpcio": 128, "native": 1024}
_NATIVE_METADATA = 128 * 1024  # over it pygrpc-native ends the connection; what is over 16 KiB, we refuse ourselves
_WINDOW = 64 * 1024
_HANDSHAKE_MS = 15_000
_WAIT_TO_BE_ACCEPTED = 128  # connections, each with calls already sent; grpcio would have as many as the kernel allows
_IDLE_MS = 30 * 60_000
_AGE_GRACE_MS = 60_000
_BETWEEN_LOOKS = 2


@dataclass(frozen=True, slots=True)
class Tls:
    """PEM files. They are read again for each connection, so that a renewed certificate is served at once."""

    certificate: Path
    key: Path
    client_ca: Path | None = None
    """With it, only clients with a certificate of this authority come in."""


@dataclass(frozen=True, slots=True)
class PublicGrpc:
    """How a public gRPC port is served.

    admit: told of each call before its body is read; raises MizzenError for one who may not come in.
    compressed: whether answers of a service, by its full name, leave compressed where the client takes that; None for none.
    max_connection_age_s: after so long a client is asked to connect anew; 0 never does.
    """

    kind: Kind = "grpcio"
    bounds: Bounds = field(default_factory=Bounds)
    admit: Callable[[Any], None] = lambda _context: None
    compressed: Callable[[str], bool] | None = None
    tls: Tls | None = None
    max_connection_age_s: float = 0.0

    @property
    def served_by(self) -> Kind:
        """grpcio where only that has what is asked for."""
        needed = self.tls is not None or self.compressed is not None or self.max_connection_age_s
        return "grpcio" if needed else self.kind


def make_public_server(
    public: PublicGrpc,
    address: str,
    registrations: Sequence[Registration],
    around: Surroundings,
    sockets: Path | None = None,
) -> Server:
    """As chassis.rpc.server.make_server, for clients that nobody vouches for."""
    kind = public.served_by
    if kind != public.kind:
        logger("chassis.public.grpc").info(
            "the public gRPC port is served by grpcio: only that has TLS, compressed answers and a greatest age of connections",
            otherwise=public.kind,
        )
    if kind == "loop":  # only benchmarks ask for it
        return make_server("loop", address, registrations, around)
    return _PublicServer(kind, public, address, registrations, around, sockets)


class _PublicServer(AioServer):
    """A library's server with a guard beside it."""

    def __init__(
        self,
        kind: Kind,
        public: PublicGrpc,
        address: str,
        served: Sequence[Registration],
        around: Surroundings,
        sockets: Path | None,
    ) -> None:
        self._public = public
        self._reads = kind == "grpcio"
        self._watching: asyncio.Task[None] | None = None
        self._handlers: list[grpc.GenericRpcHandler] = []
        self._accepting: Accepting | None = None
        cut = around.metrics.counter(declared.PUBLIC_CUT)
        self._guard = EdgeGuard(public.bounds, lambda reason: cut.labels(reason).inc(), knows_readers=self._reads)
        server: Any = (
            aio.server(options=_grpcio_options(public))
            if self._reads
            else NativeServer(_native_options(public.bounds), sockets)
        )
        super().__init__(server, address, served, around)

    def _add(self, registration: Registration, around: Surroundings) -> None:
        name, ours = registration.name, registration in self.served
        admit = self._public.admit if ours else _everybody
        compressed = self._public.compressed
        edge = Edge(self._guard, admit, None if compressed is None else compressed(name), counts=ours)
        methods: dict[str, Handler] = {}
        for method, handler in registration.handlers().items():
            made = remade(handler, edge, reads=self._reads or handler.request_streaming)
            methods[method] = wrap(made, f"/{name}/{method}", around)
        if self._reads:
            handler = grpc.method_handlers_generic_handler(name, methods)
            self._handlers.append(handler)
            self._server.add_generic_rpc_handlers((handler,))
        else:
            self._server.add_methods(name, methods)

    def _bind(self) -> int:
        if self._public.tls is None:
            return int(self._server.add_insecure_port(self._address))
        return int(self._server.add_secure_port(self._address, _credentials(self._public.tls)))

    async def start(self) -> None:
        await super().start()
        if self._reads:
            self._accepting = Accepting(self._server, self._handlers, self._guard.unwanted)
        sockets = TcpSockets(self.port)
        sockets.queue(_WAIT_TO_BE_ACCEPTED)
        self._watching = asyncio.create_task(self._guard.run(sockets), name="edge guard")

    async def stop(self, grace_s: float) -> None:
        await super().stop(grace_s)
        if self._accepting is not None:
            await self._accepting.end()
        if self._watching is not None:
            self._watching.cancel()
            await asyncio.gather(self._watching, return_exceptions=True)


def _everybody(_context: Any) -> None:
    """Health and reflection are open."""


def _shared_options(bounds: Bounds) -> list[tuple[str, int]]:
    return [
        ("grpc.max_receive_message_length", bounds.message_bytes),
        ("grpc.max_send_message_length", -1),
        ("grpc.so_reuseport", 0),  # a taken port is an error, not a silent partner
        ("grpc.keepalive_time_ms", 30_000),
        ("grpc.keepalive_timeout_ms", 10_000),
    ]


def _native_options(bounds: Bounds) -> list[tuple[str, int]]:
    return [
        *_shared_options(bounds),
        ("grpc.max_concurrent_streams", _STREAMS["native"]),
        ("grpc.absolute_max_metadata_size", _NATIVE_METADATA),
    ]


def _grpcio_options(public: PublicGrpc) -> list[tuple[str, int]]:
    age_ms = int(public.max_connection_age_s * 1000)
    aging = [("grpc.max_connection_age_ms", age_ms), ("grpc.max_connection_age_grace_ms", _AGE_GRACE_MS)]
    return [
        *_shared_options(public.bounds),
        ("grpc.max_concurrent_streams", _STREAMS["grpcio"]),
        # Over the guard's bound until it has made room, which it does ten times a second.
        ("grpc.max_allowed_incoming_connections", _BETWEEN_LOOKS * public.bounds.connections),
        ("grpc.max_connection_idle_ms", _IDLE_MS),
        ("grpc.server_handshake_timeout_ms", _HANDSHAKE_MS),
        ("grpc.http2.min_ping_interval_without_data_ms", 5_000),
        # A stream that is not read from holds so much at most; grpcio would let it grow to 4 MiB.
        ("grpc.http2.lookahead_bytes", _WINDOW),
        ("grpc.http2.bdp_probe", 0),
        # Calls begun by one read of a socket: more would hold up other connections.
        ("grpc.http2.max_requests_per_read", 8),
        ("grpc.absolute_max_metadata_size", 2 * _NATIVE_METADATA),
        *(aging if age_ms else []),
        # Of what a client takes, gzip first. Messages that are not worth it are left out one by one.
        *([] if public.compressed is None else [("grpc.default_compression_level", 1)]),
    ]


def _credentials(tls: Tls) -> grpc.ServerCredentials:
    """Raises OSError for a file that cannot be read, ValueError for a certificate and key that do not fit."""

    def read() -> tuple[bytes, bytes, bytes | None]:
        ca = None if tls.client_ca is None else tls.client_ca.read_bytes()
        return tls.key.read_bytes(), tls.certificate.read_bytes(), ca

    served = read()
    try:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(tls.certificate, tls.key)
        if tls.client_ca is not None:
            context.load_verify_locations(tls.client_ca)
    except ssl.SSLError as error:
        raise ValueError(f"{tls.certificate} and {tls.key} cannot be used for TLS: {error.reason}") from error

    def configuration(files: tuple[bytes, bytes, bytes | None]) -> Any:
        key, certificate, ca = files
        return grpc.ssl_server_certificate_configuration([(key, certificate)], ca)

    def renewed() -> Any:
        """Asked at each handshake. None keeps what is served: a file may just be written."""
        nonlocal served
        try:
            now = read()
        except OSError:
            return None
        if now == served:
            return None
        served = now
        return configuration(now)

    made: grpc.ServerCredentials = grpc.dynamic_ssl_server_credentials(
        configuration(served), renewed, require_client_authentication=tls.client_ca is not None
    )
    return made
