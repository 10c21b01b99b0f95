"""The gRPC edge: opens envelopes, calls the domain, converts. Errors are mapped around it by chassis."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

from chassis.clock import Clock
from chassis.errors import InvalidArgument, MizzenError
from chassis.rpc.envelope import Call, open_envelope
from chassis.rpc.identity import Verifier
from chassis.rpc.status import to_status
from chassis.telemetry.logs import logger
from mizzen.chassis.v1.envelope_pb2 import Envelope
from mizzen.retrieval.v1 import retrieval_pb2 as pb
from mizzen.retrieval.v1 import retrieval_pb2_grpc as rpc
from retrieval.api import convert
from retrieval.domain.ask import Asking
from retrieval.domain.documents import Listing
from retrieval.domain.ingest import Ingesting
from retrieval.domain.ports import Metrics
from retrieval.domain.search import Searching

SERVICE = pb.DESCRIPTOR.services_by_name["RetrievalService"].full_name
MAX_ITEMS = 256
_LOG = logger("retrieval.search")


@dataclass(frozen=True, slots=True)
class Verbs:
    """The domain."""

    searching: Searching
    asking: Asking
    ingesting: Ingesting
    listing: Listing


class RetrievalServicer(rpc.RetrievalServiceServicer):
    """mizzen.retrieval.v1.RetrievalService."""

    def __init__(self, verbs: Verbs, verifier: Verifier, clock: Clock, metrics: Metrics) -> None:
        self._verbs = verbs
        self._verifier = verifier
        self._clock = clock
        self._metrics = metrics

    async def ListCollections(self, request: pb.ListCollectionsRequest, context: Any) -> pb.ListCollectionsResponse:
        call = self._open(request.envelope)
        found = await self._verbs.listing.collections(call.identity.tenant, call.deadline)
        return pb.ListCollectionsResponse(collections=[convert.from_collection(*item) for item in found])

    async def Search(self, request: pb.SearchRequest, context: Any) -> pb.SearchResponse:
        if len(request.items) > MAX_ITEMS:
            raise InvalidArgument(f"at most {MAX_ITEMS} items", reason="TOO_MANY_ITEMS", field="items")
        return pb.SearchResponse(results=await asyncio.gather(*(self._search(item) for item in request.items)))

    async def Ask(self, request: pb.AskRequest, context: Any) -> AsyncIterator[pb.AskEvent]:
        call = self._open(request.envelope)
        search = convert.to_question(request, call.identity.tenant, call.deadline)
        async for event in self._verbs.asking.ask(search):
            self._metrics.ask_event(event)
            yield convert.from_event(event)

    async def UpsertDocuments(self, request: pb.UpsertDocumentsRequest, context: Any) -> pb.UpsertDocumentsResponse:
        call = self._open(request.envelope)
        documents = await self._verbs.ingesting.upsert(
            call.identity.tenant, request.collection, convert.to_documents(request.documents), call.deadline
        )
        self._metrics.upserted(len(documents))
        return pb.UpsertDocumentsResponse(documents=[convert.from_document(document) for document in documents])

    async def GetDocument(self, request: pb.GetDocumentRequest, context: Any) -> pb.Document:
        call = self._open(request.envelope)
        found = await self._verbs.listing.document(call.identity.tenant, request.collection, request.id, call.deadline)
        return convert.from_document(found)

    async def ListDocuments(self, request: pb.ListDocumentsRequest, context: Any) -> pb.ListDocumentsResponse:
        call = self._open(request.envelope)
        documents, token = await self._verbs.listing.page(
            call.identity.tenant, request.collection, request.page_size, request.page_token, call.deadline
        )
        return pb.ListDocumentsResponse(documents=[convert.from_document(d) for d in documents], next_page_token=token)

    async def DeleteDocument(self, request: pb.DeleteDocumentRequest, context: Any) -> pb.DeleteDocumentResponse:
        call = self._open(request.envelope)
        deleted = await self._verbs.ingesting.delete(
            call.identity.tenant, request.collection, request.id, call.deadline
        )
        return pb.DeleteDocumentResponse(deleted=deleted)

    def _open(self, envelope: Envelope) -> Call:
        return open_envelope(envelope, self._verifier, self._clock)

    async def _search(self, item: pb.SearchItem) -> pb.SearchResult:
        """One item's own status: another caller's fault never fails it."""
        try:
            call = self._open(item.envelope)
            outcome = await self._verbs.searching.search(convert.to_search(item, call.identity.tenant, call.deadline))
        except MizzenError as error:
            return pb.SearchResult(status=to_status(error, item.envelope.request_id))
        except Exception as error:
            _LOG.exception("search failed", request_id=item.envelope.request_id)
            return pb.SearchResult(status=to_status(error, item.envelope.request_id))
        self._metrics.searched(outcome)
        return convert.from_outcome(outcome)
