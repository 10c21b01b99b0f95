"""The standard gRPC health service: what it answers is set by the lifecycle, not by the services."""

import asyncio
from collections.abc import AsyncIterator, Iterable
from typing import Any

from grpc_health.v1 import health_pb2, health_pb2_grpc

from chassis.errors import NotFound

NAME = "grpc.health.v1.Health"
_Status = health_pb2.HealthCheckResponse


class Health(health_pb2_grpc.HealthServicer):
    """NOT_SERVING until told otherwise. Watches end when the server closes, or a drain would wait for them."""

    def __init__(self, services: Iterable[str]) -> None:
        self._services = frozenset(("", *services))
        self._serving = False
        self._closed = False
        self._changed = asyncio.Event()

    def set_serving(self, serving: bool) -> None:
        """Answers SERVING or NOT_SERVING from now on, to watchers at once."""
        self._serving = serving
        self._wake()

    def close(self) -> None:
        """Ends all watches."""
        self._closed = True
        self._wake()

    def _wake(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()

    def _answer(self, service: str) -> Any:
        if service not in self._services:
            return _Status(status=_Status.SERVICE_UNKNOWN)
        return _Status(status=_Status.SERVING if self._serving else _Status.NOT_SERVING)

    async def Check(self, request: Any, context: Any) -> Any:  # noqa: N802
        if request.service not in self._services:
            raise NotFound("no such service is served here", reason="SERVICE_UNKNOWN")
        return self._answer(request.service)

    async def Watch(self, request: Any, context: Any) -> AsyncIterator[Any]:  # noqa: N802
        sent = None
        while not self._closed:
            changed, answer = self._changed, self._answer(request.service)
            if sent is None or answer.status != sent:
                sent = answer.status
                yield answer
            await changed.wait()
