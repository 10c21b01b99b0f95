"""Composition root: settings → adapters → domain → servicer → chassis.lifecycle."""

from catalog import Catalog, source_from
from chassis.lifecycle import Runtime, Service, run
from chassis.rpc.server import Registration
from chassis.settings import from_environment
from features.adapters.catalog_views import load_definitions
from features.adapters.prometheus_metrics import PrometheusMetrics
from features.adapters.valkey_online import ValkeyOnlineStore
from features.api.servicer import NAME, FeaturesServicer, add_features
from features.domain.read import Reader, ReadLimits
from features.domain.write import WriteLimits, Writer
from features.settings import Settings


async def build(runtime: Runtime[Settings]) -> Service:
    """Wires the service; nothing outside is needed yet."""
    settings = runtime.settings
    login = settings.online()
    store = ValkeyOnlineStore(
        login.url,
        credentials=login.credentials,
        max_in_flight=settings.store_max_in_flight,
        stalled_s=settings.store_stalled_ms / 1000,
    )
    metrics = PrometheusMetrics(runtime.metrics)
    timeout_s = settings.store_timeout_ms / 1000
    reader = Reader(store, runtime.clock, metrics, ReadLimits(timeout_s, settings.max_rows))
    writer = Writer(store, runtime.clock, metrics, WriteLimits(settings.future_tolerance_s, settings.max_rows))

    def load(catalog: Catalog) -> None:
        definitions = load_definitions(catalog)
        for reason in map(str, catalog.errors):
            runtime.log.error("definition refused", definition=reason)
        reader.load(definitions)
        writer.load(definitions)
        metrics.definitions(len(definitions.views), len(catalog.errors))

    source = source_from(settings.definitions, room=settings.room)
    load(await source.load())
    await store.start()
    return Service(
        registrations=[
            Registration(add_features, FeaturesServicer(reader, writer, runtime.verifier, runtime.clock), NAME)
        ],
        background=[("definitions", lambda: source.watch(load))],
        warm=[lambda: store.ping(1.0)],
        close=[source.close, store.close],
    )


def main() -> int:
    """Runs until SIGTERM; the exit status."""
    return run(from_environment(Settings), build)
