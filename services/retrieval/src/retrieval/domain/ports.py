"""What retrieval needs from outside. Adapters implement these; fakes pass the same contract suites."""

from collections.abc import AsyncIterator, Callable, Sequence
from typing import Protocol

from retrieval.domain.model import (
    AskEvent,
    Chunk,
    Collection,
    CollectionCounts,
    Document,
    DocumentInput,
    EmbeddingModel,
    Found,
    IndexedDocument,
    Passage,
    Probe,
    Ranked,
    Scope,
    Scores,
    SearchOutcome,
    Vector,
)

Rank = Callable[[Scores | None, Scores | None], Sequence[Ranked]]
"""Given each candidate's dense and lexical score (None where that retriever was not asked), which to return, best first.

Every candidate has both scores, whichever retriever brought it."""


class Clock(Protocol):
    """Time, injected."""

    def now_us(self) -> int:
        """UTC wall time, µs since 1970."""

    def monotonic_s(self) -> float:
        """Seconds on a clock that never goes back; deadlines are instants on it."""


class Embedder(Protocol):
    """Turns text into vectors."""

    async def embed(self, model: EmbeddingModel, texts: Sequence[str], timeout_s: float) -> Vector:
        """Unit vectors [len(texts), dimensions]. Unavailable when the model cannot answer, DeadlineExceeded when late."""


class Chunker(Protocol):
    """Cuts documents."""

    async def chunks(self, document: DocumentInput, max_characters: int, overlap_characters: int) -> Sequence[Chunk]:
        """Chunks in reading order with their lines; none for a blank document."""


class Analyzer(Protocol):
    """Turns text into terms."""

    def terms(self, text: str) -> list[str]:
        """Stemmed lower-case words without stop words, in order, repeats kept."""


class Collections(Protocol):
    """The collections that are defined now. Both methods raise Unavailable until the definitions are read."""

    def find(self, name: str) -> Collection | None:
        """The definition of that name."""

    def names(self) -> Sequence[str]:
        """All names, sorted."""


class DocumentStore(Protocol):
    """Keeps documents, chunks, vectors and terms; nothing of one tenant is ever visible to another.

    All methods raise Unavailable (with a retry hint) when the store cannot answer, DeadlineExceeded when late.
    """

    async def replace(
        self, tenant: str, collection: str, documents: Sequence[IndexedDocument], now_us: int, timeout_s: float
    ) -> None:
        """Stores documents in place of those with the same ids: all of them, whole, or none."""

    async def relabel(
        self, tenant: str, collection: str, documents: Sequence[DocumentInput], now_us: int, timeout_s: float
    ) -> None:
        """Sets title, source and metadata of stored documents whose text is unchanged."""

    async def find(self, tenant: str, collection: str, ids: Sequence[str], timeout_s: float) -> dict[str, Document]:
        """The stored documents among `ids`, by id."""

    async def page(self, tenant: str, collection: str, after: str, limit: int, timeout_s: float) -> Sequence[Document]:
        """Up to `limit` documents with ids above `after`, in the byte order of their ids."""

    async def delete(self, tenant: str, collection: str, document: str, timeout_s: float) -> bool:
        """Whether there was such a document."""

    async def counts(self, tenant: str, timeout_s: float) -> dict[str, CollectionCounts]:
        """Counts by collection; collections without documents are absent."""

    async def search(self, scope: Scope, probe: Probe, rank: Rank, timeout_s: float) -> Found:
        """The best candidates of each retriever, ranked by `rank`, as passages from one snapshot."""


class Generator(Protocol):
    """Writes an answer from passages."""

    @property
    def name(self) -> str:
        """The model's name, shown with the answer."""

    def generate(self, question: str, passages: Sequence[Passage], timeout_s: float) -> AsyncIterator[str]:
        """Pieces of text that cite passages as [1], [2]…; Unavailable or DeadlineExceeded when it fails."""


class Metrics(Protocol):
    """What is counted while searching, answering and storing."""

    def searched(self, outcome: SearchOutcome) -> None:
        """One search that was answered."""
        ...

    def ask_event(self, event: AskEvent) -> None:
        """One event of an answer; only the last one counts."""
        ...

    def upserted(self, documents: int) -> None:
        """Documents that an upsert was acknowledged for, changed or not."""
        ...
