"""One score out of two, by their full values: ranks alone throw away how much better the best one is."""

from collections.abc import Sequence

import numpy as np

from retrieval.domain.model import Ranked, Scores
from retrieval.domain.ports import Rank

HALFWAY = 10.0
"""The BM25 score that counts as 0.5 where there is no other retriever to compare with: about two rare words."""


def three_sigma(scores: Scores) -> Scores:
    """Scores on a scale where mean − 3σ is 0 and mean + 3σ is 1; all 0.5 where they do not differ."""
    spread = float(scores.std())
    if spread < 1e-9:
        return np.full_like(scores, 0.5)
    return np.asarray(np.clip((scores - scores.mean()) / (6 * spread) + 0.5, 0.0, 1.0))


def ranking(top_k: int, dense_weight: float) -> Rank:
    """A Rank of the best `top_k`: fused where both retrievers were asked, else the one there is, from 0 to 1."""

    def rank(dense: Scores | None, lexical: Scores | None) -> Sequence[Ranked]:
        if dense is not None and lexical is not None and lexical.any():
            score = dense_weight * three_sigma(dense) + (1 - dense_weight) * three_sigma(lexical)
        elif dense is not None:
            score = np.clip(dense, 0.0, 1.0)
        elif lexical is not None:
            score = lexical / (lexical + HALFWAY)
        else:
            return []
        order = np.argsort(-score, kind="stable")[:top_k]
        return [Ranked(int(index), float(score[index])) for index in order]

    return rank
