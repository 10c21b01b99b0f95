"""The part of docs/promises.md that `make chaos-edge` writes; the rest of that page is `make e2e`'s."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from bench.edge.model import Figure

PATH = Path(__file__).parents[2] / "docs/promises.md"
BEGIN, END = "<!-- make chaos-edge: begin -->", "<!-- make chaos-edge: end -->"
_PART = re.compile(re.escape(BEGIN) + r".*?" + re.escape(END) + r"\n?", re.DOTALL)
_ROW = re.compile(r"^\| (?P<probe>[a-z_]+) \| .*\n", re.MULTILINE)


def part_of(text: str) -> str:
    """The marked part of the page with a blank line before it; empty where there is none."""
    found = _PART.search(text)
    return "\n" + found[0] if found else ""


def with_figures(text: str, figures: Mapping[str, Sequence[Figure]], command: str, machine: str, date: str) -> str:
    """The page with the figures of these probes; rows of probes that did not run stay as they were."""
    rows: dict[str, str] = {}
    for row in _ROW.finditer(part_of(text)):
        if row["probe"] != "probe":
            rows[row["probe"]] = rows.get(row["probe"], "") + row[0]
    for probe, measured in figures.items():
        rows[probe] = "".join(_row(probe, figure, command, machine, date) for figure in measured)
    part = (
        f"{BEGIN}\n## The edge under load\n\nWritten by `make chaos-edge`: `mizzen up -f examples/flights` on one machine, one"
        " probe after another.\n\n| probe | promise | figure | bound | kept | run |\n|---|---|---|---|---|---|\n"
        + "".join(rows[probe] for probe in sorted(rows))
        + f"{END}\n"
    )
    return _PART.sub("", text).rstrip("\n") + "\n\n" + part


def _row(probe: str, figure: Figure, command: str, machine: str, date: str) -> str:
    kept = "yes" if figure.met else "**no**"
    cells = (probe, figure.promise, figure.figure, figure.bound, kept, f"`{command}`, {machine}, {date}")
    return "| " + " | ".join(cell.replace("|", "/").replace("\n", " ") for cell in cells) + " |\n"
