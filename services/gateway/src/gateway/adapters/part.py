"""The one shape in which adapters are composed."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from chassis.lifecycle import Service, Step
from chassis.public.grpc import PublicGrpc
from chassis.public.http_bounds import PublicAsgi
from chassis.rpc.server import Registration

P_co = TypeVar("P_co", covariant=True)


@dataclass(frozen=True, slots=True)
class Part(Generic[P_co]):
    """What the domain gets (`port`) and what its process does for it; the other fields are those of chassis.lifecycle.Service."""

    port: P_co
    warm: Sequence[Step] = ()
    background: Sequence[tuple[str, Step]] = ()
    details: Callable[[], Sequence[str]] = tuple
    close: Sequence[Step] = ()


def service_of(
    parts: Sequence[Part[Any]], registrations: Sequence[Registration], public_asgi: PublicAsgi, public: PublicGrpc
) -> Service:
    """The service that warms these parts, runs them and closes them, each in this order, and offers the rest."""
    return Service(
        registrations=registrations,
        warm=[step for part in parts for step in part.warm],
        background=[task for part in parts for task in part.background],
        details=lambda: [line for part in parts for line in part.details()],
        close=[step for part in parts for step in part.close],
        public_asgi=public_asgi,
        public=public,
    )
