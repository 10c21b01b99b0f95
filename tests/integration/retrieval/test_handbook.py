"""The whole service on the real engines: the project's own documents, questions with known answers, broken engines."""

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from catalog.source import directory as source
from chassis.clock import SystemClock
from chassis.errors import MizzenError, Unavailable
from chassis.lifecycle import Lifecycle, make_runtime
from chassis.rpc.channel import Channel, StaticAddresses
from chassis.rpc.envelope import Call, seal
from chassis.rpc.identity import CallerTokens, Identity, Minter, write_keys
from chassis.rpc.status import from_status
from mizzen.chassis.v1.envelope_pb2 import Envelope
from mizzen.retrieval.v1 import retrieval_pb2 as pb
from retrieval.api.servicer import SERVICE
from retrieval.main import build
from retrieval.settings import Settings
from tests.engines import RunningPostgres, RunningTriton

pytestmark = [pytest.mark.engines, pytest.mark.slow]

ROOT = Path(__file__).parents[3]
PATTERNS = ("README.md", "docs/**/*.md", "services/*/README.md")
QUESTIONS = {
    "Why is BM25 used instead of tsvector?": ("docs/adr/0006-bm25-not-tsvector.md",),
    "How are feature rows packed in the online store?": (
        "docs/adr/0003-packed-rows-in-the-online-store.md",
        "services/features/README.md",
    ),
    "Why PostgreSQL for documents and vectors?": ("docs/adr/0005-postgresql-for-documents-and-vectors.md",),
    "Who signs the identity of a request?": ("docs/adr/0010-signed-identity.md", "docs/architecture.md"),
    "What does the supervisor do when a child dies?": (
        "docs/adr/0009-supervisor-instead-of-docker-compose.md",
        "services/cli/README.md",
    ),
    "Can a language model write the answers?": (
        "docs/adr/0007-extractive-answers-by-default.md",
        "services/retrieval/README.md",
    ),
    "What is the as_of instant?": ("docs/adr/0011-as-of-and-clock.md", "docs/glossary.md"),
    "What is a schema hash?": ("docs/architecture.md", "docs/glossary.md"),
    "Which port does Triton gRPC listen on?": ("docs/architecture.md", "README.md"),
    "Where are prediction records appended?": (
        "docs/adr/0012-records-in-redis-streams-and-parquet.md",
        "docs/architecture.md",
    ),
}
FOREIGN = ("What is the capital of France?", "How do I bake sourdough bread?")


@dataclass
class House:
    """A running retrieval service and a client of it."""

    lifecycle: Lifecycle[Settings]
    channel: Channel
    minter: Minter
    clock: SystemClock = field(default_factory=SystemClock)

    def seal(self, tenant: str = "default", left_s: float = 20.0) -> Envelope:
        identity = Identity(tenant, "tester")
        return seal(
            Call("request", identity, self.clock.monotonic_s() + left_s), self.minter.mint(identity), self.clock
        )

    async def put(self, documents: list[pb.DocumentInput], left_s: float = 60.0) -> list[pb.Document]:
        request = pb.UpsertDocumentsRequest(
            envelope=self.seal(left_s=left_s), collection="handbook", documents=documents
        )
        answer = await self.channel.unary(f"/{SERVICE}/UpsertDocuments", request, pb.UpsertDocumentsResponse, left_s)
        return list(answer.documents)

    async def search(self, query: str, left_s: float = 5.0) -> pb.SearchResult:
        """The result of one item; its error is raised."""
        item = pb.SearchItem(envelope=self.seal(left_s=left_s), collection="handbook", query=query)
        request = pb.SearchRequest(items=[item])
        answer = await self.channel.unary(f"/{SERVICE}/Search", request, pb.SearchResponse, left_s + 1.0)
        error = from_status(answer.results[0].status)
        if error is not None:
            raise error
        return answer.results[0]

    async def names(self) -> list[str]:
        request = pb.ListCollectionsRequest(envelope=self.seal())
        answer = await self.channel.unary(f"/{SERVICE}/ListCollections", request, pb.ListCollectionsResponse, 5.0)
        return [collection.name for collection in answer.collections]

    async def ask(self, question: str) -> pb.Answer:
        request = pb.AskRequest(envelope=self.seal(), collection="handbook", question=question)
        events = [event async for event in self.channel.stream(f"/{SERVICE}/Ask", request, pb.AskEvent, 20.0)]
        return events[-1].answer

    async def until(self, wanted: bool, degraded: bool = False, within_s: float = 10.0) -> float:
        """Seconds until searches are answered (as `degraded` says), or are refused."""
        started = time.monotonic()
        while time.monotonic() - started < within_s:
            try:
                if wanted and (await self.search("supervisor")).degraded is degraded:
                    return time.monotonic() - started
            except MizzenError:
                if not wanted:
                    return time.monotonic() - started
            await asyncio.sleep(0.05)
        raise AssertionError("it never came to that")


def settings_in(state: Path, postgres: str, triton: str) -> Settings:
    write_keys(state / "keys")
    (state / "definitions").mkdir()
    (state / "definitions" / "handbook.yaml").write_text((ROOT / "examples/flights/collection.yaml").read_text())
    return Settings(
        state=state,
        port=0,
        ops_port=0,
        drain_s=0.0,
        postgres_url=postgres,
        inference_addresses=f"static:{triton}",
        store_connect_s=0.5,
        store_timeout_s=2.0,
        embed_timeout_s=8.0,
    )


@pytest.fixture
async def house(postgres: str, triton: RunningTriton, tmp_path: Path) -> AsyncIterator[House]:
    lifecycle = Lifecycle(make_runtime(settings_in(tmp_path, postgres, triton.grpc_address)), build)
    await lifecycle.start()
    async with client_of(lifecycle, tmp_path) as house:
        yield house
    await lifecycle.stop()


@asynccontextmanager
async def client_of(lifecycle: Lifecycle[Settings], state: Path) -> AsyncIterator[House]:
    clock = SystemClock()
    callers = CallerTokens(state / "keys" / "service.secret", "gateway", clock)
    channel = Channel("retrieval", StaticAddresses(f"127.0.0.1:{lifecycle.port}"), callers=callers)
    yield House(lifecycle, channel, Minter(state / "keys" / "identity.key", clock))
    await channel.close()


async def test_it_waits_for_a_store_that_comes_later_and_needs_no_triton(
    postgres: str, postgres_server: RunningPostgres, tmp_path: Path
) -> None:
    postgres_server.kill()
    lifecycle = Lifecycle(make_runtime(settings_in(tmp_path, postgres, "127.0.0.1:9")), build)
    starting = asyncio.create_task(lifecycle.start())
    try:
        assert not (await asyncio.wait([starting], timeout=1.5))[0]
    finally:
        postgres_server.start()
    async with asyncio.timeout(10.0):
        await starting
    await lifecycle.stop()


async def test_until_the_collections_are_read_it_is_unavailable_and_not_unknown(
    postgres: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    may_read, read = threading.Event(), source.read_directory

    def slow(*args: Any) -> Any:
        may_read.wait(30.0)
        return read(*args)

    monkeypatch.setattr(source, "read_directory", slow)
    lifecycle = Lifecycle(make_runtime(settings_in(tmp_path, postgres, "127.0.0.1:9")), build)
    starting = asyncio.create_task(lifecycle.start())
    try:
        async with asyncio.timeout(10.0):
            while not lifecycle.port:
                await asyncio.sleep(0.01)
        async with client_of(lifecycle, tmp_path) as house:
            for attempt in (house.search("supervisor"), house.put([pb.DocumentInput(id="a", text="b")]), house.names()):
                with pytest.raises(Unavailable) as caught:
                    await attempt
                assert (caught.value.reason, caught.value.retry_after_s) == ("COLLECTIONS_NOT_READ", 1.0)
            may_read.set()
            await starting
            assert await house.names() == ["handbook"]
            assert not (await house.search("supervisor")).passages
    finally:
        may_read.set()
        await starting
        await lifecycle.stop()


def handbook() -> Iterator[pb.DocumentInput]:
    for pattern in PATTERNS:
        for path in sorted(ROOT.glob(pattern)):
            name = str(path.relative_to(ROOT))
            text = path.read_text()
            if text.strip():
                yield pb.DocumentInput(id=name, source=name, text=text, media_type="text/markdown")


async def test_questions_about_the_project_are_answered_from_the_right_document(house: House) -> None:
    documents = list(handbook())
    stored = await house.put(documents, left_s=240)
    assert len(stored) == len(documents)
    right: list[str] = []
    for question, sources in QUESTIONS.items():
        answer = await house.ask(question)
        cited = {citation.source for citation in answer.citations}
        if answer.answerable and cited & set(sources):
            right.append(question)
        for citation in answer.citations:
            lines = (ROOT / citation.source).read_text().split("\n")[citation.line_start - 1 : citation.line_end]
            assert citation.quote.split()[0].strip("|") in " ".join(lines)
    assert len(right) >= 8, f"not answered: {QUESTIONS.keys() - set(right)}"
    for question in FOREIGN:
        answer = await house.ask(question)
        assert not answer.answerable, answer.text
        assert not answer.citations


async def test_engines_that_die_degrade_answers_and_come_back(
    house: House, postgres_server: RunningPostgres, triton: RunningTriton
) -> None:
    document = pb.DocumentInput(id="a", text="The supervisor restarts a child with a backoff.", source="a.md")
    await house.put([document])
    await house.until(True)
    postgres_server.kill()
    try:
        started = time.monotonic()
        with pytest.raises(Unavailable) as caught:
            await house.search("supervisor")
        assert time.monotonic() - started < 2.0
        assert caught.value.retry_after_s
    finally:
        postgres_server.start()
    assert await house.until(True) < 10.0
    triton.kill()
    try:
        await house.until(True, degraded=True)
        degraded = await house.search("supervisor")
        assert degraded.passages[0].document_id == "a"
        assert (await house.ask("What restarts a child?")).degraded
        with pytest.raises(Unavailable) as caught:
            await house.put([pb.DocumentInput(id="b", text="Other text.")], left_s=5.0)
        assert caught.value.reason == "EMBEDDER_UNAVAILABLE"
    finally:
        triton.start()
    assert await house.until(True) < 10.0
    assert (await house.put([document]))[0].chunks == 1


async def test_a_stalled_triton_degrades_within_the_deadline(house: House, triton: RunningTriton) -> None:
    await house.put([pb.DocumentInput(id="a", text="The supervisor restarts a child with a backoff.")])
    triton.pause()
    try:
        started = time.monotonic()
        result = await house.search("supervisor", left_s=1.0)
        assert time.monotonic() - started < 1.5
        assert result.degraded
        assert result.passages[0].document_id == "a"
    finally:
        triton.resume()
    assert await house.until(True) < 10.0


async def test_a_definition_added_later_is_served(house: House, tmp_path: Path) -> None:
    text = (ROOT / "examples/flights/collection.yaml").read_text().replace("name: handbook", "name: notes")
    (tmp_path / "definitions" / "notes.yaml").write_text(text)
    deadline = time.monotonic() + 10.0
    while await house.names() != ["handbook", "notes"]:
        assert time.monotonic() < deadline
        await asyncio.sleep(0.05)
