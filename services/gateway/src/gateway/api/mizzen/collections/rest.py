"""/v1/collections: search, ask, documents."""

from collections.abc import AsyncGenerator
from typing import Annotated

import orjson
from fastapi import Path

from chassis.errors import MizzenError
from chassis.public.problem import problem
from gateway.api.http.events import Event, Events
from gateway.api.http.given import Called, Page
from gateway.api.mizzen.collections import schema
from gateway.api.mizzen.collections.json import (
    Json,
    answer_json,
    asked,
    collection_json,
    document_json,
    document_of,
    passage_json,
    searched,
)
from gateway.domain.documents import Passage, Question
from gateway.domain.model import Call
from gateway.domain.retrieve import Retriever

DocumentId = Annotated[str, Path(alias="id")]


class CollectionPaths:
    """Handlers."""

    def __init__(self, retriever: Retriever) -> None:
        self._retriever = retriever

    async def list(self, call: Called, page: Page) -> Json:
        """List collections."""
        found, token = await self._retriever.collections(call, *page)
        return {"items": [collection_json(info) for info in found], "next_page_token": token}

    async def search(self, call: Called, name: str, body: schema.SearchRequest) -> Json:
        """Search a collection: passages, best first."""
        answer = await self._retriever.search(call, searched(body, name))
        return {
            "request_id": call.request_id,
            "passages": [passage_json(passage) for passage in answer.passages],
            "degraded": answer.degraded,
            "degraded_reason": answer.degraded_reason,
            "timings_ms": answer.timings_ms,
        }

    async def ask(self, call: Called, name: str, body: schema.AskRequest) -> Json | Events:
        """Ask a collection: a cited answer, or that the documents hold none; with `stream` as server-sent events."""
        question = asked(body, name)
        if body.stream:
            events = self._events(call, question)
            # What fails before the first event is answered by its status.
            return Events(await anext(events), events)
        passages: list[Passage] = []
        async for event in self._retriever.ask(call, question):
            if isinstance(event, list):
                passages = event
            elif not isinstance(event, str):
                return answer_json(call.request_id, event, passages)
        raise _no_answer()

    async def _events(self, call: Call, question: Question) -> AsyncGenerator[Event]:
        """`passages`, `text`, `answer`; `error` with a problem document when it fails after the first one."""
        passages: list[Passage] = []
        begun = False
        try:
            async for event in self._retriever.ask(call, question):
                if isinstance(event, str):
                    shown: Event = "text", {"text": event}
                elif isinstance(event, list):
                    passages = event
                    shown = "passages", {"passages": [passage_json(passage) for passage in event]}
                else:
                    shown = "answer", answer_json(call.request_id, event, passages)
                begun = True
                yield shown
            if not begun:
                raise _no_answer()
        except MizzenError as error:
            if not begun:
                raise
            yield "error", orjson.loads(problem(error, call.request_id))

    async def upsert(self, call: Called, name: str, body: schema.UpsertRequest) -> Json:
        """Store documents, each whole; the same id replaces one."""
        documents = [document_of(document) for document in body.documents]
        stored = await self._retriever.upsert(call, name, documents)
        return {"items": [document_json(document) for document in stored]}

    async def list_documents(self, call: Called, name: str, page: Page) -> Json:
        """List a collection's documents."""
        found, token = await self._retriever.list_documents(call, name, *page)
        return {"items": [document_json(document) for document in found], "next_page_token": token}

    async def get_document(self, call: Called, name: str, document: DocumentId) -> Json:
        """Show how far a document is."""
        return document_json(await self._retriever.get(call, name, document))

    async def delete_document(self, call: Called, name: str, document: DocumentId) -> Json:
        """Delete a document."""
        return {"deleted": await self._retriever.delete(call, name, document)}


def _no_answer() -> MizzenError:
    return MizzenError("retrieval ended without an answer", reason="UPSTREAM_MISMATCH")
