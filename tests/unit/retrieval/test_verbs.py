"""Search, ingest, listings and ask against fakes."""

import unicodedata
from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from chassis.errors import DeadlineExceeded, InvalidArgument, MizzenError, NotFound, Unavailable
from retrieval.adapters.snowball_analyzer import SnowballAnalyzer
from retrieval.adapters.splitter_chunker import SplitterChunker
from retrieval.domain.ask import EXTRACTIVE, GENERATOR_DOWN, Asking
from retrieval.domain.documents import Listing
from retrieval.domain.extract import NOT_FOUND, Thresholds
from retrieval.domain.ingest import MAX_DOCUMENTS, Ingesting
from retrieval.domain.model import (
    Answer,
    Collection,
    CollectionCounts,
    DocumentInput,
    Found,
    IndexedDocument,
    Mode,
    Passage,
    Probe,
    Scope,
    Search,
)
from retrieval.domain.ports import Generator, Rank
from retrieval.domain.search import EMBEDDER_DOWN, Searching
from tests.fakes.clock import FakeClock
from tests.fakes.retrieval import FakeEmbedder, FixedCollections, MemoryDocuments, ScriptedGenerator

HANDBOOK = Collection("handbook", description="Docs", max_characters=200, overlap_characters=0)
PRIVATE = Collection("private", tenants=frozenset({"bolt"}))
DOWN = Unavailable("the embedder is not available")
DRAIN = DocumentInput("drain", "# Drain\n\nA node is drained with the command mizzen drain before maintenance.")
PORTS = DocumentInput("ports", "# Ports\n\nTriton listens on port 9000 for gRPC.\n\nValkey listens on port 6391.")


@dataclass
class House:
    """Everything around fakes."""

    clock: FakeClock = field(default_factory=FakeClock)
    embedder: FakeEmbedder = field(default_factory=FakeEmbedder)
    store: MemoryDocuments = field(default_factory=MemoryDocuments)
    generator: Generator | None = None

    def __post_init__(self) -> None:
        collections, analyzer = FixedCollections(HANDBOOK, PRIVATE), SnowballAnalyzer()
        self.searching = Searching(self.store, self.embedder, analyzer, collections, self.clock)
        self.ingesting = Ingesting(self.store, self.embedder, SplitterChunker(), analyzer, collections, self.clock)
        self.listing = Listing(self.store, collections, self.clock)
        self.asking = Asking(
            self.searching, self.embedder, analyzer, collections, self.clock, self.generator, Thresholds(evidence=0.3)
        )

    @property
    def deadline_s(self) -> float:
        return self.clock.monotonic_s() + 5.0

    async def put(self, *documents: DocumentInput) -> None:
        await self.ingesting.upsert("acme", "handbook", documents, self.deadline_s)

    def ask_for(self, query: str, **fields: object) -> Search:
        return replace(Search("acme", "handbook", query, self.deadline_s), **fields)  # type: ignore[arg-type]

    async def answer(self, question: str, **fields: object) -> tuple[list[str], Answer]:
        events = [event async for event in self.asking.ask(self.ask_for(question, **fields))]
        assert isinstance(events[0], tuple)
        assert isinstance(events[-1], Answer)
        return [event for event in events[1:-1] if isinstance(event, str)], events[-1]


@pytest.fixture
async def house() -> AsyncIterator[House]:
    house = House()
    await house.put(DRAIN, PORTS)
    yield house


@given(st.text(min_size=1, max_size=12))
@example("a\r\nb")
@example("\x7f")
@example("\x85")
@example("\u2028")
@example("docs/a b?c#d%2F")
async def test_an_id_with_control_characters_is_refused_on_the_way_in(document_id: str) -> None:
    house = House()
    controls = [each for each in document_id if unicodedata.category(each) in ("Cc", "Zl", "Zp")]
    if not controls:
        await house.put(replace(DRAIN, id=document_id))
        assert (await house.listing.document("acme", "handbook", document_id, house.deadline_s)).id == document_id
        return
    with pytest.raises(InvalidArgument) as caught:
        await house.put(PORTS, replace(DRAIN, id=document_id))
    assert (caught.value.reason, caught.value.field) == ("DOCUMENT_ID_INVALID", "documents[1].id")
    assert f"U+{ord(controls[0]):04X}" in caught.value.message
    assert await house.listing.page("acme", "handbook", 10, "", house.deadline_s) == ([], "")


async def test_a_document_stored_under_such_an_id_can_be_read_and_deleted(house: House) -> None:
    name = "a\r\nb"
    await house.store.replace("acme", "handbook", [IndexedDocument(replace(DRAIN, id=name), "", "", ())], 1, 1.0)
    assert (await house.listing.document("acme", "handbook", name, house.deadline_s)).id == name
    assert await house.ingesting.delete("acme", "handbook", name, house.deadline_s)
    with pytest.raises(NotFound):
        await house.listing.document("acme", "handbook", name, house.deadline_s)


async def test_there_are_as_many_candidates_as_passages_are_wanted(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int] = []
    search = house.store.search

    async def watched(scope: Scope, probe: Probe, rank: Rank, timeout_s: float) -> Found:
        asked.append(probe.candidates)
        return await search(scope, probe, rank, timeout_s)

    monkeypatch.setattr(house.store, "search", watched)
    for top_k in (1, HANDBOOK.candidates, 100):
        await house.searching.search(house.ask_for("node", top_k=top_k))
    assert asked == [HANDBOOK.candidates, HANDBOOK.candidates, max(HANDBOOK.candidates, 100)]
    few = Searching(
        house.store, house.embedder, SnowballAnalyzer(), FixedCollections(replace(HANDBOOK, candidates=5)), house.clock
    )
    await few.search(house.ask_for("node", top_k=20))
    assert asked[-1] == 20


async def test_search_finds_by_words_and_meaning(house: House) -> None:
    outcome = await house.searching.search(house.ask_for("drain a node"))
    assert outcome.passages[0].document_id == "drain"
    assert outcome.degraded_reason == ""
    assert set(outcome.timings_ms) == {"embed", "search"}


@pytest.mark.parametrize("failure", [DOWN, DeadlineExceeded("late")])
@pytest.mark.parametrize("mode", [None, Mode.HYBRID, Mode.DENSE])
async def test_without_the_embedder_words_are_matched_and_it_says_so(
    house: House, failure: MizzenError, mode: Mode | None
) -> None:
    house.embedder.failure = failure
    outcome = await house.searching.search(house.ask_for("drained", mode=mode))
    assert [p.document_id for p in outcome.passages] == ["drain"]
    assert outcome.degraded_reason == EMBEDDER_DOWN


async def test_a_lexical_search_needs_no_embedder(house: House) -> None:
    house.embedder.failure = DOWN
    outcome = await house.searching.search(house.ask_for("drained", mode=Mode.LEXICAL))
    assert [p.document_id for p in outcome.passages] == ["drain"]
    assert outcome.degraded_reason == ""


@pytest.mark.parametrize(
    ("fields", "place"),
    [
        ({"query": "  "}, "query"),
        ({"query": "x" * 4097}, "query"),
        ({"query": "a\0b"}, "query"),
        ({"top_k": 0}, "top_k"),
        ({"top_k": 101}, "top_k"),
        ({"filters": {str(i): "x" for i in range(17)}}, "filters"),
        ({"filters": {"": "x"}}, "filters['']"),
        ({"filters": {"k": "x" * 513}}, "filters['k']"),
        ({"filters": {"k": "\0"}}, "filters['k']"),
    ],
)
async def test_a_wrong_search_names_its_field(house: House, fields: dict[str, object], place: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        await house.searching.search(replace(house.ask_for("drain"), **fields))  # type: ignore[arg-type]
    assert caught.value.field == place


async def test_a_collection_of_other_tenants_does_not_exist(house: House) -> None:
    for name in ("private", "nothing"):
        with pytest.raises(NotFound):
            await house.searching.search(house.ask_for("x", collection=name))
    listed = await house.listing.collections("acme", house.deadline_s)
    assert [(c.name, counts) for c, counts in listed] == [("handbook", CollectionCounts(2, 2))]
    assert [c.name for c, _ in await house.listing.collections("bolt", house.deadline_s)] == ["handbook", "private"]


async def test_an_expired_search_asks_nobody(house: House) -> None:
    before = len(house.embedder.embedded)
    with pytest.raises(DeadlineExceeded):
        await house.searching.search(house.ask_for("drain", deadline_s=house.clock.monotonic_s()))
    assert len(house.embedder.embedded) == before


async def test_unchanged_text_is_not_embedded_again(house: House) -> None:
    before = len(house.embedder.embedded)
    house.clock.advance(10)
    same = await house.ingesting.upsert("acme", "handbook", [DRAIN, PORTS], house.deadline_s)
    assert len(house.embedder.embedded) == before
    assert [document.updated_at_us for document in same] == [house.clock.now_us() - 10_000_000] * 2
    moved = replace(DRAIN, source="docs/moved.md", metadata={"team": "ops"})
    (stored,) = await house.ingesting.upsert("acme", "handbook", [moved], house.deadline_s)
    assert len(house.embedder.embedded) == before
    assert (stored.source, stored.metadata, stored.updated_at_us) == (
        "docs/moved.md",
        {"team": "ops"},
        house.clock.now_us(),
    )
    outcome = await house.searching.search(house.ask_for("drain", filters={"team": "ops"}))
    assert outcome.passages[0].source == "docs/moved.md"
    await house.put(replace(DRAIN, title="Draining"))
    assert len(house.embedder.embedded) == before + 2  # the search's question, and the chunk under its new title


async def test_without_the_embedder_nothing_is_stored(house: House) -> None:
    house.embedder.failure = DOWN
    with pytest.raises(Unavailable) as caught:
        await house.put(replace(DRAIN, text="new text"), DocumentInput("fresh", "fresh text"))
    assert caught.value.reason == "EMBEDDER_UNAVAILABLE"
    assert caught.value.retry_after_s
    documents, _ = await house.listing.page("acme", "handbook", 10, "", house.deadline_s)
    assert [document.id for document in documents] == ["drain", "ports"]
    house.embedder.failure = None
    assert (await house.searching.search(house.ask_for("drained"))).passages[0].document_id == "drain"


@pytest.mark.parametrize(
    ("documents", "place"),
    [
        ([], "documents"),
        ([DocumentInput(str(i), "x") for i in range(MAX_DOCUMENTS + 1)], "documents"),
        ([DRAIN, DRAIN], "documents[1].id"),
        ([DRAIN, DocumentInput("", "x")], "documents[1].id"),
        ([DocumentInput("x" * 257, "x")], "documents[0].id"),
        ([DocumentInput("a\0", "x")], "documents[0].id"),
        ([DocumentInput("a", " \n")], "documents[0].text"),
        ([DocumentInput("a", "x\0")], "documents[0].text"),
        ([DocumentInput("a", "x", "application/pdf")], "documents[0].media_type"),
        ([DocumentInput("a", "x", title="x" * 1025)], "documents[0].title"),
        ([DocumentInput("a", "x", metadata={"k" * 129: "v"})], "documents[0].metadata"),
    ],
)
async def test_a_wrong_document_is_named_and_nothing_stored(
    house: House, documents: list[DocumentInput], place: str
) -> None:
    with pytest.raises(InvalidArgument) as caught:
        await house.put(*documents)
    assert (caught.value.field or "").startswith(place)
    assert len((await house.listing.page("acme", "handbook", 10, "", house.deadline_s))[0]) == 2


async def test_documents_are_listed_in_pages(house: House) -> None:
    await house.put(*[DocumentInput(f"d{i}", f"text {i}") for i in range(5)])
    names: list[str] = []
    token = ""
    for _ in range(4):
        documents, token = await house.listing.page("acme", "handbook", 2, token, house.deadline_s)
        names += [document.id for document in documents]
    assert names == ["d0", "d1", "d2", "d3", "d4", "drain", "ports"]
    assert token == ""
    whole, token = await house.listing.page("acme", "handbook", 7, "", house.deadline_s)
    assert (len(whole), token) == (7, ""), "a full last page is the last one"
    for wrong in ("?", "AA==", "é"):
        with pytest.raises(InvalidArgument) as caught:
            await house.listing.page("acme", "handbook", 2, wrong, house.deadline_s)
        assert caught.value.field == "page_token"


async def test_a_document_is_read_and_deleted(house: House) -> None:
    found = await house.listing.document("acme", "handbook", "drain", house.deadline_s)
    assert len(found.digest) == 64
    assert await house.ingesting.delete("acme", "handbook", "drain", house.deadline_s)
    with pytest.raises(NotFound):
        await house.listing.document("acme", "handbook", "drain", house.deadline_s)


async def test_an_answer_quotes_with_file_and_line(house: House) -> None:
    pieces, answer = await house.answer("Which port does Triton listen on?")
    assert answer.answerable
    assert answer.generator == EXTRACTIVE
    assert "Triton listens on port 9000 for gRPC. [1]" in answer.text
    assert (answer.citations[0].document_id, answer.citations[0].line_start) == ("ports", 3)
    assert answer.citations[0].quote == "Triton listens on port 9000 for gRPC."
    assert "".join(pieces) == answer.text
    assert set(answer.timings_ms) == {"embed", "search", "extract"}


async def test_a_foreign_question_is_not_in_the_documents(house: House) -> None:
    pieces, answer = await house.answer("Who won the football world cup?")
    assert (answer.answerable, answer.citations, pieces) == (False, (), [NOT_FOUND])


async def test_an_empty_collection_answers_nothing() -> None:
    _, answer = await House().answer("Anything?")
    assert (answer.answerable, answer.text) == (False, NOT_FOUND)


async def test_without_the_embedder_an_answer_still_quotes(house: House) -> None:
    house.embedder.failure = DOWN
    _, answer = await house.answer("Which port does Triton listen on?")
    assert answer.answerable
    assert answer.degraded_reason == EMBEDDER_DOWN
    assert answer.citations[0].document_id == "ports"


@pytest.mark.parametrize("top_k", [0, 21])
async def test_an_answer_is_drawn_from_at_most_twenty_passages(house: House, top_k: int) -> None:
    with pytest.raises(InvalidArgument):
        await house.answer("Which port?", top_k=top_k)


async def with_generator(generator: ScriptedGenerator) -> House:
    house = House(generator=generator)
    await house.put(DRAIN, PORTS)
    return house


async def test_a_language_model_writes_and_its_marks_are_the_citations() -> None:
    house = await with_generator(ScriptedGenerator("It is ", "9000 [1], not [9]."))
    pieces, answer = await house.answer("Which port does Triton listen on?")
    assert pieces == ["It is ", "9000 [1], not [9]."]
    assert (answer.text, answer.generator, answer.degraded_reason) == ("It is 9000 [1], not [9].", "scripted", "")
    assert [(c.passage, c.document_id) for c in answer.citations] == [(0, "ports")]


async def test_a_language_model_without_marks_gets_the_quotes_citations() -> None:
    house = await with_generator(ScriptedGenerator("It is 9000."))
    _, answer = await house.answer("Which port does Triton listen on?")
    assert answer.citations[0].document_id == "ports"


async def test_a_language_model_may_say_that_it_is_not_there() -> None:
    house = await with_generator(ScriptedGenerator("This is not in the documents."))
    _, answer = await house.answer("Which port does Triton listen on?")
    assert (answer.answerable, answer.text, answer.citations) == (False, NOT_FOUND, ())


@pytest.mark.parametrize("said", [(), ("It is",)])
async def test_a_failing_language_model_is_replaced_by_quotes(said: tuple[str, ...]) -> None:
    house = await with_generator(ScriptedGenerator(*said, failure=Unavailable("down")))
    pieces, answer = await house.answer("Which port does Triton listen on?")
    assert pieces == list(said) or pieces == [answer.text]
    assert (answer.generator, answer.degraded_reason) == (EXTRACTIVE, GENERATOR_DOWN)
    assert "9000" in answer.text


async def test_a_foreign_question_never_reaches_the_language_model() -> None:
    house = await with_generator(ScriptedGenerator("nonsense"))
    pieces, answer = await house.answer("Who won the football world cup?")
    assert (pieces, answer.generator) == ([NOT_FOUND], EXTRACTIVE)


def test_passages_are_plain_values() -> None:
    with pytest.raises(AttributeError):
        Passage("d", 0, "", "", 0, 0, 0, "", "", 1, 1).score = 1.0  # type: ignore[misc]
