"""The example's own modules, and its tables."""

import sys
from pathlib import Path

import pytest

EXAMPLE = Path(__file__).parents[3] / "examples" / "flights"
if str(EXAMPLE) not in sys.path:
    sys.path.insert(0, str(EXAMPLE))


@pytest.fixture(scope="session")
def example() -> Path:
    return EXAMPLE


@pytest.fixture(scope="session")
def offline(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An offline root with the tables of the whole year."""
    from data import prepare

    root = tmp_path_factory.mktemp("offline")
    assert prepare(root)
    return root
