"""What retrieval thinks about: collections, documents, chunks, passages, answers."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

Vector = NDArray[np.float32]
Scores = NDArray[np.float64]


class Mode(StrEnum):
    """Which retrievers a search uses."""

    HYBRID = "hybrid"
    DENSE = "dense"
    LEXICAL = "lexical"


@dataclass(frozen=True, slots=True)
class EmbeddingModel:
    """The InferenceService and model that turn a collection's text into vectors."""

    inference_service: str = "minilm"
    model: str = "minilm"
    dimensions: int = 384


@dataclass(frozen=True, slots=True)
class Collection:
    """A collection's definition, as far as retrieval needs it. Sizes are characters; no tenants means every tenant."""

    name: str
    description: str = ""
    max_characters: int = 900
    overlap_characters: int = 100
    embedding: EmbeddingModel = EmbeddingModel()
    mode: Mode = Mode.HYBRID
    dense_weight: float = 0.5
    candidates: int = 50
    tenants: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class CollectionCounts:
    """How much one tenant keeps in a collection."""

    documents: int = 0
    chunks: int = 0


@dataclass(frozen=True, slots=True)
class DocumentInput:
    """A document as its caller sent it."""

    id: str
    text: str
    media_type: str = "text/markdown"
    title: str = ""
    source: str = ""
    metadata: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Chunk:
    """A piece of a document. Lines count from 1 and are inclusive; heading is the path of headings above it."""

    position: int
    heading: str
    text: str
    line_start: int
    line_end: int


@dataclass(frozen=True, slots=True)
class IndexedChunk:
    """A chunk with what it is found by: its unit vector and its term counts."""

    chunk: Chunk
    vector: Vector
    terms: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class IndexedDocument:
    """A whole document, ready to be stored. `fingerprint` covers everything that its chunks and vectors depend on."""

    document: DocumentInput
    digest: str
    fingerprint: str
    chunks: tuple[IndexedChunk, ...]


@dataclass(frozen=True, slots=True)
class Document:
    """A stored document: always whole, always searchable. `updated_at_us` is UTC µs since 1970."""

    id: str
    collection: str
    title: str
    source: str
    digest: str
    fingerprint: str
    chunks: int
    updated_at_us: int
    metadata: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Scope:
    """What a search may see: one tenant's documents of one collection that carry all of `filters`."""

    tenant: str
    collection: str
    filters: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Probe:
    """What the store looks for: a unit vector, terms, or both; `candidates` chunks for each."""

    vector: Vector | None
    terms: tuple[str, ...]
    candidates: int


@dataclass(frozen=True, slots=True)
class Ranked:
    """Position of a candidate in the arrays given to `Rank`, and its score from 0 to 1."""

    index: int
    score: float


@dataclass(frozen=True, slots=True)
class Passage:
    """A chunk returned with its scores: `score` 0 to 1, `dense_score` cosine, `lexical_score` BM25 (0 and up)."""

    document_id: str
    chunk: int
    text: str
    heading: str
    score: float
    dense_score: float
    lexical_score: float
    source: str
    title: str
    line_start: int
    line_end: int
    metadata: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Found:
    """The store's answer: passages, best first, and how rare each known query term is (its idf)."""

    passages: tuple[Passage, ...] = ()
    rarity: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Search:
    """One search. `deadline_s` is on the monotonic clock; `mode` None means as the collection declares."""

    tenant: str
    collection: str
    query: str
    deadline_s: float
    top_k: int = 10
    mode: Mode | None = None
    filters: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class SearchOutcome:
    """Passages best first, what was left out, and where the time went (stage → ms)."""

    passages: tuple[Passage, ...]
    rarity: Mapping[str, float]
    vector: Vector | None
    degraded_reason: str = ""
    timings_ms: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Citation:
    """Where a piece of an answer comes from: index into the passages, lines of the source, the words relied on."""

    passage: int
    document_id: str
    source: str
    line_start: int
    line_end: int
    quote: str


@dataclass(frozen=True, slots=True)
class Answer:
    """A whole answer. When not `answerable`, `text` says so and nothing is cited."""

    text: str
    answerable: bool
    citations: tuple[Citation, ...]
    generator: str
    degraded_reason: str = ""
    timings_ms: Mapping[str, float] = field(default_factory=dict)


AskEvent = tuple[Passage, ...] | str | Answer
