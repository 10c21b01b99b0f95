"""Metrics by hand."""

import numpy as np
import pytest
from evaluation import as_float32, calibration_error, roc_auc, roc_curve


def test_roc_auc_counts_pairs_in_the_right_order_and_ties_half() -> None:
    late = np.array([0.0, 1.0, 0.0, 1.0])
    assert roc_auc(late, np.array([0.1, 0.9, 0.2, 0.8])) == 1.0
    assert roc_auc(late, np.array([0.5, 0.5, 0.5, 0.5])) == 0.5
    assert roc_auc(late, np.array([0.4, 0.3, 0.1, 0.6])) == 0.75
    assert np.isnan(roc_auc(np.ones(3), np.arange(3.0)))


def test_roc_curve_encloses_the_same_area() -> None:
    chance = np.random.default_rng(1)
    probability = chance.random(4000)
    late = (chance.random(4000) < probability).astype(float)
    false, true = roc_curve(late, probability, 2001)
    assert np.trapezoid(true, false) == pytest.approx(roc_auc(late, probability), abs=1e-3)


def test_calibration_error_is_the_mean_distance_of_bins() -> None:
    assert calibration_error(np.array([1.0, 0.0]), np.array([1.0, 0.0])) == 0
    assert calibration_error(np.array([1.0, 1.0, 0.0, 0.0]), np.array([0.9, 0.9, 0.2, 0.2])) == pytest.approx(0.15)


def test_shortest_texts_are_the_same_float32() -> None:
    value = float(np.sin(0.7))
    assert np.float32(as_float32({"a": [value]})["a"][0]) == np.float32(value)
