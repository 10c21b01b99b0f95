"""/v1/collections: search, ask, documents."""

import asyncio
import contextlib

import orjson

from chassis.errors import InvalidArgument, MizzenError
from gateway.api.rest.documents_json import (
    answer_json,
    collection_json,
    document_json,
    document_of,
    passage_json,
    question_of,
)
from gateway.api.rest.http import Http, parse_object, refuse_unknown
from gateway.api.rest.paging import page_of
from gateway.api.rest.presence import ClientGoneError
from gateway.api.rest.problem import problem
from gateway.domain.documents import Answer, Passage, Question
from gateway.domain.idempotency import IdempotentWrites
from gateway.domain.model import Call
from gateway.domain.retrieve import Retriever

_NONE: frozenset[str] = frozenset()


class CollectionPaths:
    """Handlers."""

    def __init__(self, retriever: Retriever, writes: IdempotentWrites) -> None:
        self._retriever = retriever
        self._writes = writes

    async def list(self, http: Http) -> None:
        """GET /v1/collections."""
        call = http.call
        found, token = await self._retriever.collections(call, *page_of(http))
        await http.answer_json({"items": [collection_json(info) for info in found], "next_page_token": token})

    async def search(self, http: Http) -> None:
        """POST /v1/collections/{name}:search."""
        call = http.call
        question = question_of(await http.json(), http.params["name"], "query")
        answer = await http.while_there(self._retriever.search(call, question))
        await http.answer_json(
            {
                "request_id": call.request_id,
                "passages": [passage_json(passage) for passage in answer.passages],
                "degraded": answer.degraded,
                "degraded_reason": answer.degraded_reason,
                "timings_ms": answer.timings_ms,
            }
        )

    async def ask(self, http: Http) -> None:
        """POST /v1/collections/{name}:ask; server-sent events where the body says `stream`."""
        call = http.call
        body = await http.json()
        stream = body.pop("stream", False)
        if type(stream) is not bool:
            raise InvalidArgument("stream must be true or false", reason="INVALID_VALUE", field="stream")
        question = question_of(body, http.params["name"], "question")
        if stream:
            await self._stream(http, call, question)
            return
        passages: list[Passage] = []
        async for event in self._retriever.ask(call, question):
            if type(event) is list:
                passages = event
            elif isinstance(event, Answer):
                await http.answer_json({"request_id": call.request_id, **answer_json(event, passages)})
                return
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
                    elif isinstance(event, Answer):
                        body = {"request_id": call.request_id, **answer_json(event, passages)}
                        await http.event("answer", body)
                    else:
                        passages = event
                        await http.event("passages", {"passages": [passage_json(passage) for passage in event]})
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

    async def upsert(self, http: Http) -> None:
        """POST /v1/collections/{name}/documents."""
        call = http.call
        raw = await http.body()
        body = parse_object(raw)
        refuse_unknown(body, frozenset({"documents"}))
        given = body.get("documents")
        if type(given) is not list:
            raise InvalidArgument("documents must be a list", reason="INVALID_VALUE", field="documents")
        documents = [document_of(item, f"documents[{index}]") for index, item in enumerate(given)]
        collection = http.params["name"]

        async def write() -> bytes:
            stored = await self._retriever.upsert(call, collection, documents)
            return orjson.dumps({"items": [document_json(document) for document in stored]})

        await http.answer(await self._writes.run(call, key_of(http), f"upsert {collection}", raw, write))

    async def list_documents(self, http: Http) -> None:
        """GET /v1/collections/{name}/documents."""
        call = http.call
        found, token = await self._retriever.list_documents(call, http.params["name"], *page_of(http))
        await http.answer_json({"items": [document_json(document) for document in found], "next_page_token": token})

    async def get_document(self, http: Http) -> None:
        """GET /v1/collections/{name}/documents/{id}."""
        call = http.call
        http.query(_NONE)
        await http.answer_json(document_json(await self._retriever.get(call, http.params["name"], http.params["id"])))

    async def delete_document(self, http: Http) -> None:
        """DELETE /v1/collections/{name}/documents/{id}."""
        call = http.call
        collection, document_id = http.params["name"], http.params["id"]

        async def write() -> bytes:
            deleted = await self._retriever.delete(call, collection, document_id)
            return orjson.dumps({"deleted": deleted})

        operation = f"delete {collection}"
        await http.answer(await self._writes.run(call, key_of(http), operation, document_id.encode(), write))


def key_of(http: Http) -> str:
    """The Idempotency-Key header, empty without one."""
    return http.headers.get(b"idempotency-key", b"").decode("latin-1")
