"""mizzen.gateway.v1.CollectionService and LabelService."""

import json
from collections.abc import AsyncIterator
from typing import Any

from google.protobuf import struct_pb2
from google.rpc import status_pb2

from chassis.errors import BY_CODE, Code, Internal, InvalidArgument
from chassis.rpc.status import to_status
from gateway.api.edge import ASK_S, DEFAULT_S, INFER, READ, WRITE, WRITE_S
from gateway.api.grpc.calls import Calls
from gateway.api.grpc.convert import instant_us
from gateway.api.grpc.documents import ask_event, collection_message, document_input, document_message, passage_message
from gateway.domain.documents import Label, LabelError, Question, SearchMode
from gateway.domain.idempotency import IdempotentWrites
from gateway.domain.labels import Labels
from gateway.domain.model import Call
from gateway.domain.retrieve import Retriever
from mizzen.gateway.v1 import gateway_pb2 as pb
from mizzen.gateway.v1 import gateway_pb2_grpc
from mizzen.retrieval.v1 import retrieval_pb2

_SEARCH_S = 10.0
_REPORT_S = 30.0


class CollectionServicer(gateway_pb2_grpc.CollectionServiceServicer):
    """Search, ask, documents."""

    def __init__(self, calls: Calls, retriever: Retriever, writes: IdempotentWrites) -> None:
        self._calls = calls
        self._retriever = retriever
        self._writes = writes

    async def ListCollections(self, request: Any, context: Any) -> pb.ListCollectionsResponse:
        """A page of collections."""
        with self._calls.open(context, READ, DEFAULT_S) as call:
            found, token = await self._retriever.collections(call, request.page_size, request.page_token)
            return pb.ListCollectionsResponse(items=[collection_message(i) for i in found], next_page_token=token)

    async def Search(self, request: pb.SearchRequest, context: Any) -> pb.SearchResponse:
        """Passages, best first."""
        with self._calls.open(context, INFER, _SEARCH_S, f"collection/{request.collection}") as call:
            question = Question(
                request.collection, request.query, request.top_k, _mode(request.mode), dict(request.filters)
            )
            answer = await self._retriever.search(call, question)
            return pb.SearchResponse(
                request_id=call.request_id,
                passages=[passage_message(passage) for passage in answer.passages],
                degraded=answer.degraded,
                degraded_reason=answer.degraded_reason,
                timings_ms=answer.timings_ms,
            )

    async def Ask(self, request: pb.AskRequest, context: Any) -> AsyncIterator[retrieval_pb2.AskEvent]:
        """Passages, text, answer."""
        with self._calls.open(context, INFER, ASK_S, f"answers/{request.collection}") as call:
            question = Question(request.collection, request.question, request.top_k, filters=dict(request.filters))
            async for event in self._retriever.ask(call, question):
                yield ask_event(event)

    async def UpsertDocuments(self, request: pb.UpsertDocumentsRequest, context: Any) -> pb.UpsertDocumentsResponse:
        """Stores documents."""
        with self._calls.open(context, WRITE, WRITE_S) as call:
            documents = [document_input(document) for document in request.documents]

            async def write() -> bytes:
                stored = await self._retriever.upsert(call, request.collection, documents)
                return pb.UpsertDocumentsResponse(items=[document_message(d) for d in stored]).SerializeToString()

            return pb.UpsertDocumentsResponse.FromString(await self._once(call, request, write))

    async def GetDocument(self, request: pb.GetDocumentRequest, context: Any) -> retrieval_pb2.Document:
        """One document's state."""
        with self._calls.open(context, READ, DEFAULT_S) as call:
            return document_message(await self._retriever.get(call, request.collection, request.id))

    async def ListDocuments(self, request: pb.ListDocumentsRequest, context: Any) -> pb.ListDocumentsResponse:
        """A page of documents."""
        with self._calls.open(context, READ, DEFAULT_S) as call:
            found, token = await self._retriever.list_documents(
                call, request.collection, request.page_size, request.page_token
            )
            return pb.ListDocumentsResponse(items=[document_message(d) for d in found], next_page_token=token)

    async def DeleteDocument(self, request: pb.DeleteDocumentRequest, context: Any) -> pb.DeleteDocumentResponse:
        """Deletes a document."""
        with self._calls.open(context, WRITE, WRITE_S) as call:

            async def write() -> bytes:
                deleted = await self._retriever.delete(call, request.collection, request.id)
                return pb.DeleteDocumentResponse(deleted=deleted).SerializeToString()

            return pb.DeleteDocumentResponse.FromString(await self._once(call, request, write))

    async def _once(self, call: Call, request: Any, write: Any) -> bytes:
        operation = f"grpc {request.DESCRIPTOR.name}"
        body = request.SerializeToString(deterministic=True)
        return await self._writes.run(call, request.idempotency_key, operation, body, write)


class LabelServicer(gateway_pb2_grpc.LabelServiceServicer):
    """Labels and reports."""

    def __init__(self, calls: Calls, labels: Labels, writes: IdempotentWrites) -> None:
        self._calls = calls
        self._labels = labels
        self._writes = writes

    async def PutLabels(self, request: pb.PutLabelsRequest, context: Any) -> pb.PutLabelsResponse:
        """Stores ground truth."""
        with self._calls.open(context, WRITE, WRITE_S) as call:
            labels = [_label(label, index) for index, label in enumerate(request.labels)]

            async def write() -> bytes:
                answer = await self._labels.put(call, labels)
                response = pb.PutLabelsResponse(stored=answer.stored, older=answer.older)
                if answer.errors:
                    by_index = {error.index: error for error in answer.errors}
                    for index in range(len(labels)):
                        error = by_index.get(index)
                        response.errors.append(status_pb2.Status() if error is None else _refused(error))
                return response.SerializeToString()

            body = request.SerializeToString(deterministic=True)
            stored = await self._writes.run(call, request.idempotency_key, "grpc labels", body, write)
            return pb.PutLabelsResponse.FromString(stored)

    async def GetReport(self, request: pb.GetReportRequest, context: Any) -> pb.GetReportResponse:
        """Drift, quality and volumes."""
        with self._calls.open(context, READ, _REPORT_S) as call:
            from_us = instant_us(request.from_time, "from_time") if request.HasField("from_time") else 0
            to_us = instant_us(request.to_time, "to_time") if request.HasField("to_time") else 0
            report = await self._labels.report(call, request.endpoint, from_us, to_us, html=False)
            body = struct_pb2.Struct()
            try:
                body.update(json.loads(report.body))
            except ValueError as error:
                raise Internal("monitoring answered no JSON", reason="UPSTREAM_MISMATCH") from error
            return pb.GetReportResponse(report=body)


def _mode(mode: int) -> SearchMode:
    try:
        return SearchMode(mode)
    except ValueError:
        raise InvalidArgument("mode must be hybrid, dense or lexical", reason="INVALID_VALUE", field="mode") from None


def _refused(error: LabelError) -> status_pb2.Status:
    return to_status(BY_CODE[Code(error.code)](error.message, reason=error.reason))


def _label(label: pb.Label, index: int) -> Label:
    event_time_us = instant_us(label.event_time, f"labels[{index}].event_time")
    return Label(label.request_id, label.row, label.output, label.value, event_time_us)
