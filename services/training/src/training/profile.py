"""The reference profile: what a model's features and outputs looked like in its training window. Pure NumPy.

Monitoring compares later windows with it, so it keeps what tests need and not one kind of bins: 101 quantiles that are all
values of the reference (a value that holds 2 % of it fills several of them, a constant all), and a histogram for plots.
Quantile bins alone would give a constant feature one bin and hence no drift, whatever comes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from chassis.errors import InvalidArgument

QUANTILES = 101
MAX_CATEGORIES = 1000
_HISTOGRAM_STEP = 5  # every fifth quantile is an edge: at most 20 bins of about equal counts


def build_profile(
    features: Mapping[str, ArrayLike],
    outputs: Mapping[str, ArrayLike],
    *,
    schema_hash: str,
    window: tuple[datetime, datetime],
    label_rate: float | None,
) -> dict[str, Any]:
    """The content of profile.json for equally long columns, keyed by feature reference and by output name.

    Numbers and booleans are numeric (NaN = null), everything else is categorical (None and NaN = null). ``window`` is
    [from, to) of event time, with time zone. Raises InvalidArgument for columns of unequal length, none or infinite values.
    """
    profiles = {name: column_profile(values, name) for name, values in features.items()}
    measured = {name: column_profile(values, name) for name, values in outputs.items()}
    lengths = {len(np.asarray(values)) for values in [*features.values(), *outputs.values()]}
    if len(lengths) != 1 or lengths == {0}:
        raise InvalidArgument(
            f"A profile needs columns of one length above zero, not {sorted(lengths)}.", field="features"
        )
    if any(moment.tzinfo is None for moment in window):
        raise InvalidArgument("The window's ends need a time zone.", field="window")
    return {
        "schema_hash": schema_hash,
        "window": {"from": window[0].isoformat(), "to": window[1].isoformat()},
        "rows": lengths.pop(),
        "features": profiles,
        "outputs": measured,
        "label_rate": label_rate,
    }


def column_profile(values: ArrayLike, name: str = "values") -> dict[str, Any]:
    """The profile of one column ([rows]); ``name`` is for error texts."""
    array = np.asarray(values)
    if array.ndim != 1:
        raise InvalidArgument(f"{name} has {array.ndim} dimensions, a column has one.", field=name)
    if array.dtype.kind in "biuf":
        return _numeric(array.astype(np.float64), name)
    return _categorical(array.tolist())


def _numeric(values: NDArray[np.float64], name: str) -> dict[str, Any]:
    seen = values[~np.isnan(values)]
    if np.isinf(seen).any():
        raise InvalidArgument(f"{name} has infinite values.", field=name)
    profile: dict[str, Any] = {
        "kind": "numeric",
        "nulls": _share(len(values) - len(seen), len(values)),
        "edges": [],
        "counts": [],
        "quantiles": [],
        "categories": {},
        "constant": False,
    }
    if not len(seen):
        return profile
    quantiles = np.quantile(seen, np.linspace(0, 1, QUANTILES), method="inverted_cdf")
    constant = bool(quantiles[0] == quantiles[-1])
    edges = np.unique(quantiles[::_HISTOGRAM_STEP])
    if constant:  # a bin of no width can't be drawn
        edges = edges[0] + max(1.0, abs(edges[0]) * 1e-3) * np.array([-0.5, 0.5])
    return profile | {
        "edges": edges.tolist(),
        "counts": np.histogram(seen, edges)[0].tolist(),
        "quantiles": quantiles.tolist(),
        "constant": constant,
    }


def _categorical(values: Sequence[Any]) -> dict[str, Any]:
    # `value != value` is how a missing value of pandas (NaN, NaT) tells itself from a text.
    seen = [str(value) for value in values if value is not None and value == value]  # noqa: PLR0124
    names, counts = np.unique(np.array(seen, dtype=np.str_), return_counts=True)
    order = np.lexsort((names, -counts))[:MAX_CATEGORIES]
    return {
        "kind": "categorical",
        "nulls": _share(len(values) - len(seen), len(values)),
        "edges": [],
        "counts": [],
        "quantiles": [],
        "categories": {str(names[index]): int(counts[index]) for index in order},
        "constant": len(names) == 1,
    }


def _share(part: int, whole: int) -> float:
    return part / whole if whole else 0.0
