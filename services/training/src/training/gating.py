"""The gate: whether a candidate is good enough to be packaged, by bounds that are stated beforehand."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from chassis.errors import FailedPrecondition, InvalidArgument
from training.metrics import GREATER_IS_BETTER, TITLES


@dataclass(frozen=True, slots=True)
class Bound:
    """What is asked of one measure, in its own unit; at least one of the three.

    limit: the worst value that passes. worse_by: how much worse it may be than the other model's, 0 for at least as good.
    differs_by: how far it may be from the other model's in either direction, to show that a training can be repeated.
    """

    measure: str
    limit: float | None = None
    worse_by: float | None = None
    differs_by: float | None = None

    def __post_init__(self) -> None:
        if self.measure not in TITLES:
            raise InvalidArgument(f"{self.measure} is none of {', '.join(TITLES)}.", field="measure")
        if self.limit is None and self.worse_by is None and self.differs_by is None:
            raise InvalidArgument(f"The bound of {self.measure} asks for nothing.", field=self.measure)


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing asked: whether the candidate holds to it, and the sentence that says so with both figures."""

    measure: str
    holds: bool
    text: str


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the gate found, a finding for each thing asked."""

    findings: tuple[Finding, ...]

    @property
    def passed(self) -> bool:
        """Whether the candidate holds to every bound."""
        return all(finding.holds for finding in self.findings)

    def require(self) -> None:
        """Raises FailedPrecondition GATE_REFUSED with the bounds that the candidate does not hold to."""
        if not self.passed:
            refused = "; ".join(finding.text for finding in self.findings if not finding.holds)
            raise FailedPrecondition(f"The candidate is not good enough: {refused}.", reason="GATE_REFUSED")

    def __str__(self) -> str:
        return "\n".join(f"{'holds' if finding.holds else 'FAILS'}: {finding.text}" for finding in self.findings)


def gate(candidate: Mapping[str, Any], against: Mapping[str, Any] | None, bounds: Sequence[Bound]) -> Verdict:
    """Holds a candidate's measures against those of a baseline or of the version before, both as `evaluate` gives them.

    `against` is None for a first version: then only limits are asked. A measure that the candidate lacks (None: it could
    not be measured) holds to nothing; one that only the other model lacks has nothing to be compared with.
    """
    return Verdict(tuple(finding for bound in bounds for finding in _findings(bound, candidate, against or {})))


def _findings(bound: Bound, candidate: Mapping[str, Any], against: Mapping[str, Any]) -> Iterator[Finding]:
    title, found, other = TITLES[bound.measure], candidate.get(bound.measure), against.get(bound.measure)
    if found is None:
        yield Finding(bound.measure, False, f"{title} was not measured")
        return
    sign = 1 if bound.measure in GREATER_IS_BETTER else -1
    if bound.limit is not None:
        word = "at least" if sign > 0 else "at most"
        holds = sign * (found - bound.limit) >= 0
        yield Finding(bound.measure, holds, f"{title} {found:.5f}, {word} {bound.limit:g} is asked")
    if other is None:
        return
    if bound.worse_by is not None:
        holds = sign * (found - other) >= -bound.worse_by
        text = f"{title} {found:.5f} against {other:.5f}, at most {bound.worse_by:g} worse is asked"
        yield Finding(bound.measure, holds, text)
    if bound.differs_by is not None:
        holds = abs(found - other) <= bound.differs_by
        text = f"{title} {found:.5f} against {other:.5f}, at most {bound.differs_by:g} apart is asked"
        yield Finding(bound.measure, holds, text)
