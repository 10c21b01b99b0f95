"""The bodies of /v1/collections as documents show them; see schema.py for the others."""

from typing import Annotated, Literal

from pydantic import BaseModel, FailFast, Field

from gateway.api.http.bodies import Body, Strings, Text
from gateway.domain.retrieve import MAX_ASK_TOP_K, MAX_DOCUMENTS, MAX_ID, MAX_QUERY, MAX_SEARCH_TOP_K, MEDIA_TYPES


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

    query: Text = Field(json_schema_extra={"minLength": 1, "maxLength": MAX_QUERY})
    top_k: int | None = Field(
        None,
        ge=1,
        description="How many passages; absent: as the collection declares.",
        json_schema_extra={"maximum": MAX_SEARCH_TOP_K},
    )
    mode: Literal["hybrid", "dense", "lexical"] | None = Field(None, description="Absent: as the collection declares.")
    filters: Strings | None = Field(None, description="Metadata that a document must carry.")


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

    question: Text = Field(json_schema_extra={"minLength": 1, "maxLength": MAX_QUERY})
    top_k: int | None = Field(
        None,
        ge=1,
        description="How many passages; absent: as the collection declares.",
        json_schema_extra={"maximum": MAX_ASK_TOP_K},
    )
    filters: Strings | None = Field(None, description="Metadata that a document must carry.")
    stream: bool = Field(False, description="Answer server-sent events: passages, text…, answer (or error).")


class Citation(BaseModel):
    """Which passage the answer relies on."""

    passage: int = Field(description="Index into passages.")
    document_id: str
    source: str
    line_start: int
    line_end: int
    quote: str


class Answered(BaseModel):
    """A cited answer; `answerable` is false when the documents do not hold it."""

    text: str
    answerable: bool
    citations: list[Citation]
    generator: str
    degraded: bool
    degraded_reason: str
    timings_ms: dict[str, float]


class AskResponse(Answered):
    """A cited answer and the passages that it was made from."""

    request_id: str
    passages: list[Passage]


class DocumentInput(Body):
    """A document to store; the same id replaces it."""

    id: str = Field(json_schema_extra={"minLength": 1, "maxLength": MAX_ID})
    text: Text
    media_type: Text = Field("text/plain", json_schema_extra={"enum": list(MEDIA_TYPES)})
    title: Text = ""
    source: Text = ""
    metadata: Strings | None = None


class UpsertRequest(Body):
    """Documents to store."""

    documents: Annotated[list[DocumentInput], FailFast()] = Field(
        json_schema_extra={"minItems": 1, "maxItems": MAX_DOCUMENTS}
    )


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
