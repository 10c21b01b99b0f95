"""mizzen.gateway.v1.CollectionService."""

from collections.abc import AsyncIterator
from typing import Any, cast

from chassis.errors import InvalidArgument
from gateway.api.grpc.calls import Calls
from gateway.api.mizzen.collections.messages import ask_event, document_input
from gateway.domain.documents import Question, SearchMode
from gateway.domain.idempotency import IdempotentWrites
from gateway.domain.model import Call
from gateway.domain.retrieve import Retriever
from mizzen.gateway.v1 import gateway_pb2 as pb
from mizzen.gateway.v1 import gateway_pb2_grpc
from mizzen.retrieval.v1 import retrieval_pb2


class CollectionServicer(gateway_pb2_grpc.CollectionServiceServicer):
    """Search, ask, documents."""

    def __init__(self, calls: Calls, retriever: Retriever, writes: IdempotentWrites) -> None:
        self._calls = calls
        self._retriever = retriever
        self._writes = writes

    async def ListCollections(self, request: Any, context: Any) -> pb.ListCollectionsResponse:
        """A page of collections."""
        with self._calls.open(context, "CollectionService/ListCollections") as call:
            found, token = await self._retriever.collections(call, request.page_size, request.page_token)
            return pb.ListCollectionsResponse(items=cast(Any, found), next_page_token=token)

    async def Search(self, request: pb.SearchRequest, context: Any) -> pb.SearchResponse:
        """Passages, best first."""
        with self._calls.open(context, "CollectionService/Search", name=request.collection) as call:
            question = Question(
                request.collection, request.query, request.top_k, _mode(request.mode), dict(request.filters)
            )
            answer = await self._retriever.search(call, question)
            return pb.SearchResponse(
                request_id=call.request_id,
                passages=cast(Any, answer.passages),
                degraded=answer.degraded,
                degraded_reason=answer.degraded_reason,
                timings_ms=answer.timings_ms,
            )

    async def Ask(self, request: pb.AskRequest, context: Any) -> AsyncIterator[retrieval_pb2.AskEvent]:
        """Passages, text, answer."""
        with self._calls.open(context, "CollectionService/Ask", name=request.collection) as call:
            question = Question(request.collection, request.question, request.top_k, filters=dict(request.filters))
            async for event in self._retriever.ask(call, question):
                yield ask_event(event)

    async def UpsertDocuments(self, request: pb.UpsertDocumentsRequest, context: Any) -> pb.UpsertDocumentsResponse:
        """Stores documents."""
        with self._calls.open(context, "CollectionService/UpsertDocuments") as call:
            documents = [document_input(document) for document in request.documents]

            async def write() -> bytes:
                stored = await self._retriever.upsert(call, request.collection, documents)
                return pb.UpsertDocumentsResponse(items=cast(Any, stored)).SerializeToString()

            return pb.UpsertDocumentsResponse.FromString(await self._once(call, request, write))

    async def GetDocument(self, request: pb.GetDocumentRequest, context: Any) -> retrieval_pb2.Document:
        """One document's state."""
        with self._calls.open(context, "CollectionService/GetDocument") as call:
            return cast(retrieval_pb2.Document, await self._retriever.get(call, request.collection, request.id))

    async def ListDocuments(self, request: pb.ListDocumentsRequest, context: Any) -> pb.ListDocumentsResponse:
        """A page of documents."""
        with self._calls.open(context, "CollectionService/ListDocuments") as call:
            found, token = await self._retriever.list_documents(
                call, request.collection, request.page_size, request.page_token
            )
            return pb.ListDocumentsResponse(items=cast(Any, found), next_page_token=token)

    async def DeleteDocument(self, request: pb.DeleteDocumentRequest, context: Any) -> pb.DeleteDocumentResponse:
        """Deletes a document."""
        with self._calls.open(context, "CollectionService/DeleteDocument") as call:

            async def write() -> bytes:
                deleted = await self._retriever.delete(call, request.collection, request.id)
                return pb.DeleteDocumentResponse(deleted=deleted).SerializeToString()

            return pb.DeleteDocumentResponse.FromString(await self._once(call, request, write))

    async def _once(self, call: Call, request: Any, write: Any) -> bytes:
        operation = f"grpc {request.DESCRIPTOR.name}"
        body = request.SerializeToString(deterministic=True)
        return await self._writes.run(call, request.idempotency_key, operation, body, write)


def _mode(mode: int) -> SearchMode:
    try:
        return SearchMode(mode)
    except ValueError:
        raise InvalidArgument("mode must be hybrid, dense or lexical", reason="INVALID_VALUE", field="mode") from None
