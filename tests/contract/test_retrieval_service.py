"""RetrievalService over a real channel, on both servers, with fakes behind it."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from chassis.clock import SystemClock
from chassis.errors import (
    DeadlineExceeded,
    InvalidArgument,
    MizzenError,
    NotFound,
    Unauthenticated,
    Unavailable,
)
from chassis.rpc.channel import Channel
from chassis.rpc.envelope import Call, seal
from chassis.rpc.identity import Identity, Minter, Verifier, write_keys
from chassis.rpc.server import Registration
from chassis.rpc.status import from_status
from chassis.telemetry.metrics import Metrics
from mizzen.chassis.v1.envelope_pb2 import Envelope
from mizzen.retrieval.v1 import retrieval_pb2 as pb
from mizzen.retrieval.v1.retrieval_pb2_grpc import add_RetrievalServiceServicer_to_server
from retrieval.adapters.prometheus_metrics import PrometheusMetrics
from retrieval.adapters.snowball_analyzer import SnowballAnalyzer
from retrieval.adapters.splitter_chunker import SplitterChunker
from retrieval.api.servicer import SERVICE, RetrievalServicer, Verbs
from retrieval.domain.ask import Asking
from retrieval.domain.documents import Listing
from retrieval.domain.extract import NOT_FOUND, Thresholds
from retrieval.domain.ingest import Ingesting
from retrieval.domain.model import Collection
from retrieval.domain.search import EMBEDDER_DOWN, Searching
from tests.contract.servers import KINDS, Kind, running
from tests.fakes.retrieval import FakeEmbedder, FixedCollections, MemoryDocuments

TEXT = "# Ports\n\nTriton listens on port 9000 for gRPC.\n\nValkey listens on port 6391."


@dataclass
class Client:
    """Calls as a tenant."""

    channel: Channel
    minter: Minter
    metrics: Metrics
    embedder: FakeEmbedder
    clock: SystemClock = field(default_factory=SystemClock)

    def envelope(self, tenant: str = "acme", left_s: float = 5.0) -> Envelope:
        identity = Identity(tenant, "someone")
        call = Call(f"request-of-{tenant}", identity, self.clock.monotonic_s() + left_s)
        return seal(call, self.minter.mint(identity), self.clock)

    async def put(self, *ids: str, tenant: str = "acme", text: str = TEXT) -> pb.UpsertDocumentsResponse:
        documents = [pb.DocumentInput(id=i, text=text, source=f"docs/{i}.md", metadata={"id": i}) for i in ids]
        request = pb.UpsertDocumentsRequest(envelope=self.envelope(tenant), collection="handbook", documents=documents)
        return await self.channel.unary(f"/{SERVICE}/UpsertDocuments", request, pb.UpsertDocumentsResponse, 5.0)

    async def search(self, *items: pb.SearchItem) -> list[pb.SearchResult]:
        request = pb.SearchRequest(items=items)
        return list((await self.channel.unary(f"/{SERVICE}/Search", request, pb.SearchResponse, 5.0)).results)

    async def ask(self, question: str, tenant: str = "acme") -> list[pb.AskEvent]:
        request = pb.AskRequest(envelope=self.envelope(tenant), collection="handbook", question=question)
        return [event async for event in self.channel.stream(f"/{SERVICE}/Ask", request, pb.AskEvent, 5.0)]


@pytest.fixture(params=KINDS)
async def client(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Client]:
    kind: Kind = request.param
    write_keys(tmp_path)
    clock, metrics, embedder = SystemClock(), Metrics(), FakeEmbedder()
    store, analyzer, collections = MemoryDocuments(), SnowballAnalyzer(), FixedCollections(Collection("handbook"))
    searching = Searching(store, embedder, analyzer, collections, clock)
    verbs = Verbs(
        searching,
        Asking(searching, embedder, analyzer, collections, clock, thresholds=Thresholds(evidence=0.3)),
        Ingesting(store, embedder, SplitterChunker(), analyzer, collections, clock),
        Listing(store, collections, clock),
    )
    servicer = RetrievalServicer(verbs, Verifier(tmp_path / "identity.pub", clock), clock, PrometheusMetrics(metrics))
    registration = Registration(add_RetrievalServiceServicer_to_server, servicer, SERVICE)
    async with running(kind, more=[registration]) as run:
        yield Client(run.channel, Minter(tmp_path / "identity.key", clock), metrics, embedder)


def item(client: Client, query: str = "triton port", tenant: str = "acme", **fields: object) -> pb.SearchItem:
    fields = {"collection": "handbook", "envelope": client.envelope(tenant)} | fields
    return pb.SearchItem(query=query, **fields)  # type: ignore[arg-type]


async def test_documents_are_stored_listed_read_and_deleted(client: Client) -> None:
    stored = await client.put("b", "a")
    assert [(d.id, d.state, d.chunks) for d in stored.documents] == [
        ("b", pb.DOCUMENT_STATE_READY, 1),
        ("a", pb.DOCUMENT_STATE_READY, 1),
    ]
    envelope = client.envelope()
    one = await client.channel.unary(
        f"/{SERVICE}/GetDocument",
        pb.GetDocumentRequest(envelope=envelope, collection="handbook", id="a"),
        pb.Document,
        5.0,
    )
    assert (one.source, dict(one.metadata), len(one.digest)) == ("docs/a.md", {"id": "a"}, 64)
    assert one.updated_at.seconds > 1_600_000_000
    page = await client.channel.unary(
        f"/{SERVICE}/ListDocuments",
        pb.ListDocumentsRequest(envelope=envelope, collection="handbook", page_size=1),
        pb.ListDocumentsResponse,
        5.0,
    )
    assert [d.id for d in page.documents] == ["a"]
    assert page.next_page_token
    listed = await client.channel.unary(
        f"/{SERVICE}/ListCollections",
        pb.ListCollectionsRequest(envelope=envelope),
        pb.ListCollectionsResponse,
        5.0,
    )
    assert [(c.name, c.embedding_model, c.documents, c.chunks) for c in listed.collections] == [
        ("handbook", "minilm/minilm", 2, 2)
    ]
    for expected in (True, False):
        gone = await client.channel.unary(
            f"/{SERVICE}/DeleteDocument",
            pb.DeleteDocumentRequest(envelope=client.envelope(), collection="handbook", id="a"),
            pb.DeleteDocumentResponse,
            5.0,
        )
        assert gone.deleted is expected
    with pytest.raises(NotFound) as caught:
        await client.channel.unary(
            f"/{SERVICE}/GetDocument",
            pb.GetDocumentRequest(envelope=client.envelope(), collection="handbook", id="a"),
            pb.Document,
            5.0,
        )
    assert (caught.value.reason, caught.value.ids) == ("DOCUMENT_NOT_FOUND", {"document": "a"})


async def test_each_item_of_a_batch_has_its_own_status_and_tenant(client: Client) -> None:
    await client.put("ours")
    await client.put("theirs", tenant="bolt")
    results = await client.search(
        item(client),
        item(client, tenant="bolt"),
        item(client, query=" "),
        item(client, collection="absent"),
        item(client, envelope=Envelope(request_id="forged", identity="x.y", remaining_us=1_000_000)),
        item(client, envelope=client.envelope(left_s=-1.0)),
        item(client, filters={"id": "none"}),
        item(client, top_k=1, mode=pb.SEARCH_MODE_LEXICAL),
    )
    found = [[p.document_id for p in result.passages] for result in results]
    assert found == [["ours"], ["theirs"], [], [], [], [], [], ["ours"]]
    errors: list[MizzenError | None] = [from_status(result.status) for result in results]
    assert [type(e) if e else None for e in errors] == [
        None,
        None,
        InvalidArgument,
        NotFound,
        Unauthenticated,
        DeadlineExceeded,
        None,
        None,
    ]
    assert errors[2] is not None
    assert errors[2].field == "query"
    best = results[0].passages[0]
    assert (best.source, best.line_start, best.line_end) == ("docs/ours.md", 1, 5)
    assert 0 < best.score <= 1
    assert set(results[0].timings_ms) == {"embed", "search"}


async def test_no_item_is_no_result(client: Client) -> None:
    assert await client.search() == []
    with pytest.raises(InvalidArgument):
        await client.search(*[pb.SearchItem()] * 257)


async def test_a_search_without_the_embedder_is_marked_degraded(client: Client) -> None:
    await client.put("ours")
    client.embedder.failure = Unavailable("down")
    (result,) = await client.search(item(client))
    assert (result.degraded, result.degraded_reason) == (True, EMBEDDER_DOWN)
    assert result.passages[0].document_id == "ours"
    with pytest.raises(Unavailable) as caught:
        await client.put("more", text="other")
    assert (caught.value.reason, caught.value.retry_after_s) == ("EMBEDDER_UNAVAILABLE", 2.0)
    metric = client.metrics.registry.get_sample_value("mizzen_retrieval_degraded_total", {"verb": "search"})
    assert metric == 1


async def test_a_bug_is_internal_without_its_text(client: Client) -> None:
    await client.put("ours")
    client.embedder.failure = RuntimeError("secret detail")  # type: ignore[assignment]
    (result,) = await client.search(item(client))
    assert from_status(result.status).code == "INTERNAL"  # type: ignore[union-attr]
    assert "secret" not in str(result)


async def test_an_answer_is_streamed_passages_first_and_cited(client: Client) -> None:
    await client.put("ports")
    events = await client.ask("Which port does Triton listen on?")
    assert [event.WhichOneof("event") for event in events] == ["passages", "text", "answer"]
    answer = events[-1].answer
    assert answer.answerable
    assert answer.text == events[1].text
    citation = answer.citations[0]
    assert (citation.source, citation.line_start) == ("docs/ports.md", 3)
    assert events[0].passages.passages[citation.passage].document_id == citation.document_id == "ports"
    foreign = (await client.ask("Who won the football world cup?"))[-1].answer
    assert (foreign.answerable, foreign.text, list(foreign.citations)) == (False, NOT_FOUND, [])
    value = client.metrics.registry.get_sample_value
    assert value("mizzen_retrieval_answers_total", {"result": "answered"}) == 1
    assert value("mizzen_retrieval_answers_total", {"result": "not_found"}) == 1


async def test_a_question_without_identity_is_refused(client: Client) -> None:
    request = pb.AskRequest(collection="handbook", question="x")
    with pytest.raises(Unauthenticated):
        async for _ in client.channel.stream(f"/{SERVICE}/Ask", request, pb.AskEvent, 5.0):
            pass


async def test_many_callers_at_once_get_their_own_answers(client: Client) -> None:
    for tenant in ("acme", "bolt", "cast"):
        await client.put(tenant, tenant=tenant)
    tenants = ["acme", "bolt", "cast"] * 10
    answers = await asyncio.gather(*(client.search(item(client, tenant=tenant)) for tenant in tenants))
    assert [result[0].passages[0].document_id for result in answers] == tenants
