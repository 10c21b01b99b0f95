"""PSI and KS of a window against the reference profile.

Bins are made so that nothing hides: every value that holds at least 2 % of the reference is a bin of its own (a feature
constant in the reference is one such point), what lies outside the reference's range has two bins, nulls have one. Quantile bins
alone would collapse to a single bin for a constant feature and give a PSI of 0 whatever comes.

k + 1 quantiles tell the reference's distribution only to within a k-th: whether the hundredth between the knots 6 and 7 lies
on 6, on 7 or between them, they don't say. A window is therefore held against the nearest distribution that has the
profile's quantiles. Guessing one (all of that hundredth between two whole hours, say) makes drift out of nothing.
"""

import numpy as np

from monitoring.domain.model import ColumnProfile, Drift, Floats, Policy, Score, Texts, Verdict

# Share given to a bin that one side never saw; the same for both sides, so that PSI stays finite.
FLOOR = 1e-4
# Shares below and up to each of some points.
Cdf = tuple[Floats, Floats]
_BINS = 10
_CATEGORIES = 30
_ATOM = 3  # knots of 101 that are equal: at least 2 % of the reference on one value
_KS_99 = 1.63


def score_numeric(profile: ColumnProfile, rows: int, values: Floats) -> Score:
    """Scores numbers ([n], NaN = null) against a numeric profile of `rows` reference rows."""
    total = len(values)
    seen = _as_recorded(values[~np.isnan(values)])
    nulls = 1 - len(seen) / total if total else 0.0
    if not total:
        return _empty()
    knots = _as_recorded(profile.quantiles)
    points, atoms = _points(knots)
    every = np.unique(knots)
    seen_cdf = _cdf(seen, every)
    reference_cdf = _nearest_reference(knots, seen_cdf)
    used = np.isin(every, points)
    expected = _shares(reference_cdf, used, atoms) * (1 - profile.nulls)
    actual = _shares(seen_cdf, used, atoms) * (1 - nulls)
    psi, bins = _psi(np.append(expected, profile.nulls), np.append(actual, nulls))
    return Score(
        rows=total,
        nulls=nulls,
        psi=psi,
        ks=_ks(reference_cdf, seen_cdf) if len(seen) else None,
        psi_noise=_psi_noise(bins, total, rows),
        ks_noise=_KS_99 * float(np.sqrt(1 / max(len(seen), 1) + 1 / max(rows, 1))),
        unseen=None,
        mean=float(seen.mean()) if len(seen) else None,
        shares=_histogram(profile.edges, seen, total),
    )


def score_categorical(profile: ColumnProfile, rows: int, values: Texts) -> Score:
    """Scores texts against a categorical profile of `rows` reference rows: shares of categories."""
    total = len(values)
    if not total:
        return _empty()
    counts = np.bincount(values.codes + 1, minlength=len(values.names) + 1) / total
    nulls = float(counts[0])
    current = {name: share for name, share in zip(values.names, counts[1:].tolist(), strict=True) if share}
    listed = max(sum(profile.categories.values()), 1e-9)
    known = rows * (1 - profile.nulls) or listed
    # A profile may list only the most frequent values: then a value that is not listed may have been there.
    complete = listed >= known * 0.999
    scale = (1 - profile.nulls) / max(known, listed)
    top = sorted(profile.categories, key=lambda name: -profile.categories[name])[:_CATEGORIES]
    top = [name for name in top if profile.categories[name] * scale >= 0.005]
    expected = [profile.categories[name] * scale for name in top]
    actual = [current.get(name, 0.0) for name in top]
    unseen = sum(share for name, share in current.items() if name not in profile.categories)
    other = max(0.0, 1 - nulls - sum(actual) - unseen)
    rest = max(0.0, 1 - profile.nulls - sum(expected))
    tail = ([rest, 0.0], [other, unseen]) if complete else ([rest], [other + unseen])
    psi, bins = _psi(np.array([*expected, *tail[0], profile.nulls]), np.array([*actual, *tail[1], nulls]))
    return Score(
        rows=total,
        nulls=nulls,
        psi=psi,
        ks=None,
        psi_noise=_psi_noise(bins, total, rows),
        ks_noise=0.0,
        unseen=unseen if complete else None,
        mean=None,
        shares=np.array(actual),
    )


def judge(score: Score, policy: Policy, natural: tuple[float, float] | None, *, in_sample: bool) -> Drift:
    """Holds a score against the policy's thresholds.

    A threshold is never below what sampling alone may give, nor below `natural` (PSI, KS): the largest scores that windows
    inside the training window had, where there is no drift by definition, only season and weather.
    """
    psi_threshold = policy.psi_threshold + score.psi_noise
    ks_threshold = max(policy.ks_threshold, score.ks_noise)
    if natural is not None:
        psi_threshold, ks_threshold = max(psi_threshold, natural[0]), max(ks_threshold, natural[1])
    if in_sample:
        verdict = Verdict.IN_SAMPLE
    elif score.rows < policy.min_rows:
        verdict = Verdict.NOT_ENOUGH_DATA
    elif (score.psi or 0.0) > psi_threshold or (score.ks or 0.0) > ks_threshold:
        verdict = Verdict.DRIFT
    else:
        verdict = Verdict.STABLE
    return Drift(score, verdict, psi_threshold, ks_threshold)


def _empty() -> Score:
    return Score(0, 0.0, None, None, 0.0, 0.0, None, None, None)


def _as_recorded(values: Floats) -> Floats:
    # Profiles are written from float64 columns and records hold float32 ones: an equal value has to stay equal.
    with np.errstate(over="ignore"):
        return values.astype(np.float32).astype(np.float64)


def _points(knots: Floats) -> tuple[Floats, np.ndarray]:
    """Bin borders (sorted) and which of them are bins of their own."""
    values, runs = np.unique(knots, return_counts=True)
    atoms = values[runs >= _ATOM]
    cuts = knots[np.linspace(0, len(knots) - 1, _BINS + 1).round().astype(int)]
    points = np.unique(np.concatenate([atoms, cuts]))
    return points, np.isin(points, atoms)


def _fold(fine: Floats, atoms: np.ndarray) -> Floats:
    """From alternating interval, point, interval, … to bins: a point that is no atom joins the interval on its left.

    The minimum has nothing of the reference on its left, so it joins the interval on its right.
    """
    intervals, points = fine[0::2].copy(), fine[1::2]
    loose = ~atoms
    intervals[:-1][loose] += points[loose]
    if loose[0]:
        intervals[0] -= points[0]
        intervals[1] += points[0]
    return np.concatenate([intervals, points[atoms]])


def _cdf(values: Floats, points: Floats) -> Cdf:
    """Shares of the values below each point, and up to it."""
    ordered = np.sort(values)
    total = max(len(values), 1)
    return np.searchsorted(ordered, points, "left") / total, np.searchsorted(ordered, points, "right") / total


def _nearest_reference(knots: Floats, seen: Cdf) -> Cdf:
    """The reference's shares below and up to each distinct knot, as near to those seen as its quantiles allow.

    Knot i of k is the smallest value up to which i / k or more of the reference lies. So at most 1 / k lies between two
    neighbouring distinct knots: as much as was seen there. And up to the lower one, i / k or as much more as that leaves.
    """
    steps = max(len(knots) - 1, 1)
    below, upto = seen
    floor = np.flatnonzero(np.diff(knots)) / steps
    between = np.clip(below[1:] - upto[:-1], 0.0, 1 / steps)
    reference = np.clip(upto[:-1], floor, floor + 1 / steps - between)
    return np.append(0.0, reference + between), np.append(reference, 1.0)


def _shares(cdf: Cdf, used: np.ndarray, atoms: np.ndarray) -> Floats:
    below, upto = cdf[0][used], cdf[1][used]
    fine = np.zeros(2 * len(below) + 1)
    fine[0], fine[-1] = below[0], 1 - upto[-1]
    fine[1::2] = upto - below
    fine[2:-1:2] = below[1:] - upto[:-1]
    # What rounding leaves of the difference of equal shares is no share.
    fine[fine < 1e-12] = 0.0
    return _fold(fine, atoms)


def _ks(reference: Cdf, seen: Cdf) -> float:
    return float(max(np.abs(seen[0] - reference[0]).max(), np.abs(seen[1] - reference[1]).max()))


def _psi(expected: Floats, actual: Floats) -> tuple[float, int]:
    """PSI and the number of bins that either side filled."""
    filled = (expected > 0) | (actual > 0)
    p, q = np.maximum(expected[filled], FLOOR), np.maximum(actual[filled], FLOOR)
    return float(((q - p) * np.log(q / p)).sum()), int(filled.sum())


def _psi_noise(bins: int, rows: int, reference_rows: int) -> float:
    """What PSI stays below (about 99.9 %) when both samples come from one distribution: (1/n + 1/m) · χ² of bins - 1."""
    degrees = max(bins - 1, 1)
    return (degrees + 3 * float(np.sqrt(2 * degrees))) * (1 / rows + 1 / max(reference_rows, 1))


def _histogram(edges: Floats, values: Floats, total: int) -> Floats | None:
    if len(edges) < 2:
        return None
    return np.histogram(np.clip(values, edges[0], edges[-1]), edges)[0] / max(total, 1)
