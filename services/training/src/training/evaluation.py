"""How good models are on the same rows: the measures of `training.metrics`, by part of the data and by group."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from chassis.errors import InvalidArgument
from training.metrics import BINARY, REGRESSION, Floats

Kind = Literal["binary", "regression"]
"""As in an Endpoint's `monitoring.labels.kind`."""


def evaluate(
    truth: ArrayLike, predicted: ArrayLike, kind: Kind = "binary", positives: str = "positives"
) -> dict[str, Any]:
    """Every measure of `kind` over [rows] of truth and prediction, after `rows` and what is typical of the truth.

    binary: truth is 0 or 1, predicted a probability; the share of ones is named `positives`; `roc_auc` is None where only one
    class is there. regression: `mean` is that of the truth, in its unit. InvalidArgument for what can't be measured.
    """
    known, answered = _measurable(truth, predicted, kind)
    typical = float(known.mean())
    measures = BINARY if kind == "binary" else REGRESSION
    return {
        "rows": len(known),
        (positives if kind == "binary" else "mean"): typical,
        **{name: measure(known, answered) for name, measure in measures.items()},
    }


def evaluate_parts(
    truth: ArrayLike,
    models: Mapping[str, ArrayLike],
    parts: Mapping[str, NDArray[np.bool_]],
    kind: Kind = "binary",
    positives: str = "positives",
) -> dict[str, dict[str, dict[str, Any]]]:
    """Model → part → `evaluate`, of each model's answers [rows] on the rows that each part marks."""
    known = np.asarray(truth)
    return {
        model: {part: evaluate(known[rows], np.asarray(answers)[rows], kind, positives) for part, rows in parts.items()}
        for model, answers in models.items()
    }


def evaluate_groups(
    truth: ArrayLike, predicted: ArrayLike, groups: ArrayLike, kind: Kind = "binary", positives: str = "positives"
) -> dict[str, dict[str, Any]]:
    """Group → `evaluate`, in order of the values of `groups` [rows]."""
    known, answered, names = np.asarray(truth), np.asarray(predicted), np.asarray(groups)
    return {
        str(group): evaluate(known[names == group], answered[names == group], kind, positives)
        for group in np.unique(names).tolist()
    }


def _measurable(truth: ArrayLike, predicted: ArrayLike, kind: Kind) -> tuple[Floats, Floats]:
    known, answered = np.asarray(truth, np.float64), np.asarray(predicted, np.float64)
    if known.ndim != 1 or known.shape != answered.shape or not len(known):
        raise InvalidArgument(
            f"Truth {list(known.shape)} and predictions {list(answered.shape)} are not equally long columns of rows.",
            field="predicted",
        )
    if not (np.isfinite(known).all() and np.isfinite(answered).all()):
        raise InvalidArgument("Truth or predictions have missing or infinite values.", field="predicted")
    if kind == "binary" and not np.isin(known, (0.0, 1.0)).all():
        raise InvalidArgument("The truth of a binary answer is 0 or 1.", field="truth")
    if kind == "binary" and not ((answered >= 0) & (answered <= 1)).all():
        raise InvalidArgument("A binary answer is a probability, from 0 to 1.", field="predicted")
    return known, answered
