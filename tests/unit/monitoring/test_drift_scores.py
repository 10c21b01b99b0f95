"""PSI and KS against a reference profile: what has to be flagged, and what must not be."""

import csv
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monitoring.adapters.file_profiles import parse_profile
from monitoring.domain.drift import judge, score_categorical, score_numeric
from monitoring.domain.model import ColumnProfile, Policy, Texts, Verdict
from tests.fakes.monitoring_profiles import profile_json
from training.profile import column_profile

POLICY = Policy(7 * 86_400_000_000, 500, 0.2, 0.15, frozenset(), None, "binary")
WINDOW = ("1996-05-07T00:00:00Z", "1997-05-01T00:00:00Z")
# Half-hourly rows; the Victorian market joins at row 17,424: until then three columns are constant.
JOINS_AT = 17_424
CHANGED = {"vicprice", "vicdemand", "transfer", "nswprice"}


def profile_of(values: np.ndarray) -> ColumnProfile:
    content = profile_json({"x": values}, {}, WINDOW, len(values))
    return parse_profile(content).features["x"]


def electricity() -> dict[str, np.ndarray]:
    """The real data set where MIZZEN_TEST_DATA points to it, otherwise one made with the same properties."""
    directory = os.environ.get("MIZZEN_TEST_DATA")
    if directory:
        with (Path(directory) / "electricity" / "electricity.csv").open() as file:
            rows = list(csv.DictReader(file))
        return {name: np.array([float(row[name]) for row in rows]) for name in rows[0] if name != "class"}
    return made_electricity()


def made_electricity(rows: int = 45_312) -> dict[str, np.ndarray]:
    random = np.random.default_rng(7)
    after = np.arange(rows) >= JOINS_AT
    day = np.arange(rows) % 48 / 47
    return {
        "period": day,
        "nswprice": np.where(after, 0.035, 0.065) + random.gamma(2, 0.008, rows),
        "nswdemand": 0.45 + 0.2 * np.sin(day * 6.283) + random.normal(0, 0.08, rows),
        "vicprice": np.where(after, random.gamma(2, 0.002, rows), 0.003467),
        "vicdemand": np.where(after, random.normal(0.42, 0.12, rows), 0.422915),
        "transfer": np.where(after, random.beta(5, 5, rows), 0.414912),
    }


def test_scores_are_those_of_the_formulas() -> None:
    """Half zeros and half ones against zeros alone: two bins, of which one is empty and counts as 0.0001."""
    profile = profile_of(np.repeat([0.0, 1.0], 2000))
    score = score_numeric(profile, 4000, np.zeros(4000))
    assert score.psi == pytest.approx((1 - 0.5) * np.log(1 / 0.5) + (1e-4 - 0.5) * np.log(1e-4 / 0.5), rel=0.02)
    assert score.ks == pytest.approx(0.5, abs=0.011)


@pytest.mark.parametrize("value", [0.0, 1.0])
def test_it_is_drift_whichever_way_values_go(value: float) -> None:
    profile = profile_of(np.repeat([0.0, 1.0], 2000))
    assert score_numeric(profile, 4000, np.full(4000, value)).ks == pytest.approx(0.5, abs=0.011)


@pytest.mark.parametrize("made", [False, True])
def test_electricity_flags_the_columns_that_changed_and_no_others(made: bool) -> None:
    data = made_electricity() if made else electricity()
    flagged = set()
    for name, values in data.items():
        reference, current = values[:JOINS_AT], values[JOINS_AT:].astype(np.float32).astype(float)
        score = score_numeric(profile_of(reference), len(reference), current)
        if judge(score, POLICY, None, in_sample=False).verdict is Verdict.DRIFT:
            flagged.add(name)
    assert flagged == CHANGED


@pytest.mark.parametrize("made", [False, True])
def test_electricity_control_halves_flag_nothing(made: bool) -> None:
    data = made_electricity() if made else electricity()
    order = np.random.default_rng(1).permutation(JOINS_AT)
    for name, values in data.items():
        one, other = values[order[: JOINS_AT // 2]], values[order[JOINS_AT // 2 :]]
        for current in (other, other[:500], other[:2000]):
            drift = judge(score_numeric(profile_of(one), len(one), current), POLICY, None, in_sample=False)
            assert drift.verdict is Verdict.STABLE, (name, len(current), drift)


def test_a_constant_reference_is_flagged_by_psi_as_well_as_by_ks() -> None:
    reference = np.full(1000, 0.003467)
    moved = score_numeric(profile_of(reference), 1000, np.linspace(0.0, 0.003, 1000))
    assert moved.psi is not None and moved.psi > 5
    assert moved.ks == pytest.approx(1.0)
    # recorded as float32, the same constant stays the same
    same = score_numeric(profile_of(reference), 1000, reference.astype(np.float32).astype(float))
    assert (same.psi, same.ks) == (0.0, 0.0)


def test_a_tenth_of_a_constant_that_moves_is_seen() -> None:
    current = np.full(1000, 5.0)
    current[:100] = 6.0
    score = score_numeric(profile_of(np.full(1000, 5.0)), 1000, current)
    assert judge(score, POLICY, None, in_sample=False).verdict is Verdict.DRIFT


def test_nulls_that_come_are_drift() -> None:
    random = np.random.default_rng(2)
    reference = random.normal(size=5000)
    current = random.normal(size=5000)
    current[:1500] = np.nan
    score = score_numeric(profile_of(reference), 5000, current)
    assert score.nulls == pytest.approx(0.3)
    assert judge(score, POLICY, None, in_sample=False).verdict is Verdict.DRIFT
    nothing = score_numeric(profile_of(reference), 5000, np.full(600, np.nan))
    assert nothing.ks is None
    assert judge(nothing, POLICY, None, in_sample=False).verdict is Verdict.DRIFT


def test_integers_with_few_values_are_compared_value_by_value() -> None:
    random = np.random.default_rng(3)
    reference = random.choice(5, 4000, p=[0.4, 0.3, 0.15, 0.1, 0.05]).astype(float)
    same = random.choice(5, 1000, p=[0.4, 0.3, 0.15, 0.1, 0.05]).astype(float)
    swapped = random.choice(5, 1000, p=[0.1, 0.3, 0.15, 0.4, 0.05]).astype(float)
    profile = profile_of(reference)
    assert judge(score_numeric(profile, 4000, same), POLICY, None, in_sample=False).verdict is Verdict.STABLE
    assert judge(score_numeric(profile, 4000, swapped), POLICY, None, in_sample=False).verdict is Verdict.DRIFT


def discrete(name: str, rows: int, random: np.random.Generator) -> np.ndarray:
    """Columns of few values, as they come in practice."""
    hours = np.array([0, 1, 1, 1, 1, 6, 80, 68, 80, 61, 49, 48, 54, 59, 63, 71, 66, 73, 64, 63, 45, 27, 10, 4], float)
    missing = random.random(rows) < 0.16
    made: dict[str, Callable[[], np.ndarray]] = {
        "hour": lambda: random.choice(24, rows, p=hours / hours.sum()).astype(float),
        "age": lambda: np.where(missing, np.nan, np.minimum(random.gamma(3, 4, rows).round(), 40)),
        "rate": lambda: random.binomial(6, 0.2, rows) / random.choice([5, 6, 7, 12], rows),
        "flag": lambda: (random.random(rows) < 0.27).astype(float),
        "rare": lambda: (random.random(rows) < 0.006).astype(float),
        "constant": lambda: np.full(rows, 7.0),
    }
    return made[name]()


DISCRETE = ["hour", "age", "rate", "flag", "rare", "constant"]


@pytest.mark.parametrize("name", DISCRETE)
@pytest.mark.parametrize("seed", range(5))
def test_few_values_of_one_distribution_score_what_sampling_gives(name: str, seed: int) -> None:
    random = np.random.default_rng(seed)
    reference = discrete(name, 100_000, random)
    profile = parse_profile(profile_of_model(reference)).features["x"]
    itself = score_numeric(profile, len(reference), reference)
    assert itself.psi == pytest.approx(0.0, abs=2e-4)
    assert itself.ks == pytest.approx(0.0, abs=1e-9)
    for rows in (700, 5000, 50_000):
        score = score_numeric(profile, len(reference), discrete(name, rows, random))
        assert score.psi is not None and score.psi <= score.psi_noise + 2e-4, (rows, score)
        assert score.ks is not None and score.ks <= score.ks_noise, (rows, score)


@pytest.mark.parametrize("name", DISCRETE)
def test_few_values_that_really_move_are_drift(name: str) -> None:
    random = np.random.default_rng(9)
    profile = parse_profile(profile_of_model(discrete(name, 100_000, random))).features["x"]
    current = discrete(name, 5000, random)
    spread = float(np.nanstd(current)) or 1.0
    # Elsewhere; between the values (a unit that changed); half of them gone missing.
    for moved in (current + spread, current * 1.609 + 0.0421, np.where(random.random(5000) < 0.5, np.nan, current)):
        drift = judge(score_numeric(profile, 100_000, moved), POLICY, None, in_sample=False)
        assert drift.verdict is Verdict.DRIFT, (name, drift)


def profile_of_model(values: np.ndarray) -> dict[str, object]:
    """A whole profile with the column as a model package has it."""
    whole = profile_json({}, {}, WINDOW, len(values))
    return whole | {"features": {"x": column_profile(values)}}


def texts(values: np.ndarray) -> Texts:
    names = tuple(sorted(set(values.tolist()) - {None}))
    places = {name: place for place, name in enumerate(names)} | {None: -1}
    return Texts(names, np.array([places[value] for value in values.tolist()]))


def test_unseen_categories_are_drift_and_shares_of_known_ones_too() -> None:
    random = np.random.default_rng(4)
    reference = random.choice(["AA", "UA", "B6"], 3000, p=[0.5, 0.3, 0.2])
    profile = profile_of(reference)
    same = score_categorical(profile, 3000, texts(random.choice(["AA", "UA", "B6"], 800, p=[0.5, 0.3, 0.2])))
    shifted = score_categorical(profile, 3000, texts(random.choice(["AA", "UA", "B6"], 800, p=[0.1, 0.3, 0.6])))
    unseen = score_categorical(profile, 3000, texts(random.choice(["AA", "UA", "ZZ"], 800, p=[0.5, 0.3, 0.2])))
    assert judge(same, POLICY, None, in_sample=False).verdict is Verdict.STABLE
    assert judge(shifted, POLICY, None, in_sample=False).verdict is Verdict.DRIFT
    assert judge(unseen, POLICY, None, in_sample=False).verdict is Verdict.DRIFT
    assert unseen.unseen == pytest.approx(0.2, abs=0.05)


def test_many_categories_of_one_distribution_are_no_drift() -> None:
    random = np.random.default_rng(5)
    names = np.array([f"N{n:04d}" for n in range(3000)], dtype=object)
    reference, current = random.choice(names, 60_000), random.choice(names, 700)
    profile = profile_of(reference)
    score = score_categorical(profile, 60_000, texts(current))
    assert judge(score, POLICY, None, in_sample=False).verdict is Verdict.STABLE


def test_a_shortened_list_of_categories_knows_no_unseen_ones() -> None:
    profile = ColumnProfile("categorical", 0.0, np.empty(0), np.empty(0), np.empty(0), {"a": 600.0, "b": 300.0})
    score = score_categorical(profile, 1000, texts(np.array(["a"] * 600 + ["b"] * 300 + ["c"] * 100)))
    assert score.unseen is None
    assert score.psi == pytest.approx(0.0, abs=1e-9)


def test_texts_that_go_missing_are_drift() -> None:
    profile = profile_of(np.array(["a", "b"] * 500, dtype=object))
    score = score_categorical(profile, 1000, texts(np.array(["a", "b", None] * 300, dtype=object)))
    assert score.nulls == pytest.approx(1 / 3)
    assert judge(score, POLICY, None, in_sample=False).verdict is Verdict.DRIFT


def test_small_windows_and_training_windows_get_no_verdict() -> None:
    score = score_numeric(profile_of(np.arange(1000.0)), 1000, np.full(499, 5000.0))
    assert judge(score, POLICY, None, in_sample=False).verdict is Verdict.NOT_ENOUGH_DATA
    assert judge(score, POLICY, None, in_sample=True).verdict is Verdict.IN_SAMPLE
    assert score_numeric(profile_of(np.arange(10.0)), 10, np.empty(0)).rows == 0


def test_what_the_training_window_did_by_itself_raises_the_threshold() -> None:
    random = np.random.default_rng(6)
    score = score_numeric(profile_of(random.normal(size=5000)), 5000, random.normal(0.8, 1, 1000))
    assert judge(score, POLICY, None, in_sample=False).verdict is Verdict.DRIFT
    assert judge(score, POLICY, (1.5, 0.6), in_sample=False).verdict is Verdict.STABLE


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.floats(-1e6, 1e6, width=32), min_size=5, max_size=300),
    st.lists(st.floats(-1e6, 1e6, width=32), min_size=1, max_size=300),
)
def test_scores_are_bounded_and_zero_for_the_reference_itself(reference: list[float], current: list[float]) -> None:
    profile = profile_of(np.array(reference))
    score = score_numeric(profile, len(reference), np.array(current))
    assert score.psi is not None and score.ks is not None
    assert 0 <= score.ks <= 1
    assert 0 <= score.psi < 40
    reference_shares = score_numeric(profile, len(reference), np.array(profile.quantiles))
    assert reference_shares.ks is not None and reference_shares.ks <= 0.011
