"""What the package of the flight-delay model is made of: vocabulary, reference window, card and plots."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np
from card import card_text
from numpy.typing import NDArray
from training_set import ENDPOINT, TrainingSet, definitions

from training import Package, columns_of
from training.metrics import Floats
from training.plots import Axis, Line, axis, plot, reliability_plot, roc_plot

MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
TESTED_FROM = 11
WINDOW = (datetime(2013, 1, 1, 5, tzinfo=UTC), datetime(2013, 10, 1, 4, tzinfo=UTC))


@dataclass(frozen=True, slots=True)
class Trained:
    """What training gives: the graph, each word's vocabulary, calibrated probabilities of all rows, evaluation.json's content."""

    model: bytes
    vocabulary: dict[str, list[str]]
    probability: Floats
    evaluation: dict[str, Any]


def package_of(data: TrainingSet, trained: Trained, fitted: NDArray[np.bool_]) -> Package:
    """The package to write. `fitted` marks the reference window's rows."""
    catalog = definitions()
    endpoint, schema_hash = catalog.endpoints[ENDPOINT], catalog.schema_hash(ENDPOINT)
    return Package(
        endpoint=endpoint,
        schema_hash=schema_hash,
        onnx=trained.model,
        columns=columns_of(endpoint, {"numeric": data.numeric[fitted], "categorical": data.categorical[fitted]}),
        outputs={"probability": trained.probability[fitted]},
        window=WINDOW,
        label_rate=float(data.late[fitted].mean()),
        evaluation=trained.evaluation,
        card=card_text(data, trained.evaluation, schema_hash),
        documents={
            "vocabulary.json": json.dumps(trained.vocabulary, indent=1) + "\n",
            **{f"plots/{name}.svg": text for name, text in _plots(data, trained).items()},
        },
    )


def _plots(data: TrainingSet, trained: Trained) -> dict[str, str]:
    tested = data.month >= TESTED_FROM
    late, probability = data.late[tested].astype(np.float64), trained.probability[tested]
    months = [(int(month), each["roc_auc"]) for month, each in trained.evaluation["by_month"].items()]
    across = Axis(
        "month of 2013; fitted to September, calibrated on October",
        [(number, name) for number, name in enumerate(MONTHS, 1)],
    )
    return {
        "reliability": reliability_plot(
            "Calibration, November and December", late, probability, "network", "late flights"
        ),
        "roc": roc_plot("ROC, November and December", late, probability, "network"),
        "auc-by-month": plot(
            "ROC-AUC by month",
            across,
            axis("ROC-AUC", 0.6, 0.85, 5, digits=2),
            [Line("network", months, is_marked=True)],
        ),
    }
