"""Composition root: settings → adapters → domain → edges → chassis."""

from chassis.lifecycle import Runtime, Service, run
from chassis.settings import from_environment
from gateway.adapters.access import access_of
from gateway.adapters.catalog_definitions import definitions_of
from gateway.adapters.envelopes import Envelopes
from gateway.adapters.features.part import features_of
from gateway.adapters.loop_lag import admission_of
from gateway.adapters.monitoring.part import monitoring_of
from gateway.adapters.part import service_of
from gateway.adapters.prometheus_metrics import PrometheusMetrics
from gateway.adapters.retrieval.part import retrieval_of
from gateway.adapters.triton.part import inference_of
from gateway.adapters.valkey.part import records_of, writes_of
from gateway.api.app import paths, rest_port
from gateway.api.edge import Edge
from gateway.api.grpc.public import public_grpc
from gateway.api.grpc.registrations import registrations
from gateway.domain.infer import Inferrer
from gateway.domain.labels import Labels
from gateway.domain.predict import Predictor
from gateway.domain.read import Reader
from gateway.domain.retrieve import Retriever
from gateway.settings import Settings


async def build(runtime: Runtime[Settings]) -> Service:
    """Everything the gateway runs."""
    settings, clock = runtime.settings, runtime.clock
    seen, envelopes = PrometheusMetrics(runtime.metrics, runtime.tenants), Envelopes.of(runtime)
    definitions = await definitions_of(runtime, seen)
    access, admission = access_of(runtime, seen), admission_of(runtime, seen)
    features, inference = features_of(runtime, envelopes, seen), inference_of(runtime, seen)
    retrieval, monitoring = retrieval_of(runtime, envelopes), monitoring_of(runtime, envelopes)
    records, writes = records_of(runtime, seen), writes_of(runtime, seen)
    endpoints, queue = definitions.port, records.port
    domain = (
        endpoints,
        Predictor(features.port, inference.port, queue, clock, settings.max_shadows, seen.shadow_dropped),
        Reader(features.port, clock),
        Inferrer(endpoints, inference.port, queue, clock, settings.max_model_in_flight),
        Retriever(retrieval.port, queue, clock),
        Labels(endpoints, monitoring.port),
    )
    edge, table = Edge(access.port, clock, runtime.ids, seen.tenant, admission.port), paths(*domain)
    return service_of(
        (definitions, access, admission, features, inference, retrieval, monitoring, records, writes),
        registrations(edge, table, *domain, writes.port),
        rest_port(table, edge, writes.port, settings, seen.request),
        public_grpc(settings, edge),
    )


def main() -> int:
    """Runs until SIGTERM."""
    return run(from_environment(Settings), build)
