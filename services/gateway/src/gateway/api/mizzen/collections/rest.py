"""/v1/collections: search, ask, documents."""

import asyncio
import contextlib

import orjson

from chassis.errors import MizzenError
from chassis.public.problem import problem
from gateway.api.http.paging import page_of
from gateway.api.http.presence import ClientGoneError
from gateway.api.http.request import Http
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


class CollectionPaths:
    """Handlers."""

    def __init__(self, retriever: Retriever) -> None:
        self._retriever = retriever

    async def list(self, http: Http) -> Json:
        """List collections."""
        found, token = await self._retriever.collections(http.call, *page_of(http))
        return {"items": [collection_json(info) for info in found], "next_page_token": token}

    async def search(self, http: Http, body: schema.SearchRequest) -> Json:
        """Search a collection: passages, best first."""
        call = http.call
        answer = await http.while_there(self._retriever.search(call, searched(body, http.params["name"])))
        return {
            "request_id": call.request_id,
            "passages": [passage_json(passage) for passage in answer.passages],
            "degraded": answer.degraded,
            "degraded_reason": answer.degraded_reason,
            "timings_ms": answer.timings_ms,
        }

    async def ask(self, http: Http, body: schema.AskRequest) -> Json | None:
        """Ask a collection: a cited answer, or that the documents hold none; with `stream` as server-sent events."""
        call, question = http.call, asked(body, http.params["name"])
        if body.stream:
            await self._stream(http, call, question)
            return None
        passages: list[Passage] = []
        async for event in self._retriever.ask(call, question):
            if isinstance(event, list):
                passages = event
            elif not isinstance(event, str):
                return answer_json(call.request_id, event, passages)
        raise MizzenError("retrieval ended without an answer", reason="UPSTREAM_MISMATCH")

    async def _stream(self, http: Http, call: Call, question: Question) -> None:
        """Events `passages`, `text`, `answer`; `error` with a problem document when it fails after the first one."""

        async def send() -> None:
            passages: list[Passage] = []
            try:
                async for event in self._retriever.ask(call, question):
                    if not http.started:
                        await http.start_events()
                    if isinstance(event, str):
                        await http.event("text", {"text": event})
                    elif isinstance(event, list):
                        passages = event
                        await http.event("passages", {"passages": [passage_json(passage) for passage in event]})
                    else:
                        await http.event("answer", answer_json(call.request_id, event, passages))
            except MizzenError as error:
                if not http.started:
                    raise
                await http.event("error", orjson.loads(problem(error, call.request_id)))
            await http.end_events()

        sending = asyncio.ensure_future(send())
        gone = asyncio.ensure_future(http.disconnected())
        try:
            await asyncio.wait((sending, gone), return_when=asyncio.FIRST_COMPLETED)
            if not sending.done():
                raise ClientGoneError
            sending.result()
        finally:
            gone.cancel()
            sending.cancel()
            with contextlib.suppress(asyncio.CancelledError, MizzenError):
                await sending

    async def upsert(self, http: Http, body: schema.UpsertRequest) -> Json:
        """Store documents, each whole; the same id replaces one."""
        documents = [document_of(document) for document in body.documents]
        stored = await self._retriever.upsert(http.call, http.params["name"], documents)
        return {"items": [document_json(document) for document in stored]}

    async def list_documents(self, http: Http) -> Json:
        """List a collection's documents."""
        found, token = await self._retriever.list_documents(http.call, http.params["name"], *page_of(http))
        return {"items": [document_json(document) for document in found], "next_page_token": token}

    async def get_document(self, http: Http) -> Json:
        """Show how far a document is."""
        return document_json(await self._retriever.get(http.call, http.params["name"], http.params["id"]))

    async def delete_document(self, http: Http) -> Json:
        """Delete a document."""
        return {"deleted": await self._retriever.delete(http.call, http.params["name"], http.params["id"])}
