"""The card: the author's words in order, and tables with the figures that were measured."""

from typing import Any

import training

MODELS: dict[str, dict[str, dict[str, Any]]] = {
    "network": {"test": {"rows": 900, "positives": 0.25, "roc_auc": 0.74919, "ece": 0.00947}},
    "base_rate": {"test": {"rows": 900, "positives": 0.25, "roc_auc": None, "ece": 0.00743}},
}


def test_sections_stand_in_order_under_their_headings() -> None:
    text = training.card("Bikes", "How many.\n", {"Data": "Ours.\n", "Limits": "One city."})
    assert text == "# Bikes\n\nHow many.\n\n## Data\n\nOurs.\n\n## Limits\n\nOne city.\n"


def test_a_models_row_has_what_was_measured_and_a_dash_for_what_was_not() -> None:
    assert training.models_table(MODELS, "test").splitlines() == [
        "| model, same features | ROC-AUC | ECE |",
        "|---|---|---|",
        "| network | 0.7492 | 0.0095 |",
        "| base rate | – | 0.0074 |",
    ]


def test_a_regressions_table_has_its_measures() -> None:
    models = {"line": {"test": {"rows": 9, "mean": 40.0, "mae": 3.25, "rmse": 4.5}}}
    assert training.models_table(models, "test", "model").splitlines()[0] == "| model | MAE | RMSE |"
    groups = {"JFK": models["line"]["test"]}
    assert training.groups_table(groups, "airport", "flights", "mean", ("mae",)).splitlines() == [
        "| airport | flights | mean | MAE |",
        "|---|---|---|---|",
        "| JFK | 9 | 40.000 | 3.250 |",
    ]


def test_rows_are_grouped_by_thousands() -> None:
    groups = {"1": {"rows": 26398, "positives": 0.25, "roc_auc": 0.7, "ece": 0.01}}
    assert training.groups_table(groups, "month").splitlines()[-1] == "| 1 | 26,398 | 0.250 | 0.700 | 0.010 |"
