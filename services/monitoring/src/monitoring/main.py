"""Composition root: settings → adapters → domain → servicer → chassis.lifecycle."""

import sys

import pyarrow as pa

from catalog import source_from
from chassis import lifecycle
from chassis.lifecycle import Runtime, Service
from chassis.postgres.roles import Owner
from chassis.rpc.server import Registration
from chassis.settings import from_environment
from mizzen.monitoring.v1 import monitoring_pb2_grpc
from monitoring.adapters.catalog_definitions import CatalogDefinitions
from monitoring.adapters.duckdb_log import DuckDBLog
from monitoring.adapters.file_profiles import FileProfiles
from monitoring.adapters.parquet_writer import ParquetWriter
from monitoring.adapters.postgres_labels import PostgresLabels
from monitoring.adapters.prometheus_metrics import PrometheusMetrics
from monitoring.adapters.record_files import RecordFiles
from monitoring.adapters.valkey_stream import ValkeyStream
from monitoring.api.servicer import MonitoringServicer
from monitoring.domain.consume import Consume
from monitoring.domain.evaluate import Evaluate
from monitoring.domain.labels import TakeLabels
from monitoring.domain.match import MatchLabels
from monitoring.domain.watch import Watch
from monitoring.settings import Settings


async def build(runtime: Runtime[Settings]) -> Service:
    """Everything connected to nothing yet: connections are made when they are needed, or awaited by `warm`."""
    settings, clock = runtime.settings, runtime.clock
    # The C library's heap, which is trimmed after a burst (chassis.memory); Arrow's own pool keeps what it once had.
    pa.set_memory_pool(pa.system_memory_pool())
    metrics = PrometheusMetrics(runtime.metrics, runtime.tenants)
    definitions = CatalogDefinitions(source_from(settings.definitions), settings.volumes)
    files = RecordFiles(settings.records)
    login = settings.stream()
    stream = ValkeyStream(login.url, settings.consumer, collect_s=settings.flush_s, credentials=login.credentials)
    writer, log = ParquetWriter(files, settings.consumer), DuckDBLog(files, settings.query_memory)
    password = settings.postgres_password if settings.postgres_password_file else None
    owner = Owner.of(settings)
    labels = PostgresLabels(settings.postgres_url, password, owner)
    profiles = FileProfiles(definitions.package)
    evaluate = Evaluate(log, labels, profiles, definitions, clock)
    match = MatchLabels(labels, log, definitions, metrics, clock)
    watch = Watch(Consume(stream, writer, metrics, clock), match, evaluate, writer, metrics)
    take = TakeLabels(labels, definitions, metrics)
    servicer = MonitoringServicer(take, match, evaluate, runtime.verifier, clock, settings.label_timeout_s)
    name = "mizzen.monitoring.v1.MonitoringService"
    add = monitoring_pb2_grpc.add_MonitoringServiceServicer_to_server
    every = (settings.match_every_s, settings.evaluate_every_s, settings.compact_every_s)
    return Service(
        registrations=[Registration(add, servicer, name)],
        background=[("definitions", definitions.watch), *watch.tasks(*every)],
        warm=[definitions.load, labels.migrate, stream.ensure_group],
        close=[definitions.close, stream.close, writer.close, log.close, labels.close],
    )


def main() -> None:
    """Runs the service until SIGTERM."""
    sys.exit(lifecycle.run(from_environment(Settings), build))
