"""BM25, split so that a stored weight and a query's rarity multiply to the score."""

import math

SATURATION = 1.2
LENGTH_SHARE = 0.75
BEST_WEIGHT = SATURATION + 1
"""No term of a chunk weighs more than this; a score is below BEST_WEIGHT times the sum of rarities."""


def weight(count: int, length: int, average_length: float) -> float:
    """How much a term that occurs `count` times in a chunk of `length` terms counts, 0 to BEST_WEIGHT."""
    norm = SATURATION * (1 - LENGTH_SHARE + LENGTH_SHARE * length / max(average_length, 1.0))
    return count * BEST_WEIGHT / (count + norm)


def rarity(chunks: int, frequency: int) -> float:
    """The idf of a term that is in `frequency` of `chunks` chunks: above 0, higher for rarer terms."""
    return math.log(1 + (max(chunks, frequency) - frequency + 0.5) / (frequency + 0.5))
