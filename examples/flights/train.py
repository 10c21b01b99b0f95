"""Trains the flight-delay model and writes its package: `python train.py --root OFFLINE_ROOT --output MODEL_DIRECTORY`.

Fitted on January to September, everything chosen and calibrated on October, measured on November and December, which
decide nothing.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import torch
from baselines import boosting, logistic_regression
from data import prepare
from graph import to_onnx
from network import Fitting, Network, fit, fit_scaling, logits_of
from numpy.typing import NDArray
from package import Trained, package_of
from training_set import ENDPOINT, HERE, TrainingSet, build

import training
from training import Bound
from training.metrics import Floats

FITTED, CHOSEN, TESTED = range(1, 10), (10,), (11, 12)
PARTS = {"fitted": FITTED, "calibrated": CHOSEN, "test": TESTED}
AGREEMENT = 1e-4
# A network that is no better than a straight line through the same features, or not calibrated, is not packaged.
BOUNDS = (Bound("roc_auc", limit=0.74, worse_by=0), Bound("ece", limit=0.02))
REPEATED = tuple(Bound(name, differs_by=0.005) for name in ("roc_auc", "ece", "brier", "log_loss"))


@dataclass(frozen=True, slots=True)
class Words:
    """Values of each word column, code 1 first, and the codes of all rows [rows, words], 0 for unknown."""

    vocabulary: list[list[str]]
    codes: NDArray[np.int64]


def encode(categorical: NDArray[np.str_], fitted: NDArray[np.bool_]) -> Words:
    """Codes by the values of the `fitted` rows alone."""
    vocabulary = [sorted(set(column[fitted].tolist())) for column in categorical.T]
    places = [{value: code for code, value in enumerate(values, 1)} for values in vocabulary]
    codes = [
        [place.get(word, 0) for word in column.tolist()] for place, column in zip(places, categorical.T, strict=True)
    ]
    return Words(vocabulary, np.asarray(codes, dtype=np.int64).T)


def view_numbers(refs: tuple[str, ...]) -> tuple[int, ...]:
    """The number of each feature's view; what comes from the request itself is 0 and never hidden."""
    names = [ref.partition(":")[0] for ref in refs]
    stored = list(dict.fromkeys(name for name in names if name not in ("flight", "input")))
    return tuple(stored.index(name) + 1 if name in stored else 0 for name in names)


def calibrate(logits: Floats, late: Floats) -> tuple[float, float]:
    """Slope and offset of Platt's straight line through the logits, by Newton's method."""
    line, rows = np.array([1.0, 0.0]), np.stack([logits, np.ones_like(logits)], axis=1)
    for _ in range(30):
        probability = 1 / (1 + np.exp(-rows @ line))
        step = np.linalg.solve(
            rows.T @ (rows * (probability * (1 - probability))[:, None]), rows.T @ (probability - late)
        )
        line -= step
        if np.abs(step).max() < 1e-10:
            break
    return float(line[0]), float(line[1])


def train(data: TrainingSet, fitting: Fitting | None = None, checkpoint: Path | None = None) -> Trained:
    """Fits on January to September (going on from `checkpoint`, see `fit`), calibrates on October, measures everything."""
    fitting = fitting or Fitting(view_numbers(data.numeric_refs))
    # One thread: the layers are small, and threads would wait for each other wherever the machine is busy.
    torch.set_num_threads(1)
    torch.manual_seed(fitting.seed)
    fitted, chosen = np.isin(data.month, FITTED), np.isin(data.month, CHOSEN)
    words = encode(data.categorical, fitted)
    network = Network(
        fit_scaling(data.numeric[fitted]),
        tuple(len(values) + 1 for values in words.vocabulary),
        fitting.hidden,
        fitting.dropout,
    )
    numeric, codes, late = torch.from_numpy(data.numeric), torch.from_numpy(words.codes), torch.from_numpy(data.late)
    rows = torch.from_numpy(fitted)
    for epoch in fit(network, numeric[rows], codes[rows], late[rows], fitting, checkpoint):
        print(f"epoch {epoch} of {fitting.epochs}", flush=True)
    logits, truth = logits_of(network, numeric, codes), data.late.astype(np.float64)
    slope, offset = calibrate(logits[chosen], truth[chosen])
    probability = 1 / (1 + np.exp(-(slope * logits + offset)))
    model = to_onnx(network.eval(), words.vocabulary, slope, offset)
    check_agreement(model, data, probability)
    return Trained(
        model=model,
        vocabulary=dict(zip(data.categorical_refs, words.vocabulary, strict=True)),
        probability=probability,
        evaluation=evaluate(data, words, probability),
    )


def check_agreement(model: bytes, data: TrainingSet, probability: Floats) -> None:
    """Raises ArithmeticError when the graph answers other probabilities than the network that it was made from."""
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    rows = np.arange(0, len(probability), 50)
    given = {"numeric": data.numeric[rows], "categorical": data.categorical[rows].astype(object)}
    answered = np.asarray(session.run(["probability"], given)[0])
    furthest = float(np.abs(answered[:, 0] - probability[rows]).max())
    if not furthest < AGREEMENT:
        raise ArithmeticError(f"the ONNX graph's answers differ from the network's by up to {furthest:.2g}")


def evaluate(data: TrainingSet, words: Words, probability: Floats) -> dict[str, Any]:
    """The content of evaluation.json: the network and its baselines by part of the year, the network by month."""
    truth, fitted = data.late.astype(np.float64), np.isin(data.month, FITTED)
    print("baselines: logistic regression, boosting", flush=True)
    answers = {
        "network": probability,
        "logistic_regression": logistic_regression(data.numeric, words.codes, data.late, fitted),
        "lightgbm": boosting(data.numeric, words.codes, data.late, fitted),
        "base_rate": np.full(len(truth), truth[fitted].mean()),
    }
    parts = {name: np.isin(data.month, months) for name, months in PARTS.items()}
    return {
        "label": "arr_delay > 15 minutes",
        "months": {name: list(months) for name, months in PARTS.items()},
        "models": training.evaluate_parts(truth, answers, parts, positives="late"),
        "by_month": training.evaluate_groups(truth, probability, data.month, positives="late"),
        "left_out": data.left_out,
    }


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description="Train the flight-delay model and write its package.")
    parser.add_argument(
        "--root", type=Path, required=True, help="offline root directory; tables are made there when missing"
    )
    parser.add_argument("--output", type=Path, default=HERE / "model", help="package directory, replaced as a whole")
    parser.add_argument(
        "--check", action="store_true", help="write nothing; fail unless metrics agree with the package"
    )
    arguments = parser.parse_args()
    started = time.monotonic()
    prepare(arguments.root)
    print("building the training set", flush=True)
    data = build(arguments.root)
    print(
        f"{len(data.late):,} flights, {data.numeric.shape[1]} numbers, {time.monotonic() - started:.0f} s", flush=True
    )
    # A check has to train: it neither takes up nor leaves anything.
    checkpoint = None if arguments.check else arguments.root / ".training" / f"{ENDPOINT}.pt"
    trained = train(data, checkpoint=checkpoint)
    models = {name: parts["test"] for name, parts in trained.evaluation["models"].items()}
    if arguments.check:
        committed = training.evaluation_of(arguments.output, ENDPOINT)["models"]["network"]["test"]
        verdict = training.gate(models["network"], committed, REPEATED)
    else:
        verdict = training.gate(models["network"], models["logistic_regression"], BOUNDS)
    print(verdict)
    if not verdict.passed:
        raise SystemExit("the network does not hold to its bounds: nothing is written")
    if arguments.check:
        return
    digest = training.write_package(arguments.output, package_of(data, trained, np.isin(data.month, FITTED)))
    if arguments.output == HERE / "model":
        training.point_to(HERE, ENDPOINT, digest)
    if checkpoint is not None:
        checkpoint.unlink(missing_ok=True)
    print(f"package {digest} in {time.monotonic() - started:.0f} s")


if __name__ == "__main__":
    main()
