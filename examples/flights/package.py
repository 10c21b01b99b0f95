"""Writes the model package: graph, config.pbtxt, vocabulary, evaluation, reference profile, card and plots."""

from __future__ import annotations

import json
import re
import shutil
import tempfile
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
from card import card_text
from evaluation import as_float32, roc_curve, rounded
from numpy.typing import NDArray
from plots import Axis, Line, axis, plot
from training_set import ENDPOINT, TrainingSet, definitions

from inference.config import ModelConfig, Tensor, config_text
from inference.packaging import seal
from training.metrics import Floats, reliability
from training.profile import build_profile

MODEL = ENDPOINT
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


def write(root: Path, data: TrainingSet, trained: Trained, fitted: NDArray[np.bool_]) -> str:
    """Replaces the package at `root`, whole or not at all, and returns its digest. `fitted` marks the reference window's rows."""
    schema_hash = definitions().schema_hash(ENDPOINT)
    root.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=root.parent, prefix=".package-") as scratch:
        made = Path(scratch) / "model"
        (made / MODEL / "1").mkdir(parents=True)
        (made / MODEL / "package" / "plots").mkdir(parents=True)
        (made / MODEL / "1" / "model.onnx").write_bytes(trained.model)
        (made / MODEL / "config.pbtxt").write_text(config_text(_config(data, trained, schema_hash, fitted)))
        for name, text in _described(data, trained, schema_hash, fitted).items():
            (made / MODEL / "package" / name).write_text(text)
        manifest = seal(made)
        if root.exists():
            root.rename(Path(scratch) / "replaced")
        shutil.move(made, root)
    return manifest.digest


def point_to(project: Path, digest: str) -> None:
    """Writes `digest` into every storageUri of the model in the project's definitions and Helm values."""
    for path in (*project.rglob("*.yaml"), *project.rglob("*.values")):
        text, found = re.subn(rf"(pvc://models/{MODEL}/)[0-9a-f]{{16}}", rf"\g<1>{digest}", path.read_text())
        if found:
            path.write_text(text)


def _config(data: TrainingSet, trained: Trained, schema_hash: str, fitted: NDArray[np.bool_]) -> ModelConfig:
    return ModelConfig(
        name=MODEL,
        backend="onnxruntime",
        inputs=(
            Tensor("numeric", "FP32", (len(data.numeric_refs),)),
            Tensor("categorical", "BYTES", (len(data.categorical_refs),)),
        ),
        outputs=(Tensor("probability", "FP32", (1,)),),
        parameters={
            "mizzen.schema_hash": schema_hash,
            "mizzen.version": sha256(trained.model).hexdigest()[:12],
            "mizzen.baseline": json.dumps(_baseline(data, fitted), separators=(",", ":")),
        },
    )


def _baseline(data: TrainingSet, fitted: NDArray[np.bool_]) -> dict[str, float | str]:
    """What is typical of each column: the median of a number, the most frequent word."""
    medians = np.nanmedian(data.numeric[fitted], axis=0)
    baseline: dict[str, float | str] = {
        ref: round(float(value), 5) for ref, value in zip(data.numeric_refs, medians, strict=True)
    }
    for ref, column in zip(data.categorical_refs, data.categorical[fitted].T, strict=True):
        values, counts = np.unique(column, return_counts=True)
        baseline[ref] = str(values[np.argmax(counts)])
    return baseline


def _described(data: TrainingSet, trained: Trained, schema_hash: str, fitted: NDArray[np.bool_]) -> dict[str, str]:
    profile = build_profile(
        {
            **dict(zip(data.numeric_refs, data.numeric[fitted].T, strict=True)),
            **dict(zip(data.categorical_refs, data.categorical[fitted].T, strict=True)),
        },
        {"probability": trained.probability[fitted]},
        schema_hash=schema_hash,
        window=WINDOW,
        label_rate=float(data.late[fitted].mean()),
    )
    plots = {f"plots/{name}.svg": text for name, text in _plots(data, trained).items()}
    return {
        "vocabulary.json": json.dumps(trained.vocabulary, indent=1) + "\n",
        "evaluation.json": json.dumps(rounded(trained.evaluation), indent=1) + "\n",
        "profile.json": json.dumps(as_float32(profile), separators=(",", ":")) + "\n",
        "card.md": card_text(data, trained.evaluation, schema_hash),
        **plots,
    }


def _plots(data: TrainingSet, trained: Trained) -> dict[str, str]:
    tested = data.month >= TESTED_FROM
    late, probability = data.late[tested].astype(np.float64), trained.probability[tested]
    share, rate = axis("predicted probability", 0, 1, 5), axis("share of late flights", 0, 1, 5)
    bins = [(each["predicted"], each["observed"]) for each in reliability(late, probability)]
    curve = list(zip(*(side.tolist() for side in roc_curve(late, probability)), strict=True))
    months = [(int(month), each["roc_auc"]) for month, each in trained.evaluation["by_month"].items()]
    across = Axis(
        "month of 2013; fitted to September, calibrated on October",
        [(number, name) for number, name in enumerate(MONTHS, 1)],
    )
    diagonal = ((0.0, 0.0), (1.0, 1.0))
    return {
        "reliability": plot(
            "Calibration, November and December",
            share,
            rate,
            [Line("network", bins, is_marked=True), Line("perfect", diagonal, is_dashed=True)],
        ),
        "roc": plot(
            "ROC, November and December",
            axis("false positive rate", 0, 1, 5),
            axis("true positive rate", 0, 1, 5),
            [Line("network", curve), Line("chance", diagonal, is_dashed=True)],
        ),
        "auc-by-month": plot(
            "ROC-AUC by month",
            across,
            axis("ROC-AUC", 0.6, 0.85, 5, digits=2),
            [Line("network", months, is_marked=True)],
        ),
    }
