"""What a service is made of and what it gets: the two sides of ``build``."""

from collections.abc import Awaitable, Callable, Coroutine, Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from typing import Any, Generic, TypeVar

from prometheus_client import CollectorRegistry, ProcessCollector

from chassis import metrics as declared
from chassis.clock import Clock, RequestIds, SystemClock, SystemIds
from chassis.public.grpc import PublicGrpc
from chassis.public.http_bounds import PublicAsgi
from chassis.rpc.addresses import parse_addresses
from chassis.rpc.channel import Channel
from chassis.rpc.identity import CallerTokens, Verifier
from chassis.rpc.server import Registration
from chassis.settings import ServiceSettings
from chassis.telemetry import logs, tracing
from chassis.telemetry.metrics import Metrics, TenantLabels

S = TypeVar("S", bound=ServiceSettings)
Step = Callable[[], Awaitable[Any]]


@dataclass(frozen=True)
class Service:
    """What a room hands over to be run.

    registrations: gRPC services of the data port.
    background: (name, coroutine function) that run for ever; one that fails is logged, counted and started again.
    warm: awaited again and again until each returns once; only then is the service ready.
    details: what is wrong now though the service goes on, a line each; /readyz shows it.
    close: awaited in order after the last request, each for 5 s at most.
    public_asgi: an ASGI app on a port of its own, served in the same loop.
    public: how the gRPC port is served when it is for clients, who are not services: no caller check. None for a port
        between services, which runs on the setting `server`.
    """

    registrations: Sequence[Registration] = ()
    background: Sequence[tuple[str, Step]] = ()
    warm: Sequence[Step] = ()
    details: Callable[[], Sequence[str]] = tuple
    close: Sequence[Step] = ()
    public_asgi: PublicAsgi | None = None
    public: PublicGrpc | None = None


@dataclass
class Runtime(Generic[S]):
    """What ``build`` gets: everything that is not the room's own."""

    settings: S
    clock: Clock
    ids: RequestIds
    metrics: Metrics
    tracing: tracing.Tracing
    log: Any
    verifier: Verifier
    callers: CallerTokens
    tenants: TenantLabels
    channels: list[Channel] = field(default_factory=list)

    @property
    def registry(self) -> CollectorRegistry:
        """Where the metrics of this process are collected."""
        return self.metrics.registry

    def channel(self, name: str, setting: str, *, foreign: bool = False) -> Channel:
        """A channel to the addresses of `setting`, closed with the service.

        foreign: the upstream is no Mizzen service (Triton), so it is not told who calls.
        """
        callers = None if foreign else self.callers
        made = Channel(
            name, parse_addresses(setting, name), callers=callers, metrics=self.metrics, client=self.settings.client
        )
        self.channels.append(made)
        return made


Build = Callable[[Runtime[S]], Coroutine[Any, Any, Service]]


def make_runtime(settings: S, clock: Clock | None = None, ids: RequestIds | None = None) -> Runtime[S]:
    """The runtime of `settings`; tests may decide time and ids."""
    clock = clock or SystemClock()
    metrics = Metrics()
    ProcessCollector(registry=metrics.registry)
    metrics.gauge(declared.BUILD).labels(settings.room, version("mizzen-chassis")).set(1)
    return Runtime(
        settings=settings,
        clock=clock,
        ids=ids or SystemIds(clock),
        metrics=metrics,
        tracing=tracing.setup(settings.room, settings.otlp_endpoint),
        log=logs.logger(settings.room),
        verifier=Verifier(settings.identity_public_key_file, clock),
        callers=CallerTokens(settings.service_secret_file, settings.room, clock),
        tenants=TenantLabels(settings.tenant_labels),
    )
