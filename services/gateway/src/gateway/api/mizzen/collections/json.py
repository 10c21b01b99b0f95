"""Collections, documents and answers: JSON ↔ domain. Pure."""

from gateway.api.mizzen.collections import schema
from gateway.domain.columns import format_instant
from gateway.domain.documents import (
    Answer,
    CollectionInfo,
    Document,
    DocumentInput,
    Passage,
    Question,
    SearchMode,
)

_MODES = {
    None: SearchMode.DECLARED,
    "hybrid": SearchMode.HYBRID,
    "dense": SearchMode.DENSE,
    "lexical": SearchMode.LEXICAL,
}


Json = dict[str, object]


def searched(body: schema.SearchRequest, collection: str) -> Question:
    """The body of `:search`."""
    return Question(collection, body.query, body.top_k or 0, _MODES[body.mode], body.filters or {})


def asked(body: schema.AskRequest, collection: str) -> Question:
    """The body of `:ask`."""
    return Question(collection, body.question, body.top_k or 0, filters=body.filters or {})


def document_of(body: schema.DocumentInput) -> DocumentInput:
    """One document to store."""
    return DocumentInput(body.id, body.text, body.media_type, body.title, body.source, body.metadata or {})


def collection_json(info: CollectionInfo) -> Json:
    """How a collection is shown."""
    return {
        "name": info.name,
        "description": info.description,
        "embedding_model": info.embedding_model,
        "documents": info.documents,
        "chunks": info.chunks,
    }


def document_json(document: Document) -> Json:
    """How a document is shown."""
    return {
        "id": document.id,
        "collection": document.collection,
        "title": document.title,
        "source": document.source,
        "state": document.state.name,
        "reason": document.reason,
        "chunks": document.chunks,
        "digest": document.digest,
        "updated_at": format_instant(document.updated_at_us) if document.updated_at_us else None,
        "metadata": document.metadata,
    }


def passage_json(p: Passage) -> Json:
    """How a passage is shown."""
    return {
        "document_id": p.document_id,
        "chunk": p.chunk,
        "text": p.text,
        "score": p.score,
        "dense_score": p.dense_score,
        "lexical_score": p.lexical_score,
        "source": p.source,
        "title": p.title,
        "line_start": p.line_start,
        "line_end": p.line_end,
        "metadata": p.metadata,
    }


def answer_json(answer: Answer, passages: list[Passage]) -> Json:
    """How an answer is shown."""
    return {
        "text": answer.text,
        "answerable": answer.answerable,
        "citations": [
            {
                "passage": c.passage,
                "document_id": c.document_id,
                "source": c.source,
                "line_start": c.line_start,
                "line_end": c.line_end,
                "quote": c.quote,
            }
            for c in answer.citations
        ],
        "generator": answer.generator,
        "passages": [passage_json(passage) for passage in passages],
        "degraded": answer.degraded,
        "degraded_reason": answer.degraded_reason,
        "timings_ms": answer.timings_ms,
    }
