"""Composition root: settings → adapters → domain → edges → chassis."""

from catalog import source_from
from chassis import lifecycle
from chassis.lifecycle import Runtime, Service
from chassis.public.http_bounds import PublicAsgi
from chassis.settings import from_environment
from gateway.adapters.catalog_definitions import broken, follow, load
from gateway.adapters.loop_lag import watch
from gateway.adapters.outside import Outside
from gateway.adapters.prometheus_metrics import PrometheusMetrics
from gateway.api.app import paths, rest_app
from gateway.api.edge import Edge
from gateway.api.grpc.public import public_grpc
from gateway.api.grpc.registrations import registrations
from gateway.api.http.browsers import Browsers
from gateway.api.http.request import Limits
from gateway.domain.admission import Admission
from gateway.domain.endpoints import Endpoints
from gateway.domain.idempotency import IdempotentWrites
from gateway.domain.infer import Inferrer
from gateway.domain.labels import Labels
from gateway.domain.predict import Predictor
from gateway.domain.read import Reader
from gateway.domain.retrieve import Retriever
from gateway.domain.verbs import Verbs
from gateway.settings import Settings


async def build(runtime: Runtime[Settings]) -> Service:
    """Everything the gateway runs."""
    settings, clock = runtime.settings, runtime.clock
    seen = PrometheusMetrics(runtime.metrics, runtime.tenants)
    out = Outside(runtime, seen)
    endpoints = Endpoints()
    source = source_from(settings.definitions, room=settings.room, examine=broken)
    load(await source.load(), endpoints)
    predictor = Predictor(
        endpoints, out.features, out.inference, out.queue, clock,
        max_shadows=settings.max_shadows, shadow_dropped=seen.shadow_dropped,
    )  # fmt: skip
    verbs = Verbs(
        endpoints=endpoints,
        predictor=predictor,
        reader=Reader(out.features, clock),
        inferrer=Inferrer(endpoints, out.inference, out.queue, clock, max_in_flight=settings.max_model_in_flight),
        retriever=Retriever(out.retrieval, out.queue, clock),
        labels=Labels(endpoints, out.monitoring),
        writes=IdempotentWrites(out.idempotency, seen.unprotected_write),
        inference=out.inference,
        clock=clock,
    )
    admission = Admission(
        clock, seen.admission, queue_s=settings.queue_ms / 1e3, lag_s=settings.lag_ms / 1e3, most=settings.max_in_flight
    )
    seen.admission.in_flight.set_function(lambda: admission.process.in_flight)
    edge = Edge(out.authenticator, clock, runtime.ids, seen.tenant, admission)
    browsers = Browsers(keyless=settings.api_keys_file is None, origins=settings.cors())
    table = paths(verbs)
    app = rest_app(table, verbs, edge, Limits(settings.max_body_bytes), browsers, seen.request)
    return Service(
        registrations=registrations(verbs, edge, table),
        background=[
            *out.background,
            ("definitions", lambda: follow(source, endpoints, runtime.log)),
            ("lag", lambda: watch(admission.lagged, lambda: admission.process.in_flight > 0)),
        ],
        details=out.details,
        warm=out.warm,
        close=[source.close, out.records.flush, out.close],
        public_asgi=PublicAsgi(app, settings.rest_port, settings.http_bounds(), app.refuse, app.turn_away),
        public=public_grpc(settings, edge),
    )


def main() -> int:
    """Runs until SIGTERM."""
    return lifecycle.run(from_environment(Settings), build)
