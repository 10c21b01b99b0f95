"""A generated corpus: as many chunks as a test or a benchmark asks for, without an embedder. Text is words of a Zipf-like
distribution without stop words, vectors lie around topics; every document has labels that 1 %, 10 %, 50 % and 100 % carry
whatever their topic, and labels that all documents of 1 %, 10 %, 25 % and 50 % of the topics carry and no others."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from retrieval.domain.model import Chunk, DocumentInput, IndexedChunk, IndexedDocument, Mode, Passage, Probe, Vector

SELECTIVITIES = {"1 %": {"hundredth": "7"}, "10 %": {"tenth": "7"}, "50 %": {"half": "1"}}
BY_TOPIC = {
    "1 %": {"topic_of_100": "7"},
    "10 %": {"topic_of_10": "7"},
    "25 %": {"topic_of_4": "3"},
    "50 %": {"topic_of_2": "1"},
}
"""Filters that follow the topic: a question about another topic has none of its nearest chunks in scope."""
FILTERS = SELECTIVITIES | {f"{share} on other topics": filters for share, filters in BY_TOPIC.items()}
WORDS, WORDS_A_CHUNK, WORDS_A_QUERY, TOPICS, DIMENSIONS = 20_000, 60, 5, 200, 384


@dataclass(frozen=True, slots=True)
class Question:
    """A query as the store gets it."""

    vector: Vector
    terms: tuple[str, ...]
    topic: int

    def probe(self, mode: Mode, candidates: int = 50) -> Probe:
        """What a search in that mode asks the store."""
        vector, terms = None if mode is Mode.LEXICAL else self.vector, () if mode is Mode.DENSE else self.terms
        return Probe(vector, terms, candidates)


class Corpus:
    """The same documents and questions for the same seed."""

    def __init__(self, seed: int = 1) -> None:
        self._random = np.random.default_rng(seed)
        self._topics = self._random.normal(size=(TOPICS, DIMENSIONS))
        chances = 1 / (np.arange(WORDS) + 30)  # the commonest word is in a quarter of the chunks
        self._cumulated = np.cumsum(chances / chances.sum())

    def documents(self, chunks: int, chunks_a_document: int) -> Iterator[IndexedDocument]:
        """`chunks` / `chunks_a_document` documents."""
        for number in range(chunks // chunks_a_document):
            topic = int(self._random.integers(TOPICS))
            pieces = tuple(
                IndexedChunk(
                    Chunk(n, "", f"chunk {n}", n + 1, n + 1), self._near(topic), Counter(self._words(WORDS_A_CHUNK))
                )
                for n in range(chunks_a_document)
            )
            labels = {"hundredth": str(number % 100), "tenth": str(number % 10), "half": str(number % 2), "all": "yes"}
            labels |= _topic_labels(topic)
            name = f"document-{number:06d}"
            yield IndexedDocument(DocumentInput(name, "text", metadata=labels), "digest", "fingerprint", pieces)

    def questions(self, count: int) -> list[Question]:
        """Questions about the corpus' topics, in its words."""
        topics = self._random.integers(TOPICS, size=count).tolist()
        return [Question(self._near(topic), tuple(self._words(WORDS_A_QUERY)), topic) for topic in topics]

    def _near(self, topic: int) -> Vector:
        vector = self._topics[topic] + self._random.normal(size=DIMENSIONS)
        return np.asarray(vector / np.linalg.norm(vector), dtype=np.float32)

    def _words(self, count: int) -> list[str]:
        found = np.searchsorted(self._cumulated, self._random.random(count))
        return [f"word{number}" for number in np.minimum(found, WORDS - 1)]


def _topic_labels(topic: int) -> dict[str, str]:
    return {f"topic_of_{parts}": str(topic % parts) for parts in (100, 10, 4, 2)}


def about_others(questions: Sequence[Question], filters: dict[str, str]) -> list[Question]:
    """The questions whose topic does not carry the filters: all, where these do not follow the topic."""
    return [each for each in questions if not filters.items() <= _topic_labels(each.topic).items()]


def hits(found: Sequence[Passage], exact: Sequence[Passage]) -> int:
    """How many of the exact answer's passages, or of passages as good as its last one, were found."""
    wanted = {(passage.document_id, passage.chunk) for passage in exact}
    least = min((passage.score for passage in exact), default=0.0) - 1e-4
    return sum((passage.document_id, passage.chunk) in wanted or passage.score >= least for passage in found)
