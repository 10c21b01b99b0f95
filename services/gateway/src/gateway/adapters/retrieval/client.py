"""The retrieval service. Searches of one loop tick travel as one message."""

from collections.abc import AsyncIterator, Sequence
from typing import TypeVar

from chassis.clock import Clock
from chassis.errors import MizzenError
from chassis.rpc.channel import Channel
from chassis.rpc.coalesce import Coalescer
from chassis.rpc.status import from_status
from gateway.adapters.envelopes import Envelopes
from gateway.domain.documents import (
    AskEvent,
    CollectionInfo,
    Document,
    DocumentInput,
    Question,
    SearchAnswer,
)
from gateway.domain.limits import Retry, remaining_s
from gateway.domain.model import Call
from mizzen.retrieval.v1 import retrieval_pb2 as pb

_SERVICE = "/mizzen.retrieval.v1.RetrievalService/"
_Item = tuple[pb.SearchItem, float]
_R = TypeVar("_R")


class GrpcRetrieval:
    """See ports.Retrieval."""

    def __init__(self, channel: Channel, envelopes: Envelopes, retry: Retry, clock: Clock) -> None:
        self._channel = channel
        self._envelopes = envelopes
        self._retry = retry
        self._clock = clock
        self._coalescer: Coalescer[_Item, pb.SearchResult | MizzenError] = Coalescer(
            self._send, max_items=32, max_wait_s=0.0005, clock=clock
        )

    async def collections(self, call: Call) -> list[CollectionInfo]:
        request = pb.ListCollectionsRequest()
        self._envelopes.write(call, request.envelope)
        answer = await self._call(call, "ListCollections", request, pb.ListCollectionsResponse)
        return list(answer.collections)

    async def search(self, call: Call, question: Question) -> SearchAnswer:
        item = pb.SearchItem(
            collection=question.collection,
            query=question.text,
            top_k=question.top_k,
            mode=question.mode.value,  # type: ignore[arg-type]
            filters=question.filters,
        )
        self._envelopes.write(call, item.envelope)
        result = await self._coalescer.submit((item, call.deadline_s), call.deadline_s)
        if isinstance(result, MizzenError):
            raise result
        return SearchAnswer(result.passages, result.degraded, result.degraded_reason, dict(result.timings_ms))

    async def _send(self, items: list[_Item]) -> list[pb.SearchResult | MizzenError]:
        request = pb.SearchRequest(items=[item for item, _ in items])
        deadline_s = max(deadline for _, deadline in items)
        response = await self._retry.run(
            lambda: self._channel.unary(
                _SERVICE + "Search", request, pb.SearchResponse, deadline_s - self._clock.monotonic_s()
            ),
            deadline_s,
        )
        return [r if r.status.code == 0 else from_status(r.status) or r for r in response.results]

    async def ask(self, call: Call, question: Question) -> AsyncIterator[AskEvent]:
        request = pb.AskRequest(
            collection=question.collection,
            question=question.text,
            top_k=question.top_k,
            filters=question.filters,
        )
        left_s = self._envelopes.write(call, request.envelope)
        async for event in self._channel.stream(_SERVICE + "Ask", request, pb.AskEvent, left_s):
            kind = event.WhichOneof("event")
            if kind == "passages":
                yield list(event.passages.passages)
            elif kind == "text":
                yield event.text
            elif kind == "answer":
                yield event.answer

    async def upsert(self, call: Call, collection: str, documents: Sequence[DocumentInput]) -> list[Document]:
        """See ports.Retrieval. Not tried again by the gateway: embedding is dear, and the client has its key."""
        request = pb.UpsertDocumentsRequest(collection=collection)
        self._envelopes.write(call, request.envelope)
        for document in documents:
            request.documents.add(
                id=document.id,
                text=document.text,
                media_type=document.media_type,
                title=document.title,
                source=document.source,
                metadata=document.metadata,
            )
        left_s = remaining_s(self._clock, call.deadline_s)
        method = _SERVICE + "UpsertDocuments"
        answer = await self._channel.unary(method, request, pb.UpsertDocumentsResponse, left_s)
        return list(answer.documents)

    async def get(self, call: Call, collection: str, document_id: str) -> Document:
        request = pb.GetDocumentRequest(collection=collection, id=document_id)
        self._envelopes.write(call, request.envelope)
        return await self._call(call, "GetDocument", request, pb.Document)

    async def list_documents(
        self, call: Call, collection: str, page_size: int, page_token: str
    ) -> tuple[list[Document], str]:
        request = pb.ListDocumentsRequest(collection=collection, page_size=page_size, page_token=page_token)
        self._envelopes.write(call, request.envelope)
        answer = await self._call(call, "ListDocuments", request, pb.ListDocumentsResponse)
        return list(answer.documents), answer.next_page_token

    async def delete(self, call: Call, collection: str, document_id: str) -> bool:
        request = pb.DeleteDocumentRequest(collection=collection, id=document_id)
        self._envelopes.write(call, request.envelope)
        return (await self._call(call, "DeleteDocument", request, pb.DeleteDocumentResponse)).deleted

    async def _call(self, call: Call, method: str, request: object, response_type: type[_R]) -> _R:
        return await self._retry.run(
            lambda: self._channel.unary(
                _SERVICE + method, request, response_type, remaining_s(self._clock, call.deadline_s)
            ),
            call.deadline_s,
        )
