"""Collections, documents and answers: JSON ↔ domain. Pure."""

from collections.abc import Sequence
from typing import Any

from pydantic import BaseModel

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
from mizzen.retrieval.v1 import retrieval_pb2 as pb

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
    return _shown(info, schema.Collection)


def document_json(document: Document) -> Json:
    """How a document is shown."""
    told: Any = document
    updated_at_us = told.updated_at.ToMicroseconds()
    return {
        **_shown(document, schema.Document),
        "state": pb.DocumentState.Name(told.state).removeprefix("DOCUMENT_STATE_"),
        "updated_at": format_instant(updated_at_us) if updated_at_us else None,
        "metadata": dict(told.metadata),
    }


def passage_json(passage: Passage) -> Json:
    """How a passage is shown."""
    told: Any = passage
    return {**_shown(passage, schema.Passage), "metadata": dict(told.metadata)}


def answer_json(request_id: str, answer: Answer, passages: Sequence[Passage]) -> Json:
    """How an answer is shown."""
    return {
        "request_id": request_id,
        **_shown(answer, schema.Answered),
        "citations": [_shown(citation, schema.Citation) for citation in answer.citations],
        "timings_ms": dict(answer.timings_ms),
        "passages": [passage_json(passage) for passage in passages],
    }


def _shown(told: object, model: type[BaseModel]) -> Json:
    """The fields that documents show, as retrieval told them: a new one stands in the proto and in the model."""
    return {name: getattr(told, name) for name in model.model_fields}
