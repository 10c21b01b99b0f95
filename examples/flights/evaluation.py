"""How good predictions are: discrimination, calibration, and what simpler models reach on the same features."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from training import metrics as measures
from training.metrics import Floats


def roc_curve(late: Floats, probability: Floats, points: int = 101) -> tuple[Floats, Floats]:
    """False and true positive rates at `points` evenly spaced false positive rates."""
    order = np.argsort(-probability, kind="stable")
    hits = np.cumsum(late[order])
    false, true = (np.arange(1, len(late) + 1) - hits) / (len(late) - hits[-1]), hits / hits[-1]
    wanted = np.linspace(0, 1, points)
    return wanted, np.interp(wanted, np.r_[0, false], np.r_[0, true])


def metrics(late: Floats, probability: Floats) -> dict[str, Any]:
    """All of them; `rows` and `late` say of what."""
    return {
        "rows": len(late),
        "late": float(late.mean()),
        "roc_auc": measures.roc_auc(late, probability),
        "ece": measures.expected_calibration_error(late, probability),
        "brier": measures.brier(late, probability),
        "log_loss": measures.log_loss(late, probability),
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
