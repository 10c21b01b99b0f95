"""Spans by the OpenTelemetry SDK; imported only where an endpoint is set."""

from collections.abc import Mapping
from types import TracebackType
from typing import Any, Self

from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

_PROPAGATOR = TraceContextTextMapPropagator()
_KINDS = {
    "internal": trace.SpanKind.INTERNAL,
    "server": trace.SpanKind.SERVER,
    "client": trace.SpanKind.CLIENT,
}


class _OtlpSpan:
    """A span that is no longer than its ``with`` block. It is not made current: contexts travel in envelopes."""

    def __init__(self, span: trace.Span) -> None:
        self._span = span
        carrier: dict[str, str] = {}
        _PROPAGATOR.inject(carrier, trace.set_span_in_context(span))
        self.traceparent = carrier.get("traceparent", "")

    def set(self, key: str, value: str | int | float | bool) -> None:
        self._span.set_attribute(key, value)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace_: TracebackType | None
    ) -> None:
        if kind is not None:
            self._span.set_status(trace.StatusCode.ERROR, kind.__name__)
        self._span.end()


class OtlpTracing:
    """Batches spans off the request path and sends them to an OTLP collector."""

    enabled = True

    def __init__(self, service: str, endpoint: str, exporter: SpanExporter | None = None) -> None:
        self._provider = TracerProvider(resource=Resource.create({"service.name": f"mizzen-{service}"}))
        self._provider.add_span_processor(BatchSpanProcessor(exporter or OTLPSpanExporter(endpoint, insecure=True)))
        self._tracer = self._provider.get_tracer("mizzen")

    def span(
        self, name: str, parent: str = "", kind: str = "internal", attributes: Mapping[str, Any] | None = None
    ) -> _OtlpSpan:
        context = _PROPAGATOR.extract({"traceparent": parent}) if parent else None
        return _OtlpSpan(self._tracer.start_span(name, context, _KINDS[kind], attributes))

    def flush(self) -> None:
        self._provider.force_flush(3000)
        self._provider.shutdown()
