"""The composition root: settings → adapters → domain → servicer → chassis."""

from catalog import source_from
from chassis import lifecycle
from chassis.lifecycle import Runtime, Service
from chassis.postgres.migrations import migrate_as
from chassis.postgres.pool import PoolLimits, PostgresPool
from chassis.postgres.roles import Owner
from chassis.rpc.server import Registration
from chassis.settings import from_environment
from mizzen.retrieval.v1.retrieval_pb2_grpc import add_RetrievalServiceServicer_to_server
from retrieval.adapters.catalog_collections import CatalogCollections
from retrieval.adapters.openai_generator import OpenAIGenerator
from retrieval.adapters.postgres_documents import PostgresDocuments
from retrieval.adapters.postgres_schema import DOCUMENTS
from retrieval.adapters.prometheus_metrics import PrometheusMetrics
from retrieval.adapters.snowball_analyzer import SnowballAnalyzer
from retrieval.adapters.splitter_chunker import SplitterChunker
from retrieval.adapters.triton_embedder import TritonEmbedder
from retrieval.api.servicer import SERVICE, RetrievalServicer, Verbs
from retrieval.domain.ask import Asking
from retrieval.domain.documents import Listing
from retrieval.domain.ingest import Ingesting
from retrieval.domain.search import EmbedLimits, Searching
from retrieval.settings import Settings


async def build(runtime: Runtime[Settings]) -> Service:
    """The service of these settings. It is ready once the definitions are read and the schema is there."""
    settings, clock = runtime.settings, runtime.clock
    limits = PoolLimits(
        settings.store_connections, settings.store_waiting, settings.store_connect_s, settings.store_timeout_s
    )
    password = settings.postgres_password if settings.postgres_password_file else None
    pool = PostgresPool(DOCUMENTS, settings.postgres_url, password, limits)
    owner = Owner.of(settings)
    collections = CatalogCollections(runtime.log)
    source = source_from(settings.definitions, room=settings.room)
    embedder = TritonEmbedder(
        lambda name: runtime.channel(name, settings.inference_addresses, foreign=True),
        batch=settings.embed_batch,
        in_flight=settings.embed_in_flight,
        bulk_in_flight=settings.embed_bulk_in_flight,
    )
    generator = None
    if settings.llm_url:
        generator = OpenAIGenerator(
            settings.llm_url, settings.llm_model, settings.llm_key, first_byte_s=settings.llm_first_byte_s
        )
    store, analyzer = PostgresDocuments(pool), SnowballAnalyzer()
    patience = EmbedLimits(settings.embed_timeout_s)
    searching = Searching(store, embedder, analyzer, collections, clock, patience)
    verbs = Verbs(
        searching=searching,
        asking=Asking(searching, embedder, analyzer, collections, clock, generator, limits=patience),
        ingesting=Ingesting(store, embedder, SplitterChunker(), analyzer, collections, clock),
        listing=Listing(store, collections, clock),
    )
    servicer = RetrievalServicer(verbs, runtime.verifier, clock, PrometheusMetrics(runtime.metrics))

    async def open_store() -> None:
        await pool.open()
        if await migrate_as(owner, pool):
            runtime.log.warning("the serving role owns its tables: set MIZZEN_POSTGRES_OWNER", schema=DOCUMENTS.name)

    async def read_definitions() -> None:
        collections.update(await source.load())

    return Service(
        registrations=[Registration(add_RetrievalServiceServicer_to_server, servicer, SERVICE)],
        background=[("definitions", lambda: source.watch(collections.update))],
        warm=[read_definitions, open_store],
        close=[source.close, pool.close, *([generator.close] if generator else [])],
    )


def main() -> int:
    """Runs until SIGTERM."""
    return lifecycle.run(from_environment(Settings), build)
