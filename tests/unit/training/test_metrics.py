"""Measures of quality against their definitions, and against scikit-learn."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as reference
from sklearn.calibration import calibration_curve

from training import metrics
from training.metrics import ECE_BINS, expected_calibration_error, reliability, roc_auc, roc_curve

PAIRS = st.lists(st.tuples(st.integers(0, 20), st.booleans()), min_size=2, max_size=80)


@settings(deadline=None)
@given(PAIRS)
def test_roc_auc_is_the_share_of_ordered_pairs_ties_half(pairs: list[tuple[int, bool]]) -> None:
    predicted = np.array([p / 20 for p, _ in pairs])
    truth = np.array([float(t) for _, t in pairs])
    positive, negative = predicted[truth == 1], predicted[truth == 0]
    found = roc_auc(truth, predicted)
    if not len(positive) or not len(negative):
        assert found is None
        return
    wins = (positive[:, None] > negative).mean() + 0.5 * (positive[:, None] == negative).mean()
    assert found == pytest.approx(wins)


def test_calibrated_predictions_have_a_small_error_and_shifted_ones_theirs() -> None:
    random = np.random.default_rng(0)
    predicted = random.random(50_000)
    truth = (random.random(50_000) < predicted).astype(float)
    assert expected_calibration_error(truth, predicted) < 0.01
    assert expected_calibration_error(np.zeros(1000), np.full(1000, 0.9)) == pytest.approx(0.9)


def test_errors_of_two_bins_do_not_cancel() -> None:
    """Too sure both ways: 0.2 where 0.4 came true, 0.8 where 0.6 did."""
    predicted = np.repeat([0.2, 0.8], 100)
    truth = np.concatenate([np.repeat([1.0, 0.0], [40, 60]), np.repeat([1.0, 0.0], [60, 40])])
    assert expected_calibration_error(truth, predicted) == pytest.approx(0.2)
    # A bin's weight is its rows.
    assert expected_calibration_error(truth[:150], predicted[:150]) == pytest.approx((100 * 0.2 + 50 * 0.2) / 150)


@settings(deadline=None)
@given(PAIRS)
def test_each_measure_is_scikit_learns(pairs: list[tuple[int, bool]]) -> None:
    predicted = np.array([p / 20 for p, _ in pairs])
    truth = np.array([float(t) for _, t in pairs])
    if 0 < truth.sum() < len(truth):
        assert roc_auc(truth, predicted) == pytest.approx(reference.roc_auc_score(truth, predicted))
    assert metrics.brier(truth, predicted) == pytest.approx(reference.brier_score_loss(truth, predicted, pos_label=1))
    kept = np.clip(predicted, 1e-7, 1 - 1e-7)
    assert metrics.log_loss(truth, predicted) == pytest.approx(reference.log_loss(truth, kept, labels=[0.0, 1.0]))
    assert metrics.mean_absolute_error(truth, predicted) == pytest.approx(
        reference.mean_absolute_error(truth, predicted)
    )
    assert metrics.root_mean_squared_error(truth, predicted) == pytest.approx(
        reference.root_mean_squared_error(truth, predicted)
    )


def test_bins_are_scikit_learns() -> None:
    random = np.random.default_rng(1)
    predicted = random.random(5_000)
    truth = (random.random(5_000) < predicted**2).astype(float)
    observed, mean = calibration_curve(truth, predicted, n_bins=ECE_BINS, strategy="uniform")
    bins = reliability(truth, predicted)
    assert [each["predicted"] for each in bins] == pytest.approx(list(mean))
    assert [each["observed"] for each in bins] == pytest.approx(list(observed))
    assert sum(each["rows"] for each in bins) == 5_000


def test_the_roc_curve_is_scikit_learns_and_encloses_the_area() -> None:
    random = np.random.default_rng(1)
    predicted = random.random(4_000)
    truth = (random.random(4_000) < predicted).astype(float)
    false, true = roc_curve(truth, predicted, 2001)
    across, up, _ = reference.roc_curve(truth, predicted, drop_intermediate=False)
    assert list(true) == pytest.approx(list(np.interp(false, across, up)), abs=1e-2)
    assert np.trapezoid(true, false) == pytest.approx(roc_auc(truth, predicted), abs=1e-3)
