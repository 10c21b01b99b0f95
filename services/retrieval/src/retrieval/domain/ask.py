"""Ask: search, decide whether the documents hold an answer, then quote it or have a language model write it."""

import re
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, replace

from chassis.errors import DeadlineExceeded, InvalidArgument, MizzenError, Unavailable
from retrieval.domain import extract
from retrieval.domain.access import open_collection
from retrieval.domain.extract import Candidate, Thresholds
from retrieval.domain.model import Answer, AskEvent, Citation, Passage, Search, SearchOutcome
from retrieval.domain.ports import Analyzer, Clock, Collections, Embedder, Generator
from retrieval.domain.search import EMBEDDER_DOWN, EmbedLimits, Searching

MAX_PASSAGES = 20
EXTRACTIVE = "extractive"
GENERATOR_DOWN = "the language model is not available: sentences are quoted instead"
RESERVE_S = 0.2
"""Time kept for the extractive answer when a language model is asked first."""

_MARK = re.compile(r"\[(\d{1,2})\]")


@dataclass(frozen=True, slots=True)
class Extract:
    """The sentences that fit best, and whether they answer."""

    chosen: tuple[Candidate, ...]
    answerable: bool
    degraded_reason: str


class Asking:
    """Answers questions from documents, with citations."""

    def __init__(
        self,
        searching: Searching,
        embedder: Embedder,
        analyzer: Analyzer,
        collections: Collections,
        clock: Clock,
        generator: Generator | None = None,
        thresholds: Thresholds | None = None,
        limits: EmbedLimits | None = None,
    ) -> None:
        self._searching = searching
        self._embedder = embedder
        self._analyzer = analyzer
        self._collections = collections
        self._clock = clock
        self._generator = generator
        self._thresholds = thresholds or Thresholds()
        self._limits = limits or EmbedLimits()

    async def ask(self, search: Search) -> AsyncIterator[AskEvent]:
        """The passages, then pieces of text, last the whole Answer (whose text counts where pieces differ).

        Same errors as Searching.search. A language model that fails is replaced by quotes, and the answer says so.
        """
        if not 1 <= search.top_k <= MAX_PASSAGES:
            raise InvalidArgument(f"top_k is 1 to {MAX_PASSAGES}", reason="TOP_K_OUT_OF_RANGE", field="top_k")
        outcome = await self._searching.search(search)
        yield outcome.passages
        started = self._clock.monotonic_s()
        found = await self._extract(search, outcome)
        timings = dict(outcome.timings_ms) | {"extract": (self._clock.monotonic_s() - started) * 1e3}
        written = False
        if self._generator is not None and found.answerable:
            pieces: list[str] = []
            try:
                async for piece in self._generator.generate(search.query, outcome.passages, self._left_s(search)):
                    pieces.append(piece)
                    yield piece
                yield _written("".join(pieces), self._generator.name, outcome.passages, found, timings)
                return
            except (Unavailable, DeadlineExceeded):
                found, written = replace(found, degraded_reason=GENERATOR_DOWN), bool(pieces)
        answer = _quoted(outcome.passages, found, timings)
        if not written:
            yield answer.text
        yield answer

    async def _extract(self, search: Search, outcome: SearchOutcome) -> Extract:
        terms = self._analyzer.terms(search.query)
        found = extract.candidates(outcome.passages, terms, outcome.rarity, self._analyzer)
        if not found:
            return Extract((), False, outcome.degraded_reason)
        similarity, degraded = None, outcome.degraded_reason
        if outcome.vector is not None:
            model = open_collection(self._collections, search.collection, search.tenant).embedding
            texts = [candidate.unit.text for candidate in found]
            try:
                timeout_s = min(self._limits.seconds, self._limits.share * self._left_s(search))
                vectors = await self._embedder.embed(model, texts, timeout_s)
                similarity = extract.similarities(outcome.vector, vectors)
            except MizzenError:
                degraded = EMBEDDER_DOWN
        fits = extract.fit(found, outcome.passages, similarity)
        chosen = extract.choose(found, fits)
        best = extract.Evidence.of(outcome.passages, similarity, terms, outcome.rarity, self._analyzer)
        return Extract(tuple(chosen), extract.answerable(best, self._thresholds), degraded)

    def _left_s(self, search: Search) -> float:
        left_s = search.deadline_s - self._clock.monotonic_s() - RESERVE_S
        if left_s <= 0:
            raise DeadlineExceeded("the deadline is over")
        return left_s


def _quoted(passages: Sequence[Passage], found: Extract, timings: dict[str, float]) -> Answer:
    if not found.answerable:
        return Answer(extract.NOT_FOUND, False, (), EXTRACTIVE, found.degraded_reason, timings)
    citations = extract.cite(found.chosen, passages)
    return Answer(extract.compose(found.chosen), True, tuple(citations), EXTRACTIVE, found.degraded_reason, timings)


def _written(text: str, model: str, passages: Sequence[Passage], found: Extract, timings: dict[str, float]) -> Answer:
    """A model's text with the passages it names; where it names none, with what the quotes would have cited."""
    if extract.NOT_FOUND.lower().rstrip(".") in text.lower():
        return Answer(extract.NOT_FOUND, False, (), model, found.degraded_reason, timings)
    named = dict.fromkeys(int(mark) - 1 for mark in _MARK.findall(text))
    citations: list[Citation] = [extract.citation(n, passages) for n in named if 0 <= n < len(passages)]
    return Answer(
        text, True, tuple(citations or extract.cite(found.chosen, passages)), model, found.degraded_reason, timings
    )
