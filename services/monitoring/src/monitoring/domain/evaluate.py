"""The verb behind GetReport: volumes, drift, quality and retrieval numbers of one endpoint or collection."""

import asyncio
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from chassis.errors import DataLoss, MizzenError, NotFound
from monitoring.domain import summary
from monitoring.domain.drift import judge, score_categorical, score_numeric
from monitoring.domain.model import (
    ColumnProfile,
    Drift,
    Floats,
    Labelled,
    Policy,
    Quality,
    ReferenceProfile,
    Report,
    Score,
    Texts,
    Verdict,
    Window,
    WindowCounts,
    WindowReport,
)
from monitoring.domain.ports import Clock, Definitions, LabelStore, Profiles, RecordLog
from monitoring.domain.quality import quality
from monitoring.domain.windows import in_sample

DAY_US = 86_400_000_000
DEFAULT_POLICY = Policy(7 * DAY_US, 500, 0.2, 0.15, frozenset(), None, "binary")
MAX_WINDOWS = 400
# Rows loaded in one go: what is scored stays, should the deadline end the report in the middle.
_ROWS_AT_ONCE = 100_000
# Values loaded in one go, 8 bytes each, while they are read a few times as many; never less than a few columns.
_VALUES_AT_ONCE, _FEWEST_COLUMNS = 2_000_000, 4
_CALIBRATING_WINDOWS = 4
# A report without quality now is better than a whole one too late.
_LABELS_S, _LABELS_PAUSE_S = 5.0, 3.0
_NO_LABELS = "the label store does not answer: quality is missing"


@dataclass(frozen=True, slots=True)
class _Scored:
    stamp: str
    profile: ReferenceProfile
    features: dict[str, Score]
    outputs: dict[str, Score]


class Evaluate:
    """Scores windows and remembers them until their records or the profile change."""

    def __init__(
        self, log: RecordLog, labels: LabelStore, profiles: Profiles, definitions: Definitions, clock: Clock
    ) -> None:
        self._log = log
        self._labels = labels
        self._profiles = profiles
        self._definitions = definitions
        self._clock = clock
        self._scored: dict[tuple[str, str], dict[Window, _Scored]] = {}
        self._labels_again_at_s = 0.0
        self._busy = asyncio.Semaphore(2)

    async def report(
        self, tenant: str, endpoint: str, from_us: int = 0, to_us: int = 0, *, deadline_s: float = math.inf
    ) -> Report:
        """The report over event time [from_us, to_us); 0 = all there is. Raises NotFound, Unavailable (record log).

        Of what is left until `deadline_s` (monotonic seconds), the label store gets half at most.
        """
        async with self._busy:
            aside = await self._log.set_aside(tenant, endpoint)
            while True:
                report = await self._report(tenant, endpoint, from_us, to_us, deadline_s)
                before, aside = set(aside), await self._log.set_aside(tenant, endpoint)
                # Where a file was set aside on the way, the rows counted before that may be among its own.
                if before.issuperset(aside):
                    return replace(report, notices=(*report.notices, *summary.set_aside(aside)))

    async def _report(self, tenant: str, endpoint: str, from_us: int, to_us: int, deadline_s: float) -> Report:
        watched = self._definitions.endpoint(endpoint)
        policy = watched.policy if watched else DEFAULT_POLICY
        counts = await self._log.windows(tenant, endpoint, policy.window_us)
        if not counts and not self._definitions.known(endpoint):
            raise NotFound(
                f"no endpoint or collection {endpoint!r}"[:200], reason="ENDPOINT_NOT_FOUND", field="endpoint"
            )
        notices: list[str] = []
        if len(counts) > MAX_WINDOWS:
            notices.append(
                f"{len(counts) - MAX_WINDOWS} older windows are left out; the newest {MAX_WINDOWS} are shown"
            )
            counts = counts[-MAX_WINDOWS:]
        profile = await self._profile(endpoint, notices) if watched else None
        scored = await self._score(tenant, endpoint, counts, profile) if profile else {}
        truths = await self._truths(tenant, endpoint, policy, notices, deadline_s)
        shown = [c for c in counts if (not to_us or c.window.from_us < to_us) and c.window.to_us > from_us]
        natural = _natural(scored, profile, policy) if profile else {}
        windows = tuple(_window(c, policy, profile, scored.get(c.window), natural, truths) for c in shown)
        start, end = _range(shown, from_us, to_us)
        latency = await self._log.latency(tenant, endpoint, start, end) if shown else {}
        return Report(
            tenant=tenant,
            endpoint=endpoint,
            generated_at_us=self._clock.now_us(),
            from_us=start,
            to_us=end,
            window_us=policy.window_us,
            volume=summary.volume([c.volume for c in shown]),
            latency=latency,
            reference=profile,
            windows=windows,
            quality=_overall(windows, policy, truths),
            label_output=policy.label_output,
            retrieval=summary.retrieval([c.retrieval for c in shown if c.retrieval]),
            notices=tuple(notices),
        )

    async def _profile(self, endpoint: str, notices: list[str]) -> ReferenceProfile | None:
        try:
            profile = await self._profiles.find(endpoint)
        except DataLoss as error:
            notices.append(f"{error.message}: no drift is computed")
            return None
        if profile is None:
            notices.append("no reference profile in the model package: no drift is computed")
        return profile

    async def unreadable(self) -> tuple[int, int]:
        """(files of the record log, profiles) that can't be read."""
        return len(await self._log.set_aside()), self._profiles.unreadable()

    async def everything(self) -> list[Report]:
        """A report of all there is for every endpoint with records."""
        return [await self.report(tenant, endpoint) for tenant, endpoint in await self._log.names()]

    async def _score(
        self, tenant: str, endpoint: str, counts: Sequence[WindowCounts], profile: ReferenceProfile
    ) -> dict[Window, _Scored]:
        known = self._scored.setdefault((tenant, endpoint), {})
        new = [c for c in counts if not _is_current(known.get(c.window), c, profile) and c.volume.rows]
        kinds = {name: column.kind for name, column in profile.features.items()}
        kinds |= {f"output:{name}": column.kind for name, column in profile.outputs.items()}
        for part in _parts(new):
            scores: dict[Window, tuple[dict[str, Score], dict[str, Score]]] = {}
            for some in _columns_at_once(kinds, sum(c.volume.rows for c in part)):
                loaded = await self._log.columns(tenant, endpoint, [c.window for c in part], some)
                for window, found in (await asyncio.to_thread(_score_windows, profile, loaded)).items():
                    features, outputs = scores.setdefault(window, ({}, {}))
                    features.update(found[0])
                    outputs.update(found[1])
            for c in part:
                known[c.window] = _Scored(c.stamp, profile, *scores.get(c.window, ({}, {})))
        current = {c.window for c in counts}
        for window in [window for window in known if window not in current]:
            del known[window]
        return known

    async def _truths(
        self, tenant: str, endpoint: str, policy: Policy, notices: list[str], deadline_s: float
    ) -> dict[Window, Labelled] | None:
        if policy.label_output is None:
            return None
        now_s = self._clock.monotonic_s()
        if now_s < self._labels_again_at_s:
            notices.append(_NO_LABELS)
            return None
        try:
            timeout_s = min(_LABELS_S, (deadline_s - now_s) / 2)
            found = await self._labels.labelled(tenant, endpoint, policy.label_output, policy.window_us, timeout_s)
        except MizzenError:
            # The next reports don't wait for it as well.
            self._labels_again_at_s = self._clock.monotonic_s() + _LABELS_PAUSE_S
            notices.append(_NO_LABELS)
            return None
        return {labelled.window: labelled for labelled in found}


def _is_current(scored: _Scored | None, counts: WindowCounts, profile: ReferenceProfile) -> bool:
    return scored is not None and scored.stamp == counts.stamp and scored.profile is profile


def _parts(counts: Sequence[WindowCounts]) -> list[list[WindowCounts]]:
    parts: list[list[WindowCounts]] = []
    rows = 0
    for c in counts:
        if not parts or rows + c.volume.rows > _ROWS_AT_ONCE:
            parts.append([])
            rows = 0
        parts[-1].append(c)
        rows += c.volume.rows
    return parts


def _columns_at_once(kinds: Mapping[str, str], rows: int) -> Iterator[dict[str, str]]:
    """The columns in groups that so many rows may be loaded of."""
    size = max(_FEWEST_COLUMNS, _VALUES_AT_ONCE // max(1, rows))
    named = list(kinds.items())
    for start in range(0, len(named), size):
        yield dict(named[start : start + size])


def _score_windows(
    profile: ReferenceProfile, loaded: dict[Window, dict[str, Floats | Texts]]
) -> dict[Window, tuple[dict[str, Score], dict[str, Score]]]:
    scores = {}
    for window, columns in loaded.items():
        features = {
            name: _score_column(column, profile.rows, columns[name])
            for name, column in profile.features.items()
            if name in columns
        }
        outputs = {
            name: _score_column(column, profile.rows, columns[f"output:{name}"])
            for name, column in profile.outputs.items()
            if f"output:{name}" in columns
        }
        scores[window] = (features, outputs)
    return scores


def _score_column(column: ColumnProfile, rows: int, values: Floats | Texts) -> Score:
    if isinstance(values, Texts):
        return score_categorical(column, rows, values)
    return score_numeric(column, rows, values)


def _natural(
    scored: dict[Window, _Scored], profile: ReferenceProfile, policy: Policy
) -> dict[str, tuple[float, float]]:
    """The largest scores inside the training window, per column; nothing when too few windows lie in it."""
    inside = [s for window, s in scored.items() if in_sample(window, profile)]
    columns: dict[str, list[Score]] = {}
    for window in inside:
        for name, score in _named(window):
            if score.rows >= policy.min_rows:
                columns.setdefault(name, []).append(score)
    return {
        name: (max(s.psi or 0.0 for s in scores), max(s.ks or 0.0 for s in scores))
        for name, scores in columns.items()
        if len(scores) >= _CALIBRATING_WINDOWS
    }


def _named(scored: _Scored) -> list[tuple[str, Score]]:
    return [*scored.features.items(), *((f"output:{name}", score) for name, score in scored.outputs.items())]


def _window(
    counts: WindowCounts,
    policy: Policy,
    profile: ReferenceProfile | None,
    scored: _Scored | None,
    natural: dict[str, tuple[float, float]],
    truths: dict[Window, Labelled] | None,
) -> WindowReport:
    inside = profile is not None and in_sample(counts.window, profile)
    named = _named(scored) if scored else []
    drifts = {name: judge(score, policy, natural.get(name), in_sample=inside) for name, score in named}
    outputs = {name.partition(":")[2]: drift for name, drift in drifts.items() if name.startswith("output:")}
    return WindowReport(
        window=counts.window,
        verdict=_verdict(drifts, policy, counts, has_reference=profile is not None, inside=inside),
        volume=counts.volume,
        features={name: drift for name, drift in drifts.items() if not name.startswith("output:")},
        outputs=outputs,
        quality=_quality(counts, policy, truths),
        retrieval=counts.retrieval,
    )


def _verdict(
    drifts: dict[str, Drift], policy: Policy, counts: WindowCounts, *, has_reference: bool, inside: bool
) -> Verdict:
    if not has_reference:
        return Verdict.NO_REFERENCE
    if inside:
        return Verdict.IN_SAMPLE
    watched = [drift.verdict for name, drift in drifts.items() if not policy.watch or name in policy.watch]
    if Verdict.DRIFT in watched:
        return Verdict.DRIFT
    if Verdict.STABLE in watched and counts.volume.rows >= policy.min_rows:
        return Verdict.STABLE
    return Verdict.NOT_ENOUGH_DATA


def _quality(counts: WindowCounts, policy: Policy, truths: dict[Window, Labelled] | None) -> Quality | None:
    if truths is None:
        return None
    labelled = truths.get(counts.window)
    none = np.empty(0)
    predicted, truth = (labelled.predicted, labelled.truth) if labelled else (none, none)
    return quality(counts.volume.rows, predicted, truth, policy.label_kind)


def _overall(windows: Sequence[WindowReport], policy: Policy, truths: dict[Window, Labelled] | None) -> Quality | None:
    if truths is None:
        return None
    inside = [truths[w.window] for w in windows if w.window in truths]
    none = np.empty(0)
    predicted = np.concatenate([none, *(labelled.predicted for labelled in inside)])
    truth = np.concatenate([none, *(labelled.truth for labelled in inside)])
    return quality(sum(w.volume.rows for w in windows), predicted, truth, policy.label_kind)


def _range(shown: Sequence[WindowCounts], from_us: int, to_us: int) -> tuple[int, int]:
    if not shown:
        return from_us, to_us
    return from_us or shown[0].window.from_us, to_us or shown[-1].window.to_us
