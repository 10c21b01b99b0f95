"""Collections, documents, passages and answers, as the gateway passes them on."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum


class SearchMode(IntEnum):
    """How to search; DECLARED = as the collection says."""

    DECLARED = 0
    HYBRID = 1
    DENSE = 2
    LEXICAL = 3


class DocumentState(IntEnum):
    """How far a document is."""

    UNSPECIFIED = 0
    PENDING = 1
    READY = 2
    FAILED = 3


@dataclass(frozen=True, slots=True)
class CollectionInfo:
    """A loaded collection and its counts."""

    name: str
    description: str
    embedding_model: str
    documents: int
    chunks: int


@dataclass(slots=True)
class Passage:
    """A chunk returned with its score (0 to 1)."""

    document_id: str
    chunk: int
    text: str
    score: float
    dense_score: float
    lexical_score: float
    source: str
    title: str
    line_start: int
    line_end: int
    metadata: Mapping[str, str]


@dataclass(slots=True)
class SearchAnswer:
    """Best first."""

    passages: list[Passage]
    degraded: bool = False
    degraded_reason: str = ""
    timings_ms: Mapping[str, float] = field(default_factory=dict)
    request_id: str = ""


@dataclass(slots=True)
class Citation:
    """Which passage the answer relies on."""

    passage: int
    document_id: str
    source: str
    line_start: int
    line_end: int
    quote: str


@dataclass(slots=True)
class Answer:
    """The whole answer of an ask."""

    text: str
    answerable: bool
    citations: list[Citation]
    generator: str
    degraded: bool = False
    degraded_reason: str = ""
    timings_ms: Mapping[str, float] = field(default_factory=dict)


# Passages first, pieces of text, the Answer last.
AskEvent = list[Passage] | str | Answer


@dataclass(slots=True)
class Question:
    """What to search or ask."""

    collection: str
    text: str
    top_k: int = 0
    mode: SearchMode = SearchMode.DECLARED
    filters: Mapping[str, str] = field(default_factory=dict)


@dataclass(slots=True)
class DocumentInput:
    """A document to store; the same id replaces it."""

    id: str
    text: str
    media_type: str = "text/plain"
    title: str = ""
    source: str = ""
    metadata: Mapping[str, str] = field(default_factory=dict)


@dataclass(slots=True)
class Document:
    """A stored document."""

    id: str
    collection: str
    title: str
    source: str
    state: DocumentState
    reason: str
    chunks: int
    digest: str
    updated_at_us: int
    metadata: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Label:
    """Ground truth of one row of one prediction."""

    request_id: str
    row: int
    output: str
    value: float
    event_time_us: int


@dataclass(frozen=True, slots=True)
class LabelError:
    """Why one label was not stored."""

    index: int
    code: str
    reason: str
    message: str


@dataclass(slots=True)
class LabelsAnswer:
    """`older` labels lost to a newer event time."""

    stored: int
    older: int
    errors: list[LabelError]


@dataclass(frozen=True, slots=True)
class Report:
    """A rendered report."""

    media_type: str
    body: bytes
