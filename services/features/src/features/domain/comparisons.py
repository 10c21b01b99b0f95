"""DuckDB's comparisons of whole columns: NaN equals itself and is greater than every other number."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

Values = Any  # NDArray of float64, bool, object (str) or int64


def _is_nan(values: Values) -> Values:
    return np.isnan(values) if values.dtype == np.float64 else np.zeros(len(values), np.bool_)


def equal(left: Values, right: Values) -> Values:
    """DuckDB's =; NaN equals NaN."""
    same = np.asarray(left == right, np.bool_)
    return same | (_is_nan(left) & _is_nan(right)) if left.dtype == np.float64 else same


def less(left: Values, right: Values) -> Values:
    """DuckDB's <; NaN is greater than all."""
    below = np.asarray(left < right, np.bool_)
    return below | (~_is_nan(left) & _is_nan(right)) if left.dtype == np.float64 else below


COMPARISONS: Mapping[str, Callable[[Values, Values], Values]] = {
    "=": equal,
    "<>": lambda left, right: ~equal(left, right),
    "<": less,
    ">": lambda left, right: less(right, left),
    "<=": lambda left, right: ~less(right, left),
    ">=": lambda left, right: ~less(left, right),
}
