"""Sums over windows, and what a report says about files that it leaves out."""

from collections import Counter
from collections.abc import Sequence

from monitoring.domain.model import Retrieval, Verdict, Volume, WindowReport

_NAMED = 3


def volume(parts: Sequence[Volume]) -> Volume:
    """All volumes together."""
    errors: Counter[str] = Counter()
    for part in parts:
        errors.update(part.errors)
    return Volume(
        requests=sum(part.requests for part in parts),
        rows=sum(part.rows for part in parts),
        degraded=sum(part.degraded for part in parts),
        shadow=sum(part.shadow for part in parts),
        errors=dict(errors),
    )


def retrieval(parts: Sequence[Retrieval]) -> Retrieval | None:
    """All retrieval numbers together; None when there are none."""
    if not parts:
        return None
    answered = [part.searches + part.asks for part in parts]

    def mean(values: list[float | None]) -> float | None:
        known = [(value, n) for value, n in zip(values, answered, strict=True) if value is not None]
        total = sum(n for _, n in known)
        return sum(value * n for value, n in known) / total if total else None

    return Retrieval(
        searches=sum(part.searches for part in parts),
        asks=sum(part.asks for part in parts),
        empty=sum(part.empty for part in parts),
        unanswerable=sum(part.unanswerable for part in parts),
        mean_results=mean([part.mean_results for part in parts]),
        mean_top_score=mean([part.mean_top_score for part in parts]),
    )


def drifted(window: WindowReport) -> list[str]:
    """Columns of a window with the verdict drift, the strongest first; outputs as `output:NAME`."""
    named = [*window.features.items(), *((f"output:{name}", drift) for name, drift in window.outputs.items())]
    found = [(name, drift) for name, drift in named if drift.verdict is Verdict.DRIFT]
    return [name for name, drift in sorted(found, key=lambda item: -(item[1].score.psi or 0.0))]


def verdict(windows: Sequence[WindowReport]) -> Verdict:
    """Of a report: drift when any window outside the training window drifted, else stable when any was judged."""
    verdicts = [window.verdict for window in windows]
    for candidate in (Verdict.DRIFT, Verdict.STABLE, Verdict.NOT_ENOUGH_DATA, Verdict.IN_SAMPLE):
        if candidate in verdicts:
            return candidate
    return Verdict.NO_REFERENCE


def set_aside(damaged: Sequence[str]) -> list[str]:
    """The notice that names damaged files of the record log; none where there are none."""
    if not damaged:
        return []
    more = f" and {len(damaged) - _NAMED} more" if len(damaged) > _NAMED else ""
    return [
        f"{len(damaged)} damaged files of the record log are set aside, their rows are missing: "
        f"{', '.join(damaged[:_NAMED])}{more}"
    ]
