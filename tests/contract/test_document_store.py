"""What every document store does, on the fake and on PostgreSQL alike."""

from collections import Counter
from collections.abc import AsyncIterator

import numpy as np
import pytest

from chassis.errors import DeadlineExceeded
from chassis.postgres.migrations import migrate
from chassis.postgres.pool import PostgresPool
from retrieval.adapters.postgres_documents import PostgresDocuments
from retrieval.adapters.postgres_schema import DOCUMENTS
from retrieval.domain.fusion import ranking
from retrieval.domain.model import (
    Chunk,
    CollectionCounts,
    DocumentInput,
    EmbeddingModel,
    Found,
    IndexedChunk,
    IndexedDocument,
    Probe,
    Scope,
)
from retrieval.domain.ports import DocumentStore
from tests.fakes.retrieval import FakeEmbedder, MemoryDocuments

TIMEOUT_S = 10.0
TENANT, COLLECTION = "acme", "handbook"


@pytest.fixture(params=["memory", "postgres"])
async def store(request: pytest.FixtureRequest) -> AsyncIterator[DocumentStore]:
    if request.param == "memory":
        yield MemoryDocuments()
        return
    pool = PostgresPool(DOCUMENTS, request.getfixturevalue("postgres"))
    await pool.open()
    await migrate(pool)
    yield PostgresDocuments(pool)
    await pool.close()


async def indexed(name: str, *texts: str, **metadata: str) -> IndexedDocument:
    vectors = await FakeEmbedder().embed(EmbeddingModel(), texts, 1.0)
    chunks = [
        IndexedChunk(Chunk(i, "Heading", text, i * 10 + 1, i * 10 + 3), vectors[i], Counter(text.split()))
        for i, text in enumerate(texts)
    ]
    document = DocumentInput(name, "\n".join(texts), "text/plain", name.title(), f"docs/{name}.md", metadata)
    return IndexedDocument(document, f"digest of {texts}", f"fingerprint of {texts}", tuple(chunks))


async def find(
    store: DocumentStore, query: str, *, tenant: str = TENANT, dense: bool = True, words: bool = True, **filters: str
) -> Found:
    vector = (await FakeEmbedder().embed(EmbeddingModel(), [query], 1.0))[0] if dense else None
    probe = Probe(vector, tuple(query.split()) if words else (), 50)
    return await store.search(Scope(tenant, COLLECTION, filters), probe, ranking(10, 0.5), TIMEOUT_S)


async def put(store: DocumentStore, *documents: IndexedDocument, tenant: str = TENANT, now_us: int = 1) -> None:
    await store.replace(tenant, COLLECTION, documents, now_us, TIMEOUT_S)


async def test_an_empty_store_finds_nothing(store: DocumentStore) -> None:
    assert (await find(store, "anything at all")).passages == ()
    assert await store.find(TENANT, COLLECTION, ["x"], TIMEOUT_S) == {}
    assert await store.page(TENANT, COLLECTION, "", 10, TIMEOUT_S) == []
    assert await store.counts(TENANT, TIMEOUT_S) == {}
    assert not await store.delete(TENANT, COLLECTION, "x", TIMEOUT_S)


async def test_a_stored_document_is_found_whole(store: DocumentStore) -> None:
    await put(store, await indexed("drain", "how to drain a node", "restart the pod", team="ops"), now_us=7)
    document = (await store.find(TENANT, COLLECTION, ["drain", "other"], TIMEOUT_S))["drain"]
    assert (document.id, document.collection, document.chunks, document.updated_at_us) == ("drain", COLLECTION, 2, 7)
    assert (document.title, document.source, document.metadata) == ("Drain", "docs/drain.md", {"team": "ops"})
    best = (await find(store, "drain node")).passages[0]
    assert (best.document_id, best.chunk, best.text, best.heading) == ("drain", 0, "how to drain a node", "Heading")
    assert (best.line_start, best.line_end, best.source, best.metadata) == (1, 3, "docs/drain.md", {"team": "ops"})
    assert 0 <= best.score <= 1


@pytest.mark.parametrize(("dense", "words"), [(True, True), (True, False), (False, True)])
async def test_the_best_chunk_comes_first_in_every_mode(store: DocumentStore, dense: bool, words: bool) -> None:
    await put(store, *[await indexed(f"noise{i}", f"filler number {i} of many words") for i in range(20)])
    await put(store, await indexed("wanted", "triton serves the embedding model"))
    found = await find(store, "embedding model triton", dense=dense, words=words)
    assert found.passages[0].document_id == "wanted"
    assert list(found.passages) == sorted(found.passages, key=lambda p: -p.score)
    if words and not dense:
        assert [p.document_id for p in found.passages] == ["wanted"]


async def test_rarity_is_known_for_the_words_there_are(store: DocumentStore) -> None:
    await put(store, *[await indexed(f"d{i}", f"common text {'rare' if i == 0 else ''}") for i in range(10)])
    rarity = (await find(store, "common rare unknown")).rarity
    assert set(rarity) == {"common", "rare"}
    assert rarity["rare"] > rarity["common"] > 0


async def test_scores_of_both_retrievers_are_full(store: DocumentStore) -> None:
    await put(store, await indexed("a", "alpha beta"), await indexed("b", "gamma delta"))
    found = {p.document_id: p for p in (await find(store, "alpha")).passages}
    assert found["a"].lexical_score > 0
    assert found["b"].lexical_score == 0
    assert found["a"].dense_score == pytest.approx(0.707, abs=0.01)
    assert found["b"].dense_score == pytest.approx(0, abs=0.1)


async def test_filters_must_all_be_carried(store: DocumentStore) -> None:
    await put(
        store, await indexed("a", "same text", team="ops", lang="en"), await indexed("b", "same text", team="ops")
    )
    assert {p.document_id for p in (await find(store, "same", team="ops")).passages} == {"a", "b"}
    assert {p.document_id for p in (await find(store, "same", team="ops", lang="en")).passages} == {"a"}
    assert (await find(store, "same", team="other")).passages == ()


async def test_replacing_leaves_nothing_of_the_old_one(store: DocumentStore) -> None:
    await put(store, await indexed("a", "old words", "more old words", team="x"))
    await put(store, await indexed("a", "new text", team="y"), now_us=2)
    assert [p.text for p in (await find(store, "old words new text")).passages] == ["new text"]
    assert (await find(store, "old", dense=False)).passages == ()
    assert (await find(store, "text", team="x")).passages == ()
    assert await store.counts(TENANT, TIMEOUT_S) == {COLLECTION: CollectionCounts(1, 1)}


async def test_relabelling_keeps_chunks(store: DocumentStore) -> None:
    await put(store, await indexed("a", "the text", team="x"))
    fresh = DocumentInput("a", "the text", "text/plain", "A", "docs/moved.md", {"team": "y"})
    missing = DocumentInput("gone", "", "text/plain", "", "", {"team": "y"})
    await store.relabel(TENANT, COLLECTION, [fresh, missing], 9, TIMEOUT_S)
    passage = (await find(store, "text", team="y")).passages[0]
    assert (passage.source, passage.metadata) == ("docs/moved.md", {"team": "y"})
    assert (await find(store, "text", team="x")).passages == ()
    assert list(await store.find(TENANT, COLLECTION, ["a", "gone"], TIMEOUT_S)) == ["a"]


async def test_deleting_takes_everything_along(store: DocumentStore) -> None:
    await put(store, await indexed("a", "some words"), await indexed("b", "other words"))
    assert await store.delete(TENANT, COLLECTION, "a", TIMEOUT_S)
    assert not await store.delete(TENANT, COLLECTION, "a", TIMEOUT_S)
    found = await find(store, "some words")
    assert [p.document_id for p in found.passages] == ["b"]
    assert set(found.rarity) == {"words"}
    assert await store.counts(TENANT, TIMEOUT_S) == {COLLECTION: CollectionCounts(1, 1)}


async def test_pages_follow_the_bytes_of_the_ids(store: DocumentStore) -> None:
    names = ["B", "a", "b", "a/1", "ä", "日本", "_"]
    await put(store, *[await indexed(name, "text") for name in names])
    expected = sorted(names, key=str.encode)
    assert [d.id for d in await store.page(TENANT, COLLECTION, "", 3, TIMEOUT_S)] == expected[:3]
    assert [d.id for d in await store.page(TENANT, COLLECTION, expected[2], 10, TIMEOUT_S)] == expected[3:]


async def test_tenants_never_meet(store: DocumentStore) -> None:
    await put(store, await indexed("a", "secret of acme", team="x"))
    await put(store, await indexed("a", "notes of bolt", team="x"), tenant="bolt")
    for query in ("secret of acme", "a", "notes"):
        assert [p.text for p in (await find(store, query, tenant="bolt", team="x")).passages] == ["notes of bolt"]
    assert "secret" not in (await find(store, "secret", tenant="bolt")).rarity
    assert await store.delete("bolt", COLLECTION, "a", TIMEOUT_S)
    assert (await find(store, "secret")).passages[0].text == "secret of acme"
    assert await store.counts("bolt", TIMEOUT_S) == {}
    assert await store.find("bolt", COLLECTION, ["a"], TIMEOUT_S) == {}


async def test_an_expired_deadline_does_nothing(store: DocumentStore) -> None:
    with pytest.raises(DeadlineExceeded):
        await store.replace(TENANT, COLLECTION, [await indexed("a", "text")], 1, 0.0)
    with pytest.raises(DeadlineExceeded):
        await store.find(TENANT, COLLECTION, ["a"], -1.0)
    assert await store.find(TENANT, COLLECTION, ["a"], TIMEOUT_S) == {}


async def test_vectors_keep_their_precision(store: DocumentStore) -> None:
    item = await indexed("a", "one two three")
    await put(store, item)
    vector = item.chunks[0].vector
    probe = Probe(vector, (), 5)
    found = await store.search(Scope(TENANT, COLLECTION), probe, ranking(1, 0.5), TIMEOUT_S)
    assert found.passages[0].dense_score == pytest.approx(float(np.dot(vector, vector)), abs=1e-6)
