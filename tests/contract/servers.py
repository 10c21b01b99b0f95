"""Servers of both kinds on free ports, with the channel to call them."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Literal

from chassis.rpc.channel import Channel, StaticAddresses
from chassis.rpc.identity import CallerTokens
from chassis.rpc.server import Registration, Server, Surroundings, make_server
from chassis.telemetry.metrics import Metrics
from chassis.telemetry.tracing import NoTracing, Tracing
from tests.fakes.echo import NAME, Echo, add_echo

Kind = Literal["loop", "native", "grpcio"]
KINDS: tuple[Kind, ...] = ("loop", "native", "grpcio")


@dataclass
class Running:
    """A started server, what it serves and how to reach it."""

    server: Server
    echo: Echo
    channel: Channel
    metrics: Metrics
    address: str


@asynccontextmanager
async def running(
    kind: Kind,
    *,
    port: int = 0,
    more: Sequence[Registration] = (),
    callers: CallerTokens | None = None,
    client: CallerTokens | None = None,
    max_message_bytes: int = 1024 * 1024,
    tracing: Tracing | None = None,
) -> AsyncIterator[Running]:
    """A server with the echo service (and `more`) that is stopped without grace at the end."""
    echo, metrics = Echo(), Metrics()
    registrations = [Registration(add_echo, echo, NAME), *more]
    around = Surroundings(metrics, callers, tracing or NoTracing())
    server = make_server(kind, f"127.0.0.1:{port}", registrations, around, max_message_bytes)
    await server.start()
    address = f"127.0.0.1:{server.port}"
    channel = Channel("echo", StaticAddresses(address), callers=client)
    try:
        await channel.ready(5)
        yield Running(server, echo, channel, metrics, address)
    finally:
        await channel.close()
        await server.stop(0)
