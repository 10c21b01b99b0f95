"""How good predictions are: discrimination, calibration, and what simpler models reach on the same features."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
ECE_BINS = 15


def roc_auc(late: Floats, probability: Floats) -> float:
    """Area under the ROC curve by ranks; ties count half. NaN when only one class is there."""
    _, place, counts = np.unique(probability, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    ranks = (last - (counts - 1) / 2)[place]
    positive = late.sum()
    negative = len(late) - positive
    if not positive or not negative:
        return float("nan")
    return float((ranks[late == 1].sum() - positive * (positive + 1) / 2) / (positive * negative))


def roc_curve(late: Floats, probability: Floats, points: int = 101) -> tuple[Floats, Floats]:
    """False and true positive rates at `points` evenly spaced false positive rates."""
    order = np.argsort(-probability, kind="stable")
    hits = np.cumsum(late[order])
    false, true = (np.arange(1, len(late) + 1) - hits) / (len(late) - hits[-1]), hits / hits[-1]
    wanted = np.linspace(0, 1, points)
    return wanted, np.interp(wanted, np.r_[0, false], np.r_[0, true])


def reliability(late: Floats, probability: Floats) -> list[dict[str, float]]:
    """Mean probability and share of late flights of ECE_BINS bins of equal width, empty ones left out."""
    bins = np.minimum((probability * ECE_BINS).astype(int), ECE_BINS - 1)
    return [
        {
            "rows": int(chosen.sum()),
            "probability": float(probability[chosen].mean()),
            "late": float(late[chosen].mean()),
        }
        for chosen in (bins == number for number in range(ECE_BINS))
        if chosen.any()
    ]


def calibration_error(late: Floats, probability: Floats) -> float:
    """Expected calibration error: mean distance of probability and share of late flights over bins, weighted by rows."""
    bins = reliability(late, probability)
    return sum(each["rows"] * abs(each["probability"] - each["late"]) for each in bins) / len(late)


def metrics(late: Floats, probability: Floats) -> dict[str, float]:
    """All of them; `rows` and `late` say of what."""
    clipped = np.clip(probability, 1e-7, 1 - 1e-7)
    return {
        "rows": len(late),
        "late": float(late.mean()),
        "roc_auc": roc_auc(late, probability),
        "ece": calibration_error(late, probability),
        "brier": float(np.mean((probability - late) ** 2)),
        "log_loss": float(-np.mean(late * np.log(clipped) + (1 - late) * np.log(1 - clipped))),
    }


def as_float32(value: Any) -> Any:
    """The same with every float in its shortest text that is the same float32: half the size, and equal values stay equal."""
    if isinstance(value, Mapping):
        return {key: as_float32(each) for key, each in value.items()}
    if isinstance(value, list):
        return [as_float32(each) for each in value]
    return float(str(np.float32(value))) if isinstance(value, float) else value


def rounded(value: Any) -> Any:
    """The same with every float at five digits, so that files of equal runs are equal."""
    if isinstance(value, Mapping):
        return {key: rounded(each) for key, each in value.items()}
    if isinstance(value, list):
        return [rounded(each) for each in value]
    return round(value, 5) if isinstance(value, float) else value
