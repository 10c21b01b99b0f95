"""Listings: one document, a page of them, the collections with their counts."""

import base64
import binascii

from chassis.errors import DeadlineExceeded, InvalidArgument, NotFound
from retrieval.domain.access import open_collection, visible
from retrieval.domain.ingest import check_id
from retrieval.domain.model import Collection, CollectionCounts, Document
from retrieval.domain.ports import Clock, Collections, DocumentStore

DEFAULT_PAGE = 50
MAX_PAGE = 500


class Listing:
    """Answers what there is."""

    def __init__(self, store: DocumentStore, collections: Collections, clock: Clock) -> None:
        self._store = store
        self._collections = collections
        self._clock = clock

    async def document(self, tenant: str, collection: str, document: str, deadline_s: float) -> Document:
        """The stored document, or NotFound."""
        open_collection(self._collections, collection, tenant)
        check_id(document, "id")
        found = await self._store.find(tenant, collection, [document], self._left_s(deadline_s))
        if document not in found:
            raise NotFound("there is no such document", reason="DOCUMENT_NOT_FOUND", ids={"document": document})
        return found[document]

    async def page(
        self, tenant: str, collection: str, size: int, token: str, deadline_s: float
    ) -> tuple[list[Document], str]:
        """Up to `size` documents (0: 50, at most 500) and the next page's token, empty on the last page."""
        open_collection(self._collections, collection, tenant)
        size = min(size or DEFAULT_PAGE, MAX_PAGE)
        rows = await self._store.page(tenant, collection, _after(token), size + 1, self._left_s(deadline_s))
        documents = list(rows[:size])
        return documents, _token(documents[-1].id) if len(rows) > size else ""

    async def collections(self, tenant: str, deadline_s: float) -> list[tuple[Collection, CollectionCounts]]:
        """The tenant's collections in the order of their names, each with its counts."""
        found = [self._collections.find(name) for name in self._collections.names()]
        counts = await self._store.counts(tenant, self._left_s(deadline_s))
        return [(c, counts.get(c.name, CollectionCounts())) for c in found if c is not None and visible(c, tenant)]

    def _left_s(self, deadline_s: float) -> float:
        left_s = deadline_s - self._clock.monotonic_s()
        if left_s <= 0:
            raise DeadlineExceeded("the deadline is over")
        return left_s


def _token(last_id: str) -> str:
    return base64.urlsafe_b64encode(last_id.encode()).decode()


def _after(token: str) -> str:
    try:
        after = base64.b64decode(token, altchars=b"-_", validate=True).decode()
    except (binascii.Error, UnicodeDecodeError, ValueError) as error:
        raise InvalidArgument(
            "the page token is not one of ours", reason="PAGE_TOKEN_INVALID", field="page_token"
        ) from error
    if "\0" in after:
        raise InvalidArgument("the page token is not one of ours", reason="PAGE_TOKEN_INVALID", field="page_token")
    return after
