"""Documents and answers: domain ↔ public protos. Pure."""

from gateway.domain.documents import Answer, AskEvent, CollectionInfo, Document, DocumentInput, Passage
from mizzen.retrieval.v1 import retrieval_pb2 as pb


def collection_message(info: CollectionInfo) -> pb.Collection:
    """Domain → Collection."""
    return pb.Collection(
        name=info.name,
        description=info.description,
        embedding_model=info.embedding_model,
        documents=info.documents,
        chunks=info.chunks,
    )


def passage_message(p: Passage) -> pb.Passage:
    """Domain → Passage."""
    return pb.Passage(
        document_id=p.document_id,
        chunk=p.chunk,
        text=p.text,
        score=p.score,
        dense_score=p.dense_score,
        lexical_score=p.lexical_score,
        source=p.source,
        title=p.title,
        line_start=p.line_start,
        line_end=p.line_end,
        metadata=p.metadata,
    )


def ask_event(event: AskEvent) -> pb.AskEvent:
    """Domain → AskEvent."""
    if isinstance(event, str):
        return pb.AskEvent(text=event)
    if isinstance(event, Answer):
        return pb.AskEvent(answer=_answer(event))
    return pb.AskEvent(passages=pb.Passages(passages=[passage_message(passage) for passage in event]))


def _answer(a: Answer) -> pb.Answer:
    citations = [
        pb.Citation(
            passage=c.passage,
            document_id=c.document_id,
            source=c.source,
            line_start=c.line_start,
            line_end=c.line_end,
            quote=c.quote,
        )
        for c in a.citations
    ]
    return pb.Answer(
        text=a.text,
        answerable=a.answerable,
        citations=citations,
        generator=a.generator,
        degraded=a.degraded,
        degraded_reason=a.degraded_reason,
        timings_ms=a.timings_ms,
    )


def document_input(d: pb.DocumentInput) -> DocumentInput:
    """DocumentInput → domain."""
    return DocumentInput(d.id, d.text, d.media_type or "text/plain", d.title, d.source, dict(d.metadata))


def document_message(d: Document) -> pb.Document:
    """Domain → Document."""
    message = pb.Document(
        id=d.id,
        collection=d.collection,
        title=d.title,
        source=d.source,
        state=d.state.value,  # type: ignore[arg-type]
        reason=d.reason,
        chunks=d.chunks,
        digest=d.digest,
        metadata=d.metadata,
    )
    if d.updated_at_us:
        message.updated_at.FromMicroseconds(d.updated_at_us)
    return message
