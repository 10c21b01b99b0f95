"""The bodies of /v1/collections as documents show them; see schema.py for the others."""

from typing import Literal

from pydantic import BaseModel, Field

from gateway.api.rest.schema import Body


class Collection(BaseModel):
    """A collection and its counts."""

    name: str
    description: str
    embedding_model: str
    documents: int
    chunks: int


class CollectionList(BaseModel):
    """A page of collections."""

    items: list[Collection]
    next_page_token: str


class SearchRequest(Body):
    """What to find."""

    query: str = Field(max_length=4096)
    top_k: int = Field(10, ge=1, le=100)
    mode: Literal["hybrid", "dense", "lexical"] | None = Field(None, description="Absent: as the collection declares.")
    filters: dict[str, str] | None = Field(None, description="Metadata that a document must carry.")


class Passage(BaseModel):
    """A chunk with its score."""

    document_id: str
    chunk: int
    text: str
    score: float = Field(description="Fused, 0 to 1.")
    dense_score: float
    lexical_score: float
    source: str
    title: str
    line_start: int
    line_end: int
    metadata: dict[str, str]


class SearchResponse(BaseModel):
    """Passages, best first."""

    request_id: str
    passages: list[Passage]
    degraded: bool
    degraded_reason: str
    timings_ms: dict[str, float]


class AskRequest(Body):
    """What to answer from the documents."""

    question: str = Field(max_length=4096)
    top_k: int = Field(5, ge=1, le=20)
    filters: dict[str, str] | None = None
    stream: bool = Field(False, description="Answer server-sent events: passages, text…, answer (or error).")


class Citation(BaseModel):
    """Which passage the answer relies on."""

    passage: int = Field(description="Index into passages.")
    document_id: str
    source: str
    line_start: int
    line_end: int
    quote: str


class AskResponse(BaseModel):
    """A cited answer; `answerable` is false when the documents do not hold it."""

    request_id: str
    text: str
    answerable: bool
    citations: list[Citation]
    generator: str
    passages: list[Passage]
    degraded: bool
    degraded_reason: str
    timings_ms: dict[str, float]


class DocumentInput(Body):
    """A document to store; the same id replaces it."""

    id: str = Field(min_length=1, max_length=256)
    text: str
    media_type: Literal["text/plain", "text/markdown"] = "text/plain"
    title: str = ""
    source: str = ""
    metadata: dict[str, str] | None = None


class UpsertRequest(Body):
    """Documents to store, 1 to 1,000."""

    documents: list[DocumentInput]


class Document(BaseModel):
    """A stored document."""

    id: str
    collection: str
    title: str
    source: str
    state: Literal["UNSPECIFIED", "PENDING", "READY", "FAILED"]
    reason: str
    chunks: int
    digest: str
    updated_at: str | None
    metadata: dict[str, str]


class DocumentList(BaseModel):
    """A page of documents."""

    items: list[Document]
    next_page_token: str


class UpsertResponse(BaseModel):
    """One per document, in order."""

    items: list[Document]


class DeleteResponse(BaseModel):
    """Whether there was one."""

    deleted: bool
