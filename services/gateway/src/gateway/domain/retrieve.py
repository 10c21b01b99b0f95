"""Search, ask and documents: passed to retrieval; searches and asks leave a record."""

from collections.abc import AsyncIterator, Sequence

from chassis.errors import InvalidArgument, MizzenError
from gateway.domain.documents import (
    AskEvent,
    CollectionInfo,
    Document,
    DocumentInput,
    Passage,
    Question,
    SearchAnswer,
)
from gateway.domain.endpoints import page_size_of
from gateway.domain.model import Call
from gateway.domain.ports import Clock, Recorder, Retrieval
from gateway.domain.record import Record, RecordKind, Retrieved

MAX_QUERY = 4096
MEDIA_TYPES = ("text/plain", "text/markdown")
MAX_DOCUMENTS = 1000
MAX_ID = 256
MAX_SEARCH_TOP_K, MAX_ASK_TOP_K = 100, 20


def _checked(question: Question, field: str, largest: int) -> None:
    if not question.text.strip() or len(question.text) > MAX_QUERY:
        message = f"{field} must have 1 to {MAX_QUERY} characters"
        raise InvalidArgument(message, reason="INVALID_VALUE", field=field)
    if not 0 <= question.top_k <= largest:
        raise InvalidArgument(f"top_k must be 1 to {largest}", reason="INVALID_VALUE", field="top_k")


class Retriever:
    """What the public collection paths do."""

    def __init__(self, retrieval: Retrieval, recorder: Recorder, clock: Clock) -> None:
        self._retrieval = retrieval
        self._recorder = recorder
        self._clock = clock

    async def collections(self, call: Call, page_size: int, page_token: str) -> tuple[list[CollectionInfo], str]:
        """A page by name, and the next page's token."""
        size = page_size_of(page_size)
        found = await self._retrieval.collections(call)
        after = sorted((info for info in found if info.name > page_token), key=lambda info: info.name)
        return after[:size], after[size - 1].name if len(after) > size else ""

    async def search(self, call: Call, question: Question) -> SearchAnswer:
        """Passages, best first."""
        _checked(question, "query", MAX_SEARCH_TOP_K)
        record = self._record(call, RecordKind.SEARCH, question)
        try:
            answer = await self._retrieval.search(call, question)
            answer.request_id = call.request_id
            self._note(record, answer.passages)
            record.degraded, record.timings_ms = answer.degraded, answer.timings_ms
        except MizzenError as error:
            record.error_code, record.error_reason = error.code.value, error.reason
            raise
        else:
            return answer
        finally:
            self._recorder.offer(record)

    async def ask(self, call: Call, question: Question) -> AsyncIterator[AskEvent]:
        """Passages, pieces of text, the Answer."""
        _checked(question, "question", MAX_ASK_TOP_K)
        record = self._record(call, RecordKind.ASK, question)
        try:
            async for event in self._retrieval.ask(call, question):
                if isinstance(event, list):
                    self._note(record, event)
                elif not isinstance(event, str) and record.retrieved is not None:
                    record.retrieved.answerable = event.answerable
                    record.retrieved.cited = [citation.passage for citation in event.citations]
                    record.degraded, record.timings_ms = event.degraded, dict(event.timings_ms)
                yield event
        except MizzenError as error:
            record.error_code, record.error_reason = error.code.value, error.reason
            raise
        finally:
            self._recorder.offer(record)

    async def upsert(self, call: Call, collection: str, documents: Sequence[DocumentInput]) -> list[Document]:
        """Stores documents, each whole or not at all."""
        if not 1 <= len(documents) <= MAX_DOCUMENTS:
            message = f"documents must hold 1 to {MAX_DOCUMENTS}"
            raise InvalidArgument(message, reason="INVALID_VALUE", field="documents")
        for index, document in enumerate(documents):
            if not 1 <= len(document.id) <= MAX_ID:
                message = f"documents[{index}].id must have 1 to {MAX_ID} characters"
                raise InvalidArgument(message, reason="INVALID_VALUE", field=f"documents[{index}].id")
            if document.media_type not in MEDIA_TYPES:
                field = f"documents[{index}].media_type"
                message = f"{field} must be {' or '.join(MEDIA_TYPES)}"
                raise InvalidArgument(message, reason="INVALID_VALUE", field=field)
        return await self._retrieval.upsert(call, collection, documents)

    async def get(self, call: Call, collection: str, document_id: str) -> Document:
        """One document's state. NotFound."""
        return await self._retrieval.get(call, collection, document_id)

    async def list_documents(
        self, call: Call, collection: str, page_size: int, page_token: str
    ) -> tuple[list[Document], str]:
        """A page and the next page's token."""
        return await self._retrieval.list_documents(call, collection, page_size_of(page_size), page_token)

    async def delete(self, call: Call, collection: str, document_id: str) -> bool:
        """False when there was no such document."""
        return await self._retrieval.delete(call, collection, document_id)

    def _record(self, call: Call, kind: RecordKind, question: Question) -> Record:
        return Record(call, kind, question.collection, call.received_at_us, 1, retrieved=Retrieved(question.text))

    @staticmethod
    def _note(record: Record, passages: Sequence[Passage]) -> None:
        if record.retrieved is not None:
            record.retrieved.document_ids = [passage.document_id for passage in passages]
            record.retrieved.chunks = [passage.chunk for passage in passages]
            record.retrieved.scores = [passage.score for passage in passages]
