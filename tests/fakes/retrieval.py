"""Retrieval's ports in memory. They pass the contract suites of the real adapters."""

import hashlib
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace

import numpy as np

from chassis.errors import DeadlineExceeded, MizzenError
from retrieval.domain import lexical
from retrieval.domain.model import (
    Collection,
    CollectionCounts,
    Document,
    DocumentInput,
    EmbeddingModel,
    Found,
    IndexedChunk,
    IndexedDocument,
    Passage,
    Probe,
    Ranked,
    Scope,
    Scores,
    Vector,
)
from retrieval.domain.ports import Rank


class FakeEmbedder:
    """Bags of words as unit vectors: texts that share words are near each other. `failure` is raised when set."""

    def __init__(self) -> None:
        self.failure: MizzenError | None = None
        self.embedded: list[str] = []

    async def embed(self, model: EmbeddingModel, texts: Sequence[str], timeout_s: float) -> Vector:
        if timeout_s <= 0:
            raise DeadlineExceeded("the deadline is over")
        if self.failure is not None:
            raise self.failure
        self.embedded.extend(texts)
        return np.array([_bag(text, model.dimensions) for text in texts], dtype=np.float32).reshape(
            -1, model.dimensions
        )


def _bag(text: str, dimensions: int) -> Vector:
    vector = np.zeros(dimensions, dtype=np.float32)
    vector[0] = 0.01
    for word in text.lower().split():
        vector[int(hashlib.sha256(word.strip(".,?!:#").encode()).hexdigest(), 16) % dimensions] += 1
    return np.asarray(vector / np.linalg.norm(vector), dtype=np.float32)


class FixedCollections:
    """Collections that never change."""

    def __init__(self, *collections: Collection) -> None:
        self._by_name = {collection.name: collection for collection in collections}

    def find(self, name: str) -> Collection | None:
        return self._by_name.get(name)

    def names(self) -> Sequence[str]:
        return sorted(self._by_name)


class ScriptedGenerator:
    """Says its pieces, then raises `failure` when there is one."""

    name = "scripted"

    def __init__(self, *pieces: str, failure: MizzenError | None = None) -> None:
        self._pieces = pieces
        self._failure = failure

    async def generate(self, question: str, passages: Sequence[Passage], timeout_s: float) -> AsyncIterator[str]:
        for piece in self._pieces:
            yield piece
        if self._failure is not None:
            raise self._failure


class MemoryDocuments:
    """The document store as dictionaries, scored like the real one."""

    def __init__(self) -> None:
        self._stored: dict[tuple[str, str], dict[str, tuple[IndexedDocument, int]]] = {}

    async def replace(
        self, tenant: str, collection: str, documents: Sequence[IndexedDocument], now_us: int, timeout_s: float
    ) -> None:
        _in_time(timeout_s)
        held = self._stored.setdefault((tenant, collection), {})
        held.update({item.document.id: (item, now_us) for item in documents})

    async def relabel(
        self, tenant: str, collection: str, documents: Sequence[DocumentInput], now_us: int, timeout_s: float
    ) -> None:
        _in_time(timeout_s)
        held = self._stored.get((tenant, collection), {})
        for document in documents:
            if document.id in held:
                item = held[document.id][0]
                fresh = replace(item.document, title=document.title, source=document.source, metadata=document.metadata)
                held[document.id] = (replace(item, document=fresh), now_us)

    async def find(self, tenant: str, collection: str, ids: Sequence[str], timeout_s: float) -> dict[str, Document]:
        _in_time(timeout_s)
        held = self._stored.get((tenant, collection), {})
        return {name: _document(collection, *held[name]) for name in ids if name in held}

    async def page(self, tenant: str, collection: str, after: str, limit: int, timeout_s: float) -> Sequence[Document]:
        _in_time(timeout_s)
        held = self._stored.get((tenant, collection), {})
        names = sorted((name for name in held if name.encode() > after.encode()), key=str.encode)
        return [_document(collection, *held[name]) for name in names[:limit]]

    async def delete(self, tenant: str, collection: str, document: str, timeout_s: float) -> bool:
        _in_time(timeout_s)
        return self._stored.get((tenant, collection), {}).pop(document, None) is not None

    async def counts(self, tenant: str, timeout_s: float) -> dict[str, CollectionCounts]:
        _in_time(timeout_s)
        return {
            collection: CollectionCounts(len(held), sum(len(item.chunks) for item, _ in held.values()))
            for (owner, collection), held in self._stored.items()
            if owner == tenant and held
        }

    async def search(self, scope: Scope, probe: Probe, rank: Rank, timeout_s: float) -> Found:
        _in_time(timeout_s)
        held = [item for item, _ in self._stored.get((scope.tenant, scope.collection), {}).values()]
        everything = [(item, chunk) for item in held for chunk in item.chunks]
        frequencies = {term: sum(term in c.terms for _, c in everything) for term in set(probe.terms)}
        rarity = {term: lexical.rarity(len(everything), n) for term, n in frequencies.items() if n}
        average = sum(sum(c.terms.values()) for _, c in everything) / max(len(everything), 1)
        wanted = scope.filters.items()
        seen = [(item, c) for item, c in everything if wanted <= dict(item.document.metadata).items()]
        dense = np.array([0.0 if probe.vector is None else float(c.vector @ probe.vector) for _, c in seen])
        bm25 = np.array(
            [
                sum(
                    idf * lexical.weight(c.terms[term], sum(c.terms.values()), average)
                    for term, idf in rarity.items()
                    if term in c.terms
                )
                for _, c in seen
            ]
        )
        chosen = _best(dense, probe.candidates) if probe.vector is not None else set()
        chosen |= {i for i in _best(bm25, probe.candidates) if bm25[i] > 0}
        kept = sorted(chosen)
        if not kept:
            return Found(rarity=rarity)
        ranked = rank(dense[kept] if probe.vector is not None else None, bm25[kept] if probe.terms else None)
        passages = [_passage(*seen[kept[r.index]], r, dense[kept[r.index]], bm25[kept[r.index]]) for r in ranked]
        return Found(tuple(passages), rarity)


def _in_time(timeout_s: float) -> None:
    if timeout_s <= 0:
        raise DeadlineExceeded("the deadline is over")


def _best(scores: Scores, count: int) -> set[int]:
    return {int(index) for index in np.argsort(-scores, kind="stable")[:count]}


def _document(collection: str, item: IndexedDocument, updated_at_us: int) -> Document:
    return Document(
        id=item.document.id,
        collection=collection,
        title=item.document.title,
        source=item.document.source,
        digest=item.digest,
        fingerprint=item.fingerprint,
        chunks=len(item.chunks),
        updated_at_us=updated_at_us,
        metadata=dict(item.document.metadata),
    )


def _passage(item: IndexedDocument, chunk: IndexedChunk, ranked: Ranked, dense: float, bm25: float) -> Passage:
    return Passage(
        document_id=item.document.id,
        chunk=chunk.chunk.position,
        text=chunk.chunk.text,
        heading=chunk.chunk.heading,
        score=ranked.score,
        dense_score=float(dense),
        lexical_score=float(bm25),
        source=item.document.source,
        title=item.document.title,
        line_start=chunk.chunk.line_start,
        line_end=chunk.chunk.line_end,
        metadata=dict(item.document.metadata),
    )
