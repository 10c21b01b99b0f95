"""BM25's halves and the fusion of two scores."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from retrieval.domain import lexical
from retrieval.domain.fusion import ranking, three_sigma


def test_a_weight_grows_with_count_and_saturates() -> None:
    weights = [lexical.weight(count, 10, 10.0) for count in (1, 2, 10, 1000)]
    assert weights == sorted(weights)
    assert weights[0] == pytest.approx(1.0)
    assert weights[-1] < lexical.BEST_WEIGHT


def test_a_long_chunk_weighs_a_word_less() -> None:
    assert lexical.weight(1, 40, 10.0) < lexical.weight(1, 10, 10.0) < lexical.weight(1, 5, 10.0)


@pytest.mark.parametrize(("chunks", "frequency"), [(1, 1), (10, 10), (10, 1), (0, 0), (5, 7)])
def test_rarity_is_above_zero(chunks: int, frequency: int) -> None:
    assert lexical.rarity(chunks, frequency) > 0


def test_rarity_falls_with_frequency() -> None:
    assert lexical.rarity(1000, 1) > lexical.rarity(1000, 10) > lexical.rarity(1000, 900)


scores = arrays.arrays(np.float64, st.integers(1, 40), elements=st.floats(-50, 50, width=32))


@given(scores)
def test_three_sigma_keeps_order_and_stays_between_0_and_1(values: np.ndarray) -> None:
    scaled = three_sigma(values)
    assert ((scaled >= 0) & (scaled <= 1)).all()
    assert (np.diff(scaled[np.argsort(values)]) >= -1e-9).all()


def test_three_sigma_of_equal_scores_is_a_half() -> None:
    assert three_sigma(np.array([3.0, 3.0])).tolist() == [0.5, 0.5]


def test_fusion_takes_what_both_find_good() -> None:
    dense, words = np.array([0.9, 0.8, 0.1]), np.array([0.0, 9.0, 8.0])
    assert [ranked.index for ranked in ranking(2, 0.5)(dense, words)] == [1, 0]
    assert ranking(3, 1.0)(dense, words)[0].index == 0
    assert ranking(3, 0.0)(dense, words)[0].index == 1


def test_every_candidate_is_ranked_before_the_cut() -> None:
    rising = np.linspace(0.1, 0.9, 50)
    for rank in (ranking(3, 0.5)(rising, rising), ranking(3, 0.5)(rising, None), ranking(3, 0.5)(None, rising)):
        assert [ranked.index for ranked in rank] == [49, 48, 47]


def test_without_shared_words_the_cosine_is_the_score() -> None:
    ranked = ranking(10, 0.5)(np.array([0.4, -0.2]), np.zeros(2))
    assert [(r.index, r.score) for r in ranked] == [(0, 0.4), (1, 0.0)]


def test_words_alone_give_a_score_below_one() -> None:
    ranked = ranking(10, 0.5)(None, np.array([5.0, 10.0, 500.0]))
    assert [r.index for r in ranked] == [2, 1, 0]
    assert ranked[1].score == pytest.approx(0.5)
    assert ranked[0].score < 1
    assert ranking(10, 0.5)(None, None) == []
