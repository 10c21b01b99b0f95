"""Makes reference profiles from columns, as a model package's profile.json has them."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np


def column_profile(values: Sequence[Any] | np.ndarray) -> dict[str, Any]:
    """One column's entry: numbers (NaN = null) or texts (None = null)."""
    array = np.asarray(values)
    if array.dtype.kind in "OU":
        known = [value for value in array.tolist() if value is not None]
        names, found = np.unique(np.array(known, dtype=str), return_counts=True)
        categories = dict(zip(names.tolist(), found.tolist(), strict=True))
        nulls = 1 - len(known) / len(array)
        return {"kind": "categorical", "nulls": nulls, "categories": categories, "constant": len(categories) < 2}
    numbers = array.astype(np.float64)
    known_numbers = numbers[~np.isnan(numbers)]
    quantiles = np.quantile(known_numbers, np.linspace(0, 1, 101))
    edges = np.unique(quantiles[::10])
    counts = np.histogram(known_numbers, edges)[0].tolist() if len(edges) > 1 else []
    return {
        "kind": "numeric",
        "nulls": float(np.isnan(numbers).mean()),
        "quantiles": quantiles.tolist(),
        "edges": edges.tolist(),
        "counts": counts,
        "constant": len(edges) < 2,
    }


def profile_json(
    features: Mapping[str, Any], outputs: Mapping[str, Any], window: tuple[str, str], rows: int
) -> dict[str, Any]:
    """A whole profile.json."""
    return {
        "schema_hash": "0123456789abcdef",
        "window": {"from": window[0], "to": window[1]},
        "rows": rows,
        "features": {name: column_profile(values) for name, values in features.items()},
        "outputs": {name: column_profile(values) for name, values in outputs.items()},
        "label_rate": 0.2,
    }
