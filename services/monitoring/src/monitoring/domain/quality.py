"""Quality of predictions from late labels."""

from monitoring.domain.model import Floats, Quality
from training import metrics

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
    return Quality(
        known.predictions,
        count,
        base_rate=known.base_rate,
        mean_prediction=known.mean_prediction,
        mae=metrics.mean_absolute_error(truth, predicted),
        rmse=metrics.root_mean_squared_error(truth, predicted),
    )


def _binary(known: Quality, predicted: Floats, truth: Floats) -> Quality:
    return Quality(
        known.predictions,
        known.labelled,
        roc_auc=metrics.roc_auc(truth, predicted),
        ece=metrics.expected_calibration_error(truth, predicted),
        brier=metrics.brier(truth, predicted),
        base_rate=known.base_rate,
        mean_prediction=known.mean_prediction,
    )
