"""Rows of the document store: how terms, weights, documents and passages look in PostgreSQL."""

import hashlib
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from retrieval.domain import lexical
from retrieval.domain.model import Document, IndexedChunk, IndexedDocument, Passage, Ranked

DIMENSIONS = 1_000_000_000
"""Of the sparse vectors: pgvector's limit. A term's dimension is its hash, so no vocabulary has to be kept."""


@lru_cache(maxsize=200_000)
def term_id(term: str) -> int:
    """The term's dimension, 0 to DIMENSIONS - 1; among 100,000 terms about five pairs share one."""
    return int.from_bytes(hashlib.blake2b(term.encode(), digest_size=8).digest()) % DIMENSIONS


@dataclass(frozen=True, slots=True)
class ChunkRow:
    """A chunk with its number in the database."""

    number: int
    document: str
    chunk: IndexedChunk
    counts: Mapping[int, int]

    @property
    def length(self) -> int:
        """Terms, repeats counted."""
        return sum(self.counts.values())

    def weights(self, average_length: float) -> dict[int, float]:
        """BM25 weights by dimension; the query's rarities are the other factor."""
        length = self.length
        return {term: lexical.weight(count, length, average_length) for term, count in self.counts.items()}


def chunk_rows(documents: Sequence[IndexedDocument], numbers: Sequence[int]) -> list[ChunkRow]:
    """One row a chunk, numbered in order."""
    rows: list[ChunkRow] = []
    for document in documents:
        for chunk in document.chunks:
            counts: Counter[int] = Counter()
            for term, count in chunk.terms.items():
                counts[term_id(term)] += count
            rows.append(ChunkRow(numbers[len(rows)], document.document.id, chunk, counts))
    return rows


def document_of(row: Any) -> Document:
    """A stored document from its row."""
    return Document(
        id=row["document"],
        collection=row["collection"],
        title=row["title"],
        source=row["source"],
        digest=row["digest"],
        fingerprint=row["fingerprint"],
        chunks=row["chunks"],
        updated_at_us=row["updated_at_us"],
        metadata=json.loads(row["metadata"]),
    )


def passage_of(row: Any, ranked: Ranked, dense: float, bm25: float) -> Passage:
    """A passage from its chunk joined with its document."""
    return Passage(
        document_id=row["document"],
        chunk=row["position"],
        text=row["content"],
        heading=row["heading"],
        score=ranked.score,
        dense_score=dense,
        lexical_score=bm25,
        source=row["source"],
        title=row["title"],
        line_start=row["line_start"],
        line_end=row["line_end"],
        metadata=json.loads(row["metadata"]),
    )
