"""The reference profile keeps what drift tests need, for constants too."""

import json
from datetime import UTC, datetime

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from chassis.errors import InvalidArgument
from training.profile import MAX_CATEGORIES, QUANTILES, build_profile, column_profile

WINDOW = (datetime(2013, 1, 1, tzinfo=UTC), datetime(2013, 10, 1, tzinfo=UTC))


def test_a_constant_shows_the_value_it_had() -> None:
    profile = column_profile(np.full(500, 7.25, dtype=np.float32))
    assert profile["constant"]
    assert profile["quantiles"] == [7.25] * QUANTILES
    assert profile["counts"] == [500]
    assert profile["edges"][0] < 7.25 < profile["edges"][1]


def test_a_value_with_two_percent_holds_several_quantiles() -> None:
    values = np.concatenate([np.zeros(50), np.linspace(1, 2, 950)])
    assert column_profile(values)["quantiles"].count(0.0) >= 3


def test_nulls_are_counted_and_left_out() -> None:
    assert column_profile(np.array([1.0, np.nan, 3.0, np.nan]))["nulls"] == 0.5
    empty = column_profile(np.full(3, np.nan))
    assert (empty["nulls"], empty["quantiles"], empty["constant"]) == (1.0, [], False)
    texts = column_profile(np.array(["UA", None, "AA", "UA", float("nan")], dtype=object))
    assert (texts["nulls"], texts["categories"]) == (0.4, {"UA": 2, "AA": 1})


def test_only_the_most_frequent_categories_are_listed() -> None:
    values = [f"v{index}" for index in range(MAX_CATEGORIES + 10)] + ["often"] * 5
    profile = column_profile(values)
    assert len(profile["categories"]) == MAX_CATEGORIES
    assert next(iter(profile["categories"].items())) == ("often", 5)


@given(
    arrays.arrays(
        np.float32, st.integers(1, 200), elements=st.one_of(st.floats(width=32, allow_infinity=False), st.just(0.0))
    )
)
def test_every_value_is_within_the_edges_and_counted_once(values: np.ndarray) -> None:
    profile = column_profile(values)
    seen = values[~np.isnan(values)].astype(np.float64)
    assert sum(profile["counts"]) == len(seen)
    if len(seen):
        assert profile["edges"] == sorted(set(profile["edges"]))
        assert profile["edges"][0] <= seen.min() <= seen.max() <= profile["edges"][-1]
        assert (profile["quantiles"][0], profile["quantiles"][-1]) == (seen.min(), seen.max())
        assert set(profile["quantiles"]) <= set(seen.tolist()), "each quantile is a value of the reference"
        assert profile["constant"] == (len(set(seen.tolist())) == 1)


def test_the_whole_profile_is_json() -> None:
    profile = build_profile(
        {"plane:age": np.arange(10.0), "flight:carrier": ["UA"] * 10, "plane:jet": np.ones(10, dtype=bool)},
        {"probability": np.linspace(0, 1, 10, dtype=np.float32)},
        schema_hash="00ff",
        window=WINDOW,
        label_rate=0.24,
    )
    assert json.loads(json.dumps(profile, allow_nan=False)) == profile
    assert (profile["rows"], profile["label_rate"], profile["schema_hash"]) == (10, 0.24, "00ff")
    assert profile["window"] == {"from": "2013-01-01T00:00:00+00:00", "to": "2013-10-01T00:00:00+00:00"}
    kinds = {name: each["kind"] for name, each in profile["features"].items()}
    assert kinds == {"plane:age": "numeric", "flight:carrier": "categorical", "plane:jet": "numeric"}


@pytest.mark.parametrize(
    ("features", "window"),
    [
        ({"a": np.arange(3.0), "b": np.arange(4.0)}, WINDOW),
        ({"a": np.empty(0)}, WINDOW),
        ({}, WINDOW),
        ({"a": np.array([1.0, np.inf])}, WINDOW),
        ({"a": np.ones((2, 2))}, WINDOW),
        ({"a": np.ones(2)}, (datetime(2013, 1, 1), datetime(2013, 2, 1))),  # noqa: DTZ001
    ],
)
def test_columns_that_are_no_reference_are_refused(
    features: dict[str, np.ndarray], window: tuple[datetime, datetime]
) -> None:
    with pytest.raises(InvalidArgument):
        build_profile(features, {}, schema_hash="", window=window, label_rate=None)
