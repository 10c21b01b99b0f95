"""The gate: what a bound asks, in which direction, and what the refusal says."""

import pytest

from chassis.errors import FailedPrecondition, InvalidArgument
from training import Bound, gate

BEFORE = {"rows": 9, "roc_auc": 0.75, "ece": 0.010, "mae": 12.0}


@pytest.mark.parametrize(
    ("bound", "found", "passes"),
    [
        (Bound("roc_auc", limit=0.74), 0.74, True),
        (Bound("roc_auc", limit=0.74), 0.739, False),
        (Bound("ece", limit=0.02), 0.02, True),
        (Bound("ece", limit=0.02), 0.021, False),
        (Bound("roc_auc", worse_by=0), 0.75, True),
        (Bound("roc_auc", worse_by=0), 0.749, False),
        (Bound("roc_auc", worse_by=0.01), 0.7401, True),
        (Bound("roc_auc", worse_by=0), 0.9, True),
        (Bound("mae", worse_by=0.5), 12.5, True),
        (Bound("mae", worse_by=0.5), 12.6, False),
        (Bound("mae", worse_by=0), 3.0, True),
        (Bound("mae", differs_by=0.5), 11.4, False),
        (Bound("mae", differs_by=0.5), 12.6, False),
        (Bound("mae", differs_by=0.5), 11.6, True),
        (Bound("roc_auc", limit=0.74, worse_by=0), 0.745, False),
    ],
)
def test_a_bound_holds_up_to_what_it_states(bound: Bound, found: float, passes: bool) -> None:
    assert gate({bound.measure: found}, BEFORE, [bound]).passed is passes


def test_one_failure_refuses_and_is_named_with_both_figures() -> None:
    bounds = [Bound("roc_auc", worse_by=0.005), Bound("ece", limit=0.02)]
    verdict = gate({"roc_auc": 0.70, "ece": 0.01}, BEFORE, bounds)
    assert str(verdict).splitlines() == [
        "FAILS: ROC-AUC 0.70000 against 0.75000, at most 0.005 worse is asked",
        "holds: ECE 0.01000, at most 0.02 is asked",
    ]
    with pytest.raises(FailedPrecondition, match=r"ROC-AUC 0\.70000 against 0\.75000") as refused:
        verdict.require()
    assert (refused.value.reason, "ECE" in refused.value.message) == ("GATE_REFUSED", False)


def test_a_first_version_is_held_to_limits_alone() -> None:
    bounds = [Bound("roc_auc", limit=0.6, worse_by=0), Bound("ece", worse_by=0)]
    verdict = gate({"roc_auc": 0.7, "ece": 0.5}, None, bounds)
    verdict.require()
    assert [finding.measure for finding in verdict.findings] == ["roc_auc"]


@pytest.mark.parametrize("candidate", [{}, {"roc_auc": None}])
def test_what_was_not_measured_holds_to_nothing(candidate: dict[str, None]) -> None:
    assert not gate(candidate, BEFORE, [Bound("roc_auc", worse_by=1)]).passed


def test_a_bound_asks_for_something_that_exists() -> None:
    with pytest.raises(InvalidArgument, match="asks for nothing"):
        Bound("ece")
    with pytest.raises(InvalidArgument, match="accuracy is none of"):
        Bound("accuracy", limit=0.5)
