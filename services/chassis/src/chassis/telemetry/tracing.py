"""Spans over OTLP, or nothing at all: without an endpoint every call here costs one attribute look-up."""

from collections.abc import Mapping
from types import TracebackType
from typing import Any, Protocol, Self


class Span(Protocol):
    """One timed step; a context manager that notes the exception leaving it."""

    @property
    def traceparent(self) -> str:
        """W3C header value for the next hop; "" when tracing is off."""
        ...

    def set(self, key: str, value: str | int | float | bool) -> None:
        """Adds an attribute, named by OTel's conventions."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


class Tracing(Protocol):
    """Where spans start."""

    @property
    def enabled(self) -> bool:
        """Whether spans go anywhere."""
        ...

    def span(
        self, name: str, parent: str = "", kind: str = "internal", attributes: Mapping[str, Any] | None = None
    ) -> Span:
        """A span under `parent` (a traceparent; "" starts a trace). kind: internal, server or client."""
        ...

    def flush(self) -> None:
        """Sends what is buffered, blocking for a few seconds at most, and ends tracing."""
        ...


class _NoSpan:
    traceparent = ""

    def set(self, key: str, value: str | int | float | bool) -> None:
        pass

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        pass


_NO_SPAN = _NoSpan()


class NoTracing:
    """Tracing that is off."""

    enabled = False

    def span(
        self, name: str, parent: str = "", kind: str = "internal", attributes: Mapping[str, Any] | None = None
    ) -> Span:
        return _NO_SPAN

    def flush(self) -> None:
        pass


def setup(service: str, endpoint: str) -> Tracing:
    """Tracing of this process to `endpoint` (OTLP gRPC), or none for ""."""
    if not endpoint:
        return NoTracing()
    from chassis.telemetry.otlp import OtlpTracing  # noqa: PLC0415 - the exporter costs 100 ms of import that most do not need

    return OtlpTracing(service, endpoint)
