"""Proto ↔ domain, pure."""

from collections.abc import Iterable, Mapping
from typing import Any

from google.protobuf.timestamp_pb2 import Timestamp

from mizzen.retrieval.v1 import retrieval_pb2 as pb
from retrieval.domain.model import (
    Answer,
    AskEvent,
    Citation,
    Collection,
    CollectionCounts,
    Document,
    DocumentInput,
    Mode,
    Passage,
    Search,
    SearchOutcome,
)

DEFAULT_TOP_K = 10
DEFAULT_ASK_TOP_K = 5

# The domain's names are the proto's: a new field stands in both, and is told.
_PASSAGE = [field.name for field in pb.Passage.DESCRIPTOR.fields]
_CITATION = [field.name for field in pb.Citation.DESCRIPTOR.fields]
_MODES: Mapping[int, Mode | None] = {
    pb.SEARCH_MODE_HYBRID: Mode.HYBRID,
    pb.SEARCH_MODE_DENSE: Mode.DENSE,
    pb.SEARCH_MODE_LEXICAL: Mode.LEXICAL,
}


def to_search(item: pb.SearchItem, tenant: str, deadline_s: float) -> Search:
    """One item of a search; an unknown mode is the collection's own."""
    return Search(
        tenant=tenant,
        collection=item.collection,
        query=item.query,
        deadline_s=deadline_s,
        top_k=item.top_k or DEFAULT_TOP_K,
        mode=_MODES.get(item.mode),
        filters=dict(item.filters),
    )


def to_question(request: pb.AskRequest, tenant: str, deadline_s: float) -> Search:
    """The search behind a question."""
    return Search(
        tenant=tenant,
        collection=request.collection,
        query=request.question,
        deadline_s=deadline_s,
        top_k=request.top_k or DEFAULT_ASK_TOP_K,
        filters=dict(request.filters),
    )


def to_documents(documents: Iterable[pb.DocumentInput]) -> list[DocumentInput]:
    """Documents to store; no media type means Markdown."""
    return [
        DocumentInput(d.id, d.text, d.media_type or "text/markdown", d.title, d.source, dict(d.metadata))
        for d in documents
    ]


def from_outcome(outcome: SearchOutcome) -> pb.SearchResult:
    """A result without status, which means OK."""
    return pb.SearchResult(
        passages=[from_passage(passage) for passage in outcome.passages],
        degraded=bool(outcome.degraded_reason),
        degraded_reason=outcome.degraded_reason,
        timings_ms=dict(outcome.timings_ms),
    )


def from_passage(passage: Passage) -> pb.Passage:
    """A passage."""
    return pb.Passage(**_told(passage, _PASSAGE))


def from_event(event: AskEvent) -> pb.AskEvent:
    """One event of an answer."""
    if isinstance(event, str):
        return pb.AskEvent(text=event)
    if isinstance(event, Answer):
        return pb.AskEvent(answer=from_answer(event))
    return pb.AskEvent(passages=pb.Passages(passages=[from_passage(passage) for passage in event]))


def from_answer(answer: Answer) -> pb.Answer:
    """The last event."""
    return pb.Answer(
        text=answer.text,
        answerable=answer.answerable,
        citations=[from_citation(citation) for citation in answer.citations],
        generator=answer.generator,
        degraded=bool(answer.degraded_reason),
        degraded_reason=answer.degraded_reason,
        timings_ms=dict(answer.timings_ms),
    )


def from_citation(citation: Citation) -> pb.Citation:
    """A citation."""
    return pb.Citation(**_told(citation, _CITATION))


def from_document(document: Document) -> pb.Document:
    """A stored document, which is always ready."""
    return pb.Document(
        id=document.id,
        collection=document.collection,
        title=document.title,
        source=document.source,
        state=pb.DOCUMENT_STATE_READY,
        chunks=document.chunks,
        digest=document.digest,
        updated_at=Timestamp(
            seconds=document.updated_at_us // 1_000_000, nanos=document.updated_at_us % 1_000_000 * 1000
        ),
        metadata=dict(document.metadata),
    )


def from_collection(collection: Collection, counts: CollectionCounts) -> pb.Collection:
    """A collection with its tenant's counts."""
    return pb.Collection(
        name=collection.name,
        description=collection.description,
        embedding_model=f"{collection.embedding.inference_service}/{collection.embedding.model}",
        documents=counts.documents,
        chunks=counts.chunks,
    )


def _told(thing: object, names: Iterable[str]) -> dict[str, Any]:
    return {name: getattr(thing, name) for name in names}
