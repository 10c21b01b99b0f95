"""How good predictions are: one implementation for evaluations, model cards and reports. Pure NumPy.

Arguments come in scikit-learn's order, truth first, and its results are the reference of the tests.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
ECE_BINS = 15
"""Bins of equal width, as in Guo et al., On Calibration of Modern Neural Networks, 2017 (arXiv:1706.04599)."""
_LEAST = 1e-7


def roc_auc(truth: Floats, predicted: Floats) -> float | None:
    """Area under the ROC curve of [n] scores, ties counted half; None when only one class is there. Truth > 0.5 is positive.

    By ranks: the statistic of Mann and Whitney, divided by the number of pairs.
    """
    positive = truth > 0.5
    positives, negatives = int(positive.sum()), int((~positive).sum())
    if not positives or not negatives:
        return None
    _, place, counts = np.unique(predicted, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(counts) - (counts - 1) / 2)[place]
    return float((ranks[positive].sum() - positives * (positives + 1) / 2) / (positives * negatives))


def roc_curve(truth: Floats, predicted: Floats, points: int = 101) -> tuple[Floats, Floats]:
    """False and true positive rates at `points` evenly spaced false positive rates, of rows of both classes."""
    order = np.argsort(-predicted, kind="stable")
    hits = np.cumsum(truth[order])
    false, true = (np.arange(1, len(truth) + 1) - hits) / (len(truth) - hits[-1]), hits / hits[-1]
    wanted = np.linspace(0, 1, points)
    return wanted, np.interp(wanted, np.r_[0, false], np.r_[0, true])


def reliability(truth: Floats, predicted: Floats) -> list[dict[str, float]]:
    """Of each of ECE_BINS bins of probability that has rows: `rows`, mean `predicted` and the share `observed`."""
    place = np.clip((predicted * ECE_BINS).astype(int), 0, ECE_BINS - 1)
    rows, sums, hits = (
        np.bincount(place, weights, ECE_BINS) for weights in (None, predicted, np.asarray(truth, np.float64))
    )
    return [
        {"rows": int(count), "predicted": float(total / count), "observed": float(seen / count)}
        for count, total, seen in zip(rows, sums, hits, strict=True)
        if count
    ]


def expected_calibration_error(truth: Floats, predicted: Floats) -> float:
    """Mean |predicted - observed| over bins of equal width of [0, 1], weighted by their rows."""
    bins = reliability(truth, predicted)
    return sum(each["rows"] * abs(each["predicted"] - each["observed"]) for each in bins) / len(truth)


def brier(truth: Floats, predicted: Floats) -> float:
    """Mean squared distance of probability and outcome."""
    return float(((predicted - truth) ** 2).mean())


def log_loss(truth: Floats, predicted: Floats) -> float:
    """Mean negative log likelihood of outcomes 0 and 1, probabilities kept 1e-7 away from 0 and 1."""
    kept = np.clip(predicted, _LEAST, 1 - _LEAST)
    return float(-(truth * np.log(kept) + (1 - truth) * np.log1p(-kept)).mean())


def mean_absolute_error(truth: Floats, predicted: Floats) -> float:
    """Mean |predicted - truth|, in the unit of both."""
    return float(np.abs(predicted - truth).mean())


def root_mean_squared_error(truth: Floats, predicted: Floats) -> float:
    """Root of the mean squared error, in the unit of both."""
    return float(np.sqrt(((predicted - truth) ** 2).mean()))


Measure = Callable[[Floats, Floats], float | None]
BINARY: Mapping[str, Measure] = {
    "roc_auc": roc_auc,
    "ece": expected_calibration_error,
    "brier": brier,
    "log_loss": log_loss,
}
REGRESSION: Mapping[str, Measure] = {"mae": mean_absolute_error, "rmse": root_mean_squared_error}
GREATER_IS_BETTER = frozenset({"roc_auc"})
"""Of every other measure less is better."""
TITLES: Mapping[str, str] = {
    "roc_auc": "ROC-AUC",
    "ece": "ECE",
    "brier": "Brier",
    "log_loss": "log loss",
    "mae": "MAE",
    "rmse": "RMSE",
}
