"""Collections, documents and answers: JSON ↔ domain. Pure."""

from collections.abc import Mapping
from typing import Any

from chassis.errors import InvalidArgument
from gateway.api.rest.http import refuse_unknown
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

_DOCUMENT = frozenset({"id", "text", "media_type", "title", "source", "metadata"})
_MODES = {"hybrid": SearchMode.HYBRID, "dense": SearchMode.DENSE, "lexical": SearchMode.LEXICAL}


def text_of(value: Mapping[str, Any], name: str, where: str = "", default: str | None = None) -> str:
    """A string field; InvalidArgument when it is missing (without a default) or something else."""
    found = value.get(name, default)
    if type(found) is not str or "\x00" in found:
        field = f"{where}.{name}" if where else name
        raise InvalidArgument(f"{field} must be a string without NUL characters", reason="INVALID_VALUE", field=field)
    return found


def _id_of(value: Mapping[str, Any], where: str) -> str:
    """A document's id; which characters it may have is for retrieval to say, which owns the rule."""
    found = value.get("id")
    if type(found) is not str:
        raise InvalidArgument(f"{where}.id must be a string", reason="INVALID_VALUE", field=f"{where}.id")
    return found


def strings(value: object, field: str) -> Mapping[str, str]:
    """A JSON object of strings."""
    if value is None:
        return {}
    if type(value) is not dict or len(value) > 64 or not all(type(v) is str and len(v) <= 1024 for v in value.values()):
        message = f"{field} must be an object of at most 64 strings"
        raise InvalidArgument(message, reason="INVALID_VALUE", field=field)
    return value


def question_of(body: Mapping[str, Any], collection: str, text: str) -> Question:
    """The body of `:search` (text = query) or `:ask` (text = question)."""
    fields = {text, "top_k", "filters"} | ({"mode"} if text == "query" else set())
    refuse_unknown(body, frozenset(fields))
    top_k = body.get("top_k", 0)
    if type(top_k) is not int or not 0 <= top_k <= 1000 or ("top_k" in body and top_k == 0):
        raise InvalidArgument("top_k must be a whole number from 1", reason="INVALID_VALUE", field="top_k")
    mode = SearchMode.DECLARED
    if body.get("mode") is not None:
        found = _MODES.get(body["mode"]) if type(body["mode"]) is str else None
        if found is None:
            raise InvalidArgument("mode must be hybrid, dense or lexical", reason="INVALID_VALUE", field="mode")
        mode = found
    return Question(collection, text_of(body, text), top_k, mode, strings(body.get("filters"), "filters"))


def document_of(value: object, where: str) -> DocumentInput:
    """One document to store."""
    if type(value) is not dict:
        raise InvalidArgument(f"{where} must be an object", reason="INVALID_VALUE", field=where)
    refuse_unknown(value, _DOCUMENT, where)
    return DocumentInput(
        _id_of(value, where),
        text_of(value, "text", where),
        text_of(value, "media_type", where, "text/plain"),
        text_of(value, "title", where, ""),
        text_of(value, "source", where, ""),
        strings(value.get("metadata"), f"{where}.metadata"),
    )


def collection_json(info: CollectionInfo) -> dict[str, object]:
    """How a collection is shown."""
    return {
        "name": info.name,
        "description": info.description,
        "embedding_model": info.embedding_model,
        "documents": info.documents,
        "chunks": info.chunks,
    }


def document_json(document: Document) -> dict[str, object]:
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


def passage_json(p: Passage) -> dict[str, object]:
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


def answer_json(answer: Answer, passages: list[Passage]) -> dict[str, object]:
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
