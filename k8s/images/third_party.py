"""Prints what the given pyproject.toml files need from others: the requirements of an image's third-party layer.

`python third_party.py PYPROJECT…`: own packages (mizzen-…) are left out, versions are in constraints.txt.
"""

import sys
import tomllib
from pathlib import Path


def third_party(path: Path) -> set[str]:
    """Requirements of one pyproject.toml, its optional ones included."""
    project = tomllib.loads(path.read_text())["project"]
    optional = (need for needs in project.get("optional-dependencies", {}).values() for need in needs)
    return {need for need in (*project["dependencies"], *optional) if not need.startswith("mizzen-")}


if __name__ == "__main__":
    for requirement in sorted(set().union(*(third_party(Path(name)) for name in sys.argv[1:]))):
        print(requirement)  # noqa: T201
