"""Quality of predictions from late labels."""

import numpy as np

from monitoring.domain.model import Floats, Quality

_BINS = 10
# Below this many labels a measure says more about chance than about the model.
_MIN_LABELS = 30


def quality(predictions: int, predicted: Floats, truth: Floats, kind: str) -> Quality:
    """Measures of `kind` binary or regression over [n] predictions with truth, out of `predictions` made."""
    count = len(truth)
    if count < _MIN_LABELS:
        return Quality(max(predictions, count), count)
    known = Quality(
        max(predictions, count), count, base_rate=float(truth.mean()), mean_prediction=float(predicted.mean())
    )
    if kind == "binary":
        return _binary(known, predicted, truth)
    error = predicted - truth
    return Quality(
        known.predictions,
        count,
        base_rate=known.base_rate,
        mean_prediction=known.mean_prediction,
        mae=float(np.abs(error).mean()),
        rmse=float(np.sqrt((error**2).mean())),
    )


def _binary(known: Quality, predicted: Floats, truth: Floats) -> Quality:
    return Quality(
        known.predictions,
        known.labelled,
        roc_auc=roc_auc(predicted, truth),
        ece=expected_calibration_error(predicted, truth),
        brier=float(((predicted - truth) ** 2).mean()),
        base_rate=known.base_rate,
        mean_prediction=known.mean_prediction,
    )


def roc_auc(predicted: Floats, truth: Floats) -> float | None:
    """Area under the ROC curve, ties counted half; None when only one class is there. Truth > 0.5 is positive."""
    positive = truth > 0.5
    positives, negatives = int(positive.sum()), int((~positive).sum())
    if not positives or not negatives:
        return None
    _, place, counts = np.unique(predicted, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(counts) - (counts - 1) / 2)[place]
    return float((ranks[positive].sum() - positives * (positives + 1) / 2) / (positives * negatives))


def expected_calibration_error(predicted: Floats, truth: Floats) -> float:
    """Mean |predicted - observed| over 10 equal-width bins of [0, 1], weighted by their rows."""
    place = np.clip((predicted * _BINS).astype(int), 0, _BINS - 1)
    sums = np.bincount(place, weights=predicted - truth, minlength=_BINS)
    return float(np.abs(sums).sum() / len(truth))
