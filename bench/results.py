"""What a benchmark prints and writes."""

import json
import platform
import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Ratio:
    """`ours` against `peer` on one piece of work; `ratio` is how many times better ours is."""

    work: str
    unit: str
    ours: float
    peer: float
    peer_name: str
    ratio: float
    must: float
    at_most: bool = False
    """True where `ratio` is a cost that must not exceed `must`; otherwise it must reach it."""

    @property
    def reached(self) -> bool:
        """Whether the goal is met."""
        return self.ratio <= self.must if self.at_most else self.ratio >= self.must


def median(values: Sequence[float]) -> float:
    """The middle of the repeats."""
    return statistics.median(values)


def report(ratios: Sequence[Ratio], command: str, path: Path | None) -> int:
    """Prints a table, writes JSON where asked; 0 when every goal is reached, else 1."""
    print(f"\n{'work':44} {'ours':>10} {'peer':>10} {'unit':14} {'ratio':>7} {'must':>7}  peer")
    for each in ratios:
        sign = "≤" if each.at_most else "≥"
        mark = "" if each.reached else "  MISSED"
        print(
            f"{each.work:44} {each.ours:10.1f} {each.peer:10.1f} {each.unit:14} {each.ratio:7.2f} {sign}{each.must:6.2f}"
            f"  {each.peer_name}{mark}"
        )
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        found = [{**asdict(each), "reached": each.reached} for each in ratios]
        machine = f"{platform.machine()}, Python {platform.python_version()}"
        path.write_text(json.dumps({"command": command, "machine": machine, "ratios": found}, indent=1) + "\n")
    return 0 if all(each.reached for each in ratios) else 1
