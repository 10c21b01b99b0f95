"""Evaluations: the measures by part and by group, with scikit-learn as the reference, and what can't be measured."""

from typing import Any

import numpy as np
import pytest
from sklearn import metrics as reference

import training
from chassis.errors import InvalidArgument

RANDOM = np.random.default_rng(5)
PROBABILITY = RANDOM.random(600)
HAPPENED = (RANDOM.random(600) < PROBABILITY).astype(int)
MINUTES = RANDOM.normal(40, 10, 600)
GUESSED = MINUTES + RANDOM.normal(1, 4, 600)


def test_a_binary_answer_is_measured_as_scikit_learn_does() -> None:
    found = training.evaluate(HAPPENED, PROBABILITY, positives="late")
    assert list(found) == ["rows", "late", "roc_auc", "ece", "brier", "log_loss"]
    assert (found["rows"], found["late"]) == (600, pytest.approx(HAPPENED.mean()))
    assert found["roc_auc"] == pytest.approx(reference.roc_auc_score(HAPPENED, PROBABILITY))
    assert found["brier"] == pytest.approx(reference.brier_score_loss(HAPPENED, PROBABILITY))
    assert found["log_loss"] == pytest.approx(reference.log_loss(HAPPENED, PROBABILITY))


def test_a_regression_is_measured_in_the_unit_of_its_truth() -> None:
    found = training.evaluate(MINUTES, GUESSED, "regression")
    assert found == {
        "rows": 600,
        "mean": pytest.approx(MINUTES.mean()),
        "mae": pytest.approx(reference.mean_absolute_error(MINUTES, GUESSED)),
        "rmse": pytest.approx(reference.root_mean_squared_error(MINUTES, GUESSED)),
    }


def test_each_model_is_measured_on_the_rows_of_each_part() -> None:
    first = np.arange(600) < 400
    models = {"guess": GUESSED, "mean": np.full(600, 40.0)}
    found = training.evaluate_parts(MINUTES, models, {"fitted": first, "test": ~first}, "regression")
    assert found["guess"]["test"] == training.evaluate(MINUTES[400:], GUESSED[400:], "regression")
    assert found["mean"]["fitted"] == training.evaluate(MINUTES[:400], models["mean"][:400], "regression")
    assert [found["guess"][part]["rows"] for part in ("fitted", "test")] == [400, 200]


def test_groups_come_in_the_order_of_their_values() -> None:
    groups = np.arange(600) % 3 + 9
    found = training.evaluate_groups(HAPPENED, PROBABILITY, groups)
    assert list(found) == ["9", "10", "11"]
    assert found["10"] == training.evaluate(HAPPENED[groups == 10], PROBABILITY[groups == 10])


def test_an_area_of_one_class_is_none() -> None:
    assert training.evaluate([0, 0], [0.2, 0.4])["roc_auc"] is None


@pytest.mark.parametrize(
    ("truth", "predicted", "kind"),
    [
        ([1, 0], [0.5], "binary"),
        ([], [], "regression"),
        ([[1.0]], [[1.0]], "regression"),
        ([0, 2], [0.1, 0.2], "binary"),
        ([0, 1], [0.1, 1.2], "binary"),
        ([0, 1], [0.1, -0.2], "binary"),
        ([1.0, np.nan], [1.0, 2.0], "regression"),
        ([1.0, 2.0], [1.0, np.inf], "regression"),
    ],
)
def test_what_can_not_be_measured_is_refused(truth: Any, predicted: Any, kind: Any) -> None:
    with pytest.raises(InvalidArgument):
        training.evaluate(truth, predicted, kind)
