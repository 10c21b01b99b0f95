"""Collections, documents, passages and answers: what the gateway decides of them. The rest is passed on as it is."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Protocol


class SearchMode(IntEnum):
    """How to search; DECLARED = as the collection says."""

    DECLARED = 0
    HYBRID = 1
    DENSE = 2
    LEXICAL = 3


class CollectionInfo(Protocol):
    """A loaded collection and its counts, passed on as retrieval tells it."""

    @property
    def name(self) -> str:
        """What pages are sorted by."""


class Passage(Protocol):
    """A chunk returned with its score (0 to 1), passed on as retrieval found it; the record keeps these of it."""

    @property
    def document_id(self) -> str:
        """The document's id."""

    @property
    def chunk(self) -> int:
        """Which of the document's chunks, from 0."""

    @property
    def score(self) -> float:
        """Fused, 0 to 1."""


class Citation(Protocol):
    """Which passage an answer relies on."""

    @property
    def passage(self) -> int:
        """Index into the passages."""


class Answer(Protocol):
    """The whole answer of an ask, passed on as retrieval gives it; the record keeps these of it."""

    @property
    def answerable(self) -> bool:
        """False when the documents don't hold the answer."""

    @property
    def citations(self) -> Iterable[Citation]:
        """What the text relies on."""

    @property
    def degraded(self) -> bool:
        """A declared part was left out, as a dependency was down."""

    @property
    def timings_ms(self) -> Mapping[str, float]:
        """Milliseconds by stage."""


class Document(Protocol):
    """A stored document, passed on as retrieval tells it."""

    @property
    def id(self) -> str:
        """The caller's own id."""


@dataclass(slots=True)
class SearchAnswer:
    """Best first."""

    passages: Sequence[Passage]
    degraded: bool = False
    degraded_reason: str = ""
    timings_ms: Mapping[str, float] = field(default_factory=dict)
    request_id: str = ""


AskEvent = list[Passage] | str | Answer
"""Passages first, pieces of text, the Answer last."""


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
