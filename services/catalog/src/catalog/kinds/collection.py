"""Collection: documents, how they are cut, embedded and searched."""

from pathlib import PurePosixPath
from typing import Literal, Self

from pydantic import Field as Described
from pydantic import model_validator

from catalog.fields import GROUP_VERSION, Definition, Fault, Metadata, ObjectName, refuse

STORED_DIMENSIONS = 384
"""Length of the vectors that are stored; a collection that asks for another one is refused."""


class Chunking(Definition):
    """How documents are cut into chunks."""

    max_characters: int = Described(default=900, ge=100, le=8000, description="Most characters of a chunk.")
    overlap_characters: int = Described(
        default=100, ge=0, le=2000, description="Characters shared with the chunk before."
    )


class Embedding(Definition):
    """Which model turns text into vectors."""

    inference_service: ObjectName = Described(
        default="minilm", description="InferenceService that serves the embedder."
    )
    model: str = Described(default="minilm", description="Model name in its repository: `text` in, `embedding` out.")
    dimensions: int = Described(default=384, ge=1, le=2000, description="Length of a vector.")


class Search(Definition):
    """How a collection is searched."""

    mode: Literal["hybrid", "dense", "lexical"] = Described(
        default="hybrid", description="Used when a request names none."
    )
    dense_weight: float = Described(default=0.5, ge=0, le=1, description="Weight of the dense score in the fused one.")
    candidates: int = Described(default=50, ge=1, le=1000, description="Chunks each retriever brings before fusing.")


class DocumentSource(Definition):
    """Files that `mizzen ingest` reads for this collection."""

    path: str = Described(description="Glob relative to the definition's project directory, e.g. docs/**/*.md.")

    @model_validator(mode="after")
    def _stays_inside(self) -> Self:
        parts = PurePosixPath(self.path).parts
        if not parts or parts[0] == "/" or ".." in parts:
            refuse(
                [
                    Fault(
                        ("path",), f"{self.path!r} leads out of the project", "write a glob below it, e.g. docs/**/*.md"
                    )
                ]
            )
        if any("**" in part and part != "**" for part in parts):
            refuse([Fault(("path",), f"{self.path!r} is no glob", "write ** as a whole part, e.g. docs/**/*.md")])
        return self


class CollectionSpec(Definition):
    """What a collection is."""

    description: str = Described(default="", description="One sentence for its users.")
    chunking: Chunking = Described(default_factory=Chunking, description="Cutting.")
    embedding: Embedding = Described(default_factory=Embedding, description="Embedding.")
    search: Search = Described(default_factory=Search, description="Searching.")
    sources: tuple[DocumentSource, ...] = Described(default=(), description="Files to ingest.")
    tenants: tuple[str, ...] = Described(
        default=(), description="Tenants that may use it; empty: every tenant, each its own documents."
    )


class Collection(Definition):
    """A document collection."""

    api_version: Literal["mizzen.dev/v1alpha1"] = Described(default=GROUP_VERSION, description="Group and version.")
    kind: Literal["Collection"] = Described(default="Collection", description="Kind.")
    metadata: Metadata = Described(description="Object metadata.")
    spec: CollectionSpec = Described(description="What it is.")

    @property
    def name(self) -> str:
        """The object's name, as in the API path."""
        return self.metadata.name
