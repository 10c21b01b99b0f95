"""A poisoned package of a project is published by no command, and what was refused is said."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from catalog import Catalog, Endpoint, parse_text
from cli.machine import packages
from tests.unit.catalog.test_definitions import ENDPOINT
from tests.unit.inference.onnx_models import doubling
from tests.unit.inference.poisons import POISONS

NAMES = ("execution environment", "pickle named bin", "a million instances", "hard link")


def poisoned(project: Path, name: str) -> Path:
    from inference import packaging

    root = doubling(project / "model")
    packaging.seal(root)
    POISONS[name][0](root)
    return project


@pytest.mark.parametrize("name", NAMES)
def test_up_leaves_it_out_and_says_why(tmp_path: Path, name: str) -> None:
    project = poisoned(tmp_path / "project", name)
    served = packages.publish(project, Catalog(), tmp_path / "volumes", tmp_path / "no-venv")
    assert served.roots == ()
    (said,) = served.left_out
    assert all(text in said for text in POISONS[name][1])
    assert list((tmp_path / "volumes/models").iterdir()) == []


def test_a_package_of_an_endpoint_with_a_column_that_is_not_there_is_left_out(tmp_path: Path) -> None:
    from inference import packaging

    root = doubling(tmp_path / "project/model")
    packaging.seal(root)
    ((endpoint,), problems) = parse_text(ENDPOINT.replace("model: delay}", "model: doubling}"), "endpoint.yaml")
    assert not problems
    assert isinstance(endpoint, Endpoint)
    catalog = Catalog(endpoints={endpoint.name: endpoint})
    served = packages.publish(tmp_path / "project", catalog, tmp_path / "volumes", tmp_path / "no-venv")
    (said,) = served.left_out
    assert said.startswith(f"{root} is not published: plane_facts:age: there is no feature view plane_facts")


@pytest.mark.parametrize("name", NAMES[:2])
def test_the_publish_job_fails_and_says_why(tmp_path: Path, name: str) -> None:
    project = poisoned(tmp_path / "project", name)
    env = {key: value for key, value in os.environ.items() if not key.startswith("MIZZEN_")}
    done = subprocess.run(
        [sys.executable, "-m", "cli", "publish", "-f", str(project)],
        env={**env, "MIZZEN_STATE": str(tmp_path / "state"), "COLUMNS": "1000"},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode != 0
    assert all(text in done.stdout + done.stderr for text in POISONS[name][1])
    assert "Traceback" not in done.stderr
    assert not list((tmp_path / "state/volumes/models").glob("*"))
