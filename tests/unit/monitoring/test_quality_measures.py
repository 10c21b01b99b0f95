"""ROC-AUC, ECE and the rest against their definitions."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monitoring.domain.quality import expected_calibration_error, quality, roc_auc

PAIRS = st.lists(st.tuples(st.integers(0, 20), st.booleans()), min_size=2, max_size=80)


@settings(deadline=None)
@given(PAIRS)
def test_roc_auc_is_the_share_of_ordered_pairs_ties_half(pairs: list[tuple[int, bool]]) -> None:
    predicted = np.array([p / 20 for p, _ in pairs])
    truth = np.array([float(t) for _, t in pairs])
    positive, negative = predicted[truth == 1], predicted[truth == 0]
    found = roc_auc(predicted, truth)
    if not len(positive) or not len(negative):
        assert found is None
        return
    wins = (positive[:, None] > negative).mean() + 0.5 * (positive[:, None] == negative).mean()
    assert found == pytest.approx(wins)


def test_calibrated_predictions_have_a_small_error_and_shifted_ones_theirs() -> None:
    random = np.random.default_rng(0)
    predicted = random.random(50_000)
    truth = (random.random(50_000) < predicted).astype(float)
    assert expected_calibration_error(predicted, truth) < 0.01
    assert expected_calibration_error(np.full(1000, 0.9), np.zeros(1000)) == pytest.approx(0.9)


def test_errors_of_two_bins_do_not_cancel() -> None:
    """Too sure both ways: 0.2 where 0.4 came true, 0.8 where 0.6 did."""
    predicted = np.repeat([0.2, 0.8], 100)
    truth = np.concatenate([np.repeat([1.0, 0.0], [40, 60]), np.repeat([1.0, 0.0], [60, 40])])
    assert expected_calibration_error(predicted, truth) == pytest.approx(0.2)
    # A bin's weight is its rows.
    assert expected_calibration_error(predicted[:150], truth[:150]) == pytest.approx((100 * 0.2 + 50 * 0.2) / 150)


def test_few_labels_give_no_measures_and_coverage_all_the_same() -> None:
    found = quality(100, np.full(10, 0.5), np.ones(10), "binary")
    assert (found.roc_auc, found.brier, found.coverage) == (None, None, 0.1)


def test_regression_measures_errors() -> None:
    found = quality(100, np.full(50, 3.0), np.full(50, 1.0), "regression")
    assert (found.mae, found.rmse, found.roc_auc) == (2.0, 2.0, None)
