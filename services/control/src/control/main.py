"""Composition root: settings → adapters → domain → edges → chassis.lifecycle."""

import sys

from catalog import source_from
from catalog.writer.named import writer_to
from chassis import lifecycle
from chassis.lifecycle import Runtime, Service
from chassis.postgres.migrations import migrate_as
from chassis.postgres.pool import PoolLimits, PostgresPool
from chassis.postgres.roles import Owner
from chassis.public.browsers import Browsers
from chassis.public.http_bounds import HttpBounds, PublicAsgi
from chassis.rpc.server import Registration
from chassis.settings import from_environment
from control.adapters.catalog_definitions import CatalogDefinitions
from control.adapters.key_hasher import KeyHasher
from control.adapters.postgres_schema import STORE
from control.adapters.postgres_store import PostgresAudit, PostgresKeys
from control.adapters.prometheus_metrics import PrometheusMetrics
from control.api.admin.app import admin_app
from control.api.servicer import SERVICE, ControlServicer
from control.domain.access import Access
from control.domain.definitions import Editing
from control.domain.keys import KeyRing
from control.settings import Settings
from mizzen.control.v1.control_pb2_grpc import add_ControlServiceServicer_to_server


async def build(runtime: Runtime[Settings]) -> Service:
    """The service of these settings. It is ready once its tables are there."""
    settings, clock, ids = runtime.settings, runtime.clock, runtime.ids
    metrics = PrometheusMetrics(runtime.metrics)
    password = settings.postgres_password if settings.postgres_password_file else None
    pool = PostgresPool(STORE, settings.postgres_url, password, PoolLimits(connections=4, connect_s=3.0))
    owner = Owner.of(settings)
    source, writer = source_from(settings.definitions), writer_to(settings.definitions)
    keys, audit = PostgresKeys(pool), PostgresAudit(pool)
    hasher = KeyHasher(settings.service_secret_file, settings.admin_key_file)
    ring = KeyRing(keys, hasher, clock, ids, metrics)
    editing = Editing(CatalogDefinitions(writer, source), audit, clock, ids, metrics)
    keyless = settings.admin_key_file is None
    access = Access(keys, hasher, clock, metrics, keyless=keyless)
    browsers = Browsers(keyless=keyless, key_setting="MIZZEN_CONTROL_ADMIN_KEY_FILE")
    app = admin_app(ring, editing, audit, access, browsers, ids, settings.max_body_bytes)

    async def open_store() -> None:
        if await migrate_as(owner, pool):
            runtime.log.warning("the serving role owns its tables: set MIZZEN_POSTGRES_OWNER", schema=STORE.name)

    return Service(
        registrations=[Registration(add_ControlServiceServicer_to_server, ControlServicer(ring), SERVICE)],
        background=[("definitions", lambda: source.watch(lambda _: None))],
        warm=[open_store],
        close=[source.close, writer.close, pool.close],
        public_asgi=PublicAsgi(app, settings.admin_port, HttpBounds(connections=256), app.refuse),
    )


def main() -> None:
    """Runs the service until SIGTERM."""
    sys.exit(lifecycle.run(from_environment(Settings), build))
