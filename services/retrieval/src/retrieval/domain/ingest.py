"""Ingest: documents are checked, cut, embedded and only then stored, each whole or not at all."""

import asyncio
import hashlib
import json
import unicodedata
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from itertools import islice

import numpy as np

from chassis.errors import DeadlineExceeded, InvalidArgument, Unavailable
from retrieval.domain.access import open_collection
from retrieval.domain.model import Chunk, Collection, Document, DocumentInput, IndexedChunk, IndexedDocument, Vector
from retrieval.domain.ports import Analyzer, Chunker, Clock, Collections, DocumentStore, Embedder
from retrieval.domain.search import check_labels
from retrieval.domain.sentences import without_targets

MEDIA_TYPES = ("text/markdown", "text/plain")
MAX_DOCUMENTS = 256
MAX_ID = 256
MAX_TITLE = 1024
MAX_TEXT = 4_000_000
MAX_METADATA = 64
INDEX_VERSION = 2
"""Raise it when cutting or weighing changes: stored documents are then indexed anew on their next upsert."""
EMBEDDER_RETRY_S = 2.0
_CONTROLS = frozenset({"Cc", "Zl", "Zp"})


class Ingesting:
    """Stores documents."""

    def __init__(
        self,
        store: DocumentStore,
        embedder: Embedder,
        chunker: Chunker,
        analyzer: Analyzer,
        collections: Collections,
        clock: Clock,
    ) -> None:
        self._store = store
        self._embedder = embedder
        self._chunker = chunker
        self._analyzer = analyzer
        self._collections = collections
        self._clock = clock

    async def upsert(
        self, tenant: str, name: str, documents: Sequence[DocumentInput], deadline_s: float
    ) -> list[Document]:
        """Stores all of them or none, and returns them in order. Unchanged text is not embedded again.

        InvalidArgument names the document; Unavailable (embedder or store) leaves everything as it was.
        """
        collection = open_collection(self._collections, name, tenant)
        _check(documents)
        fingerprints = {document.id: fingerprint(collection, document) for document in documents}
        stored = await self._store.find(tenant, name, list(fingerprints), self._left_s(deadline_s))
        changed = [d for d in documents if d.id not in stored or stored[d.id].fingerprint != fingerprints[d.id]]
        anew = {document.id for document in changed}
        relabelled = [d for d in documents if d.id not in anew and _labels_differ(stored[d.id], d)]
        indexed = await self._index(collection, changed, fingerprints, deadline_s)
        now_us = self._clock.now_us()
        if indexed:
            await self._store.replace(tenant, name, indexed, now_us, self._left_s(deadline_s))
        if relabelled:
            await self._store.relabel(tenant, name, relabelled, now_us, self._left_s(deadline_s))
        fresh = {item.document.id: _stored(name, item, now_us) for item in indexed}
        touched = {document.id for document in relabelled}
        return [
            fresh.get(document.id) or _unchanged(stored[document.id], document, now_us, document.id in touched)
            for document in documents
        ]

    async def delete(self, tenant: str, name: str, document: str, deadline_s: float) -> bool:
        """Whether there was such a document; its chunks and vectors go with it."""
        open_collection(self._collections, name, tenant)
        check_id(document, "id")
        return await self._store.delete(tenant, name, document, self._left_s(deadline_s))

    async def _index(
        self,
        collection: Collection,
        documents: Sequence[DocumentInput],
        fingerprints: dict[str, str],
        deadline_s: float,
    ) -> list[IndexedDocument]:
        cut: list[Sequence[Chunk]] = []
        for document in documents:
            chunks = await self._chunker.chunks(document, collection.max_characters, collection.overlap_characters)
            if not chunks:
                raise InvalidArgument("the document is blank", reason="DOCUMENT_BLANK", ids={"document": document.id})
            cut.append(chunks)
        texts = [
            indexed_text(document, chunk) for document, chunks in zip(documents, cut, strict=True) for chunk in chunks
        ]
        if not texts:
            return []
        counted = await asyncio.to_thread(lambda: [Counter(self._analyzer.terms(text)) for text in texts])
        vectors = iter(await self._vectors(collection, texts, deadline_s))
        terms = iter(counted)
        return [
            IndexedDocument(
                document,
                text_digest(document.text),
                fingerprints[document.id],
                tuple(IndexedChunk(chunk, next(vectors), next(terms)) for chunk in chunks),
            )
            for document, chunks in zip(documents, cut, strict=True)
        ]

    async def _vectors(self, collection: Collection, texts: list[str], deadline_s: float) -> Vector:
        """Equal texts (licences, boilerplate) are embedded once."""
        distinct = list(dict.fromkeys(texts))
        try:
            vectors = await self._embedder.embed(collection.embedding, distinct, self._left_s(deadline_s))
        except Unavailable as error:
            raise Unavailable(
                "the embedder is not available: nothing was stored",
                reason="EMBEDDER_UNAVAILABLE",
                retry_after_s=error.retry_after_s or EMBEDDER_RETRY_S,
            ) from error
        place = {text: index for index, text in enumerate(distinct)}
        return np.asarray(vectors[[place[text] for text in texts]], dtype=np.float32)

    def _left_s(self, deadline_s: float) -> float:
        left_s = deadline_s - self._clock.monotonic_s()
        if left_s <= 0:
            raise DeadlineExceeded("the deadline is over")
        return left_s


def indexed_text(document: DocumentInput, chunk: Chunk) -> str:
    """What a chunk is found by: its title and headings give words that its own text takes for granted."""
    text = "\n".join(part for part in (document.title, chunk.heading, chunk.text) if part)
    return without_targets(text) if document.media_type == "text/markdown" else text


def text_digest(text: str) -> str:
    """SHA-256 of the text, hex."""
    return hashlib.sha256(text.encode()).hexdigest()


def fingerprint(collection: Collection, document: DocumentInput) -> str:
    """Changes whenever the stored chunks or vectors would."""
    parts = [INDEX_VERSION, document.text, document.title, document.media_type, collection.max_characters]
    model = collection.embedding
    parts += [collection.overlap_characters, model.inference_service, model.model, model.dimensions]
    return text_digest(json.dumps(parts))


def _stored(collection: str, item: IndexedDocument, now_us: int) -> Document:
    document = item.document
    return Document(
        id=document.id,
        collection=collection,
        title=document.title,
        source=document.source,
        digest=item.digest,
        fingerprint=item.fingerprint,
        chunks=len(item.chunks),
        updated_at_us=now_us,
        metadata=dict(document.metadata),
    )


def _unchanged(stored: Document, document: DocumentInput, now_us: int, touched: bool) -> Document:
    updated_at_us = now_us if touched else stored.updated_at_us
    return replace(stored, source=document.source, metadata=dict(document.metadata), updated_at_us=updated_at_us)


def _labels_differ(stored: Document, document: DocumentInput) -> bool:
    return (stored.source, dict(stored.metadata)) != (document.source, dict(document.metadata))


def _check(documents: Sequence[DocumentInput]) -> None:
    if not 1 <= len(documents) <= MAX_DOCUMENTS:
        raise InvalidArgument(f"1 to {MAX_DOCUMENTS} documents a request", reason="DOCUMENT_COUNT", field="documents")
    seen: set[str] = set()
    for index, document in enumerate(islice(documents, MAX_DOCUMENTS)):
        _check_document(document, f"documents[{index}]")
        if document.id in seen:
            raise InvalidArgument("the id comes twice", reason="DOCUMENT_TWICE", field=f"documents[{index}].id")
        seen.add(document.id)


def _check_document(document: DocumentInput, place: str) -> None:
    check_new_id(document.id, f"{place}.id")
    if document.media_type not in MEDIA_TYPES:
        raise InvalidArgument(
            f"media types are {' and '.join(MEDIA_TYPES)}", reason="MEDIA_TYPE_UNKNOWN", field=f"{place}.media_type"
        )
    if not document.text.strip():
        raise InvalidArgument("the document is blank", reason="DOCUMENT_BLANK", field=f"{place}.text")
    if len(document.text) > MAX_TEXT:
        raise InvalidArgument(f"at most {MAX_TEXT} characters", reason="DOCUMENT_TOO_LONG", field=f"{place}.text")
    if len(document.title) > MAX_TITLE or len(document.source) > MAX_TITLE:
        raise InvalidArgument(f"at most {MAX_TITLE} characters", reason="LABEL_TOO_LONG", field=f"{place}.title")
    for name in ("text", "title", "source"):
        if "\0" in getattr(document, name):
            raise InvalidArgument("the text holds a NUL character", reason="TEXT_INVALID", field=f"{place}.{name}")
    check_labels(document.metadata, f"{place}.metadata", MAX_METADATA)


def check_id(document_id: str, place: str) -> None:
    """InvalidArgument where no stored document can have this id."""
    if not 1 <= len(document_id) <= MAX_ID or "\0" in document_id:
        raise InvalidArgument(
            f"an id has 1 to {MAX_ID} characters and no NUL", reason="DOCUMENT_ID_INVALID", field=place
        )


def check_new_id(document_id: str, place: str) -> None:
    """InvalidArgument where a new document may not have this id.

    A control character or a line separator fits in no log line and in no path of an HTTP request.
    """
    for at, character in enumerate(document_id[:MAX_ID]):
        if unicodedata.category(character) in _CONTROLS:
            raise InvalidArgument(
                f"an id has no control characters; character {at + 1} is U+{ord(character):04X}: leave it out",
                reason="DOCUMENT_ID_INVALID",
                field=place,
            )
    check_id(document_id, place)
