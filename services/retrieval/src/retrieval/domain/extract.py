"""The extractive answer: the sentences that fit a question best, quoted with their lines."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from retrieval.domain.model import Citation, Passage, Scores, Vector
from retrieval.domain.ports import Analyzer
from retrieval.domain.sentences import Unit, units

CONSIDERED = 12
"""Sentences whose vectors are compared; the rest share fewer words with the question."""
QUOTED = 3
NEAR_BEST = 0.85
"""A further sentence is quoted when it fits at least this well beside the best one."""
NOT_FOUND = "This is not in the documents."


@dataclass(frozen=True, slots=True)
class Candidate:
    """A sentence that may be quoted, and the share of the question's weight of words that it (with its headings) holds."""

    passage: int
    unit: Unit
    overlap: float


@dataclass(frozen=True, slots=True)
class Thresholds:
    """When a question counts as answered by the documents; calibrated, see the room's README."""

    evidence: float = 0.4
    weight_words: float = 0.4
    words_alone: float = 0.5


def candidates(
    passages: Sequence[Passage], terms: Sequence[str], rarity: Mapping[str, float], analyzer: Analyzer
) -> list[Candidate]:
    """The sentences worth a closer look, most shared words first; repeats in overlapping chunks count once."""
    found: list[Candidate] = []
    seen: set[str] = set()
    for index, passage in enumerate(passages):
        above = set(analyzer.terms(f"{passage.title} {passage.heading}"))
        for unit in units(passage.text):
            if unit.text in seen:
                continue
            seen.add(unit.text)
            own = set(analyzer.terms(unit.text))
            share = 0.75 * overlap(terms, own, rarity) + 0.25 * overlap(terms, own | above, rarity)
            found.append(Candidate(index, unit, share))
    best_first = sorted(range(len(found)), key=lambda i: (-found[i].overlap, found[i].passage))
    return [found[index] for index in best_first[:CONSIDERED]]


def overlap(terms: Sequence[str], held: set[str], rarity: Mapping[str, float]) -> float:
    """The share of the question's words that are held, 0 to 1, by their rarity; an unknown word is the rarest."""
    unknown = max(rarity.values(), default=1.0)
    weights = {term: rarity.get(term, unknown) for term in terms}
    total = sum(weights.values())
    return sum(weight for term, weight in weights.items() if term in held) / total if total else 0.0


def fit(found: Sequence[Candidate], passages: Sequence[Passage], similarity: Scores | None) -> Scores:
    """How well each sentence answers, 0 to 1: its meaning, its shared words, and how well its passage fits."""
    words = np.array([candidate.overlap for candidate in found], dtype=np.float64)
    around = np.array([passages[candidate.passage].score for candidate in found], dtype=np.float64)
    if similarity is None:
        return np.asarray(0.7 * words + 0.3 * around)
    return np.asarray(0.45 * np.clip(similarity, 0, 1) + 0.25 * words + 0.3 * around)


def similarities(question: Vector, sentences: Vector) -> Scores:
    """Cosine of the question with each sentence; both are unit vectors."""
    return np.asarray(sentences @ question, dtype=np.float64)


def choose(found: Sequence[Candidate], fits: Scores) -> list[Candidate]:
    """The sentences to quote, best first."""
    order = [int(index) for index in np.argsort(-fits, kind="stable")]
    return [found[index] for index in order[:QUOTED] if fits[index] >= NEAR_BEST * fits[order[0]]]


@dataclass(frozen=True, slots=True)
class Evidence:
    """What speaks for an answer, each 0 to 1.

    dense: the nearest passage's cosine; sentence: the best sentence's; words: the best share of the question's words
    that one passage holds. The vectors' two are None where there were none.
    """

    words: float
    dense: float | None = None
    sentence: float | None = None

    @classmethod
    def of(
        cls,
        passages: Sequence[Passage],
        similarity: Scores | None,
        terms: Sequence[str],
        rarity: Mapping[str, float],
        analyzer: Analyzer,
    ) -> "Evidence":
        """The evidence in the passages of one search."""
        held = [set(analyzer.terms(f"{p.title} {p.heading} {p.text}")) for p in passages]
        words = max((overlap(terms, terms_held, rarity) for terms_held in held), default=0.0)
        if similarity is None:
            return cls(words)
        return cls(words, max(p.dense_score for p in passages), float(similarity.max()))


def answerable(evidence: Evidence, thresholds: Thresholds) -> bool:
    """Whether the documents hold an answer. Without vectors only the words speak."""
    if evidence.dense is None or evidence.sentence is None:
        return evidence.words >= thresholds.words_alone
    near = max(evidence.dense, evidence.sentence)
    return thresholds.weight_words * evidence.words + (1 - thresholds.weight_words) * near >= thresholds.evidence


def cite(chosen: Sequence[Candidate], passages: Sequence[Passage]) -> list[Citation]:
    """Where the chosen sentences stand in their sources."""
    return [citation(candidate.passage, passages, candidate.unit) for candidate in chosen]


def citation(index: int, passages: Sequence[Passage], unit: Unit | None = None) -> Citation:
    """A citation of one sentence of a passage, or of the whole passage."""
    passage = passages[index]
    first = passage.line_start if unit is None else passage.line_start + unit.first
    last = passage.line_end if unit is None else passage.line_start + unit.last
    quote = passage.text if unit is None else unit.text
    return Citation(index, passage.document_id, passage.source, first, min(last, passage.line_end), quote)


def compose(chosen: Sequence[Candidate]) -> str:
    """The quoted sentences as one text, each with the number of its citation."""
    return "\n".join(f"{candidate.unit.text} [{number}]" for number, candidate in enumerate(chosen, start=1))
