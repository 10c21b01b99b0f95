"""Documents say what is so: links lead somewhere, line links to the line they name, one owner a path."""

import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def test_links_are_true() -> None:
    done = subprocess.run(
        [sys.executable, "docs/relink.py", "--check"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout


def test_the_journey_links_to_code() -> None:
    assert (ROOT / "docs/journey-of-a-request.md").read_text().count("#L") >= 10


def api_map() -> list[tuple[str, str, str]]:
    """(method, path, owner) of each row of the table in docs/api-map.md, which is the gateway's table."""
    made = subprocess.run([sys.executable, "docs/api_map.py", "--check"], cwd=ROOT, check=False)
    assert made.returncode == 0, "run `python docs/api_map.py`"
    rows = []
    for line in (ROOT / "docs/api-map.md").read_text().splitlines():
        cells = [cell.strip().strip("`") for cell in line.strip().strip("|").split("|")]
        if len(cells) == 7 and re.fullmatch(r"[A-Z]+", cells[0]):
            rows.append((cells[0], cells[1], cells[3]))
    return rows


def test_every_path_has_one_owner() -> None:
    rows = api_map()
    assert len(rows) >= 20
    # Parameters' names don't make a path another one.
    shapes = Counter((method, re.sub(r"\{[^}]*\}", "{}", path)) for method, path, _ in rows)
    assert [shape for shape, count in shapes.items() if count > 1] == []
    assert all(owner for _, _, owner in rows)


def test_adrs_are_numbered_and_whole() -> None:
    adrs = sorted((ROOT / "docs/adr").glob("*.md"))
    numbers = [path.name.partition("-")[0] for path in adrs]
    assert all(re.fullmatch(r"\d{4}", number) for number in numbers)
    assert len(set(numbers)) == len(numbers), "a number names one decision"
    for path in adrs:
        text = path.read_text()
        for heading in ("## Context", "## Alternatives", "## Decision", "## Consequences"):
            assert heading in text, path.name
        assert re.search(r"^(Reversed when |- Reversed when |## When it is reversed)", text, re.MULTILINE), path.name


def test_files_that_contributors_are_sent_to_exist() -> None:
    named = re.findall(r"`([\w.-]+(?:/[\w.-]+)+/?)`", (ROOT / "CONTRIBUTING.md").read_text())
    assert len(named) >= 7
    assert [path for path in named if "NNNN" not in path and not (ROOT / path).exists()] == []
