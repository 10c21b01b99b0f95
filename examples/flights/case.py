"""The first flight that `mizzen up` asks about: the endpoint's example, and what became of it."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import duckdb
from data import table_path

from catalog import read_directory
from catalog.kinds.endpoint import Example

HERE = Path(__file__).parent
ENDPOINT = "flight-delay"
OUTPUT = "probability"
QUESTION = "Why are there no Docker containers on a laptop?"


def case(root: Path) -> dict[str, Any]:
    """Endpoint, request, title, output, truth and a question, as `mizzen up` shows them.

    LookupError when the tables under `root` lack the flight.
    """
    endpoint = read_directory(HERE).endpoints[ENDPOINT]
    example = endpoint.spec.example
    if example is None:
        raise LookupError(f"Endpoint {ENDPOINT} has no example")
    flight, dep_delay, arr_delay, departure = _found(example, root)
    told = {key: values[0] for key, values in example.entities.items()}
    return {
        "endpoint": ENDPOINT,
        "request": example.model_dump(),
        "title": f"{told['carrier']} {flight} {told['origin']} → {told['dest']}, {departure}, asked two hours before",
        "truth": f"left {_minutes(dep_delay)}, arrived {_minutes(arr_delay)}: {'late' if arr_delay > 15 else 'not late'}",
        "output": OUTPUT,
        "question": QUESTION,
    }


def _found(example: Example, root: Path) -> tuple[int, float, float, str]:
    entities, inputs = example.entities, example.inputs
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone='UTC'")
        row = connection.execute(
            "SELECT flight, dep_delay, arr_delay, strftime(timezone('America/New_York', sched_dep), '%-d %b %Y %H:%M')"
            f" FROM '{table_path(root, 'flights')}' WHERE tailnum = ? AND origin = ? AND sched_dep = CAST(? AS TIMESTAMPTZ)",
            [entities["tailnum"][0], entities["origin"][0], inputs["sched_dep"][0]],
        ).fetchone()
    if row is None:
        raise LookupError("the example's flight is not in the tables")
    return row


def _minutes(delay: float) -> str:
    return f"{abs(delay):.0f} min {'late' if delay > 0 else 'early'}" if delay else "on time"


def main() -> None:
    """Command line: one JSON object on standard output."""
    parser = argparse.ArgumentParser(description="The first flight that is asked about.")
    parser.add_argument("--root", type=Path, required=True, help="offline root directory")
    print(json.dumps(case(parser.parse_args().root), ensure_ascii=False))


if __name__ == "__main__":
    main()
