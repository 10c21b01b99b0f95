"""What finding a request's row costs at 100 public paths: `.venv/bin/python -m bench.dispatch`; 1 when one is over the bound."""

import sys
import timeit
from dataclasses import replace
from functools import partial

from gateway.api.app import described
from gateway.api.http.dispatch import PathTree

BOUND_US = 3.0
ASKED = (
    b"/v1/endpoints/flight-delay:predict",
    b"/v1/features:read",
    b"/v2/models/echo/versions/3/infer",
    b"/v1/collections/a/documents/x/y",
)
TIMES = 20_000


def main() -> int:
    """Prints microseconds a path, the least of seven repeats."""
    table = described()
    rows = [replace(row, template=f"{prefix}{row.template}") for prefix in ("", "/a", "/b", "/c") for row in table]
    tree = PathTree(rows)
    found = {path: min(timeit.repeat(partial(tree.find, path), number=TIMES, repeat=7)) for path in ASKED}
    for path, seconds in found.items():
        print(f"{seconds / TIMES * 1e6:5.2f} µs of {len(rows)} paths  {path.decode()}")
    return int(max(found.values()) / TIMES * 1e6 > BOUND_US)


if __name__ == "__main__":
    sys.exit(main())
