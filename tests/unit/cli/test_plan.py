"""Specifications as data: written, read back, compared; and what children are told."""

import os
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from cli.machine import plan
from cli.machine.layout import Layout
from cli.machine.processes import spawn
from cli.machine.spec import ChildSpec, Ready, specs_from_json, specs_to_json
from cli.machine.supervision.tending import BACKOFF_CAP_S, BACKOFF_START_S, STEADY_S, next_backoff
from cli.settings import Settings

SPEC = ChildSpec("one", ("true",), {"PATH": "/bin", "A": "1"}, "/", Ready("tcp", 1), ports=(1,), uid=65534)


def test_a_plan_survives_its_file() -> None:
    assert specs_from_json(specs_to_json([SPEC])) == [SPEC]


@pytest.mark.parametrize("text", ["", "{", "[{}]", '[{"name": "x"}]'])
def test_a_foreign_plan_is_refused(text: str) -> None:
    with pytest.raises((ValueError, KeyError, TypeError)):
        specs_from_json(text)


def test_only_what_matters_restarts_a_child() -> None:
    assert replace(SPEC, env={"PATH": "/usr/bin", "A": "1"}).digest() == SPEC.digest()
    assert replace(SPEC, env={"PATH": "/bin", "A": "2"}).digest() != SPEC.digest()
    assert replace(SPEC, fingerprint="x").digest() != SPEC.digest()


def test_backoff_doubles_to_its_cap_and_forgives_a_steady_life() -> None:
    waits = [BACKOFF_START_S]
    while waits[-1] < BACKOFF_CAP_S:
        waits.append(next_backoff(waits[-1], 0))
    assert waits == [0.2, 0.4, 0.8, 1.6, 3.2, 5.0]
    assert next_backoff(BACKOFF_CAP_S, STEADY_S) == BACKOFF_START_S


def test_services_are_told_where_everything_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MIZZEN_LOG_LEVEL", "debug")
    monkeypatch.setenv("MIZZEN_VALKEY_PORT", "7000")
    monkeypatch.setenv("SECRET_OF_SOMETHING_ELSE", "x")
    specs = {spec.name: spec for spec in plan.services(Settings(), Layout(tmp_path))}
    assert set(specs) == {"features", "retrieval", "monitoring", "control", "gateway"}
    told = specs["gateway"].env
    assert told["MIZZEN_STATE"] == str(tmp_path)
    assert told["MIZZEN_ONLINE_URL"] == "redis://127.0.0.1:7000/0"
    assert told["MIZZEN_LOG_LEVEL"] == "debug"
    assert "SECRET_OF_SOMETHING_ELSE" not in told
    assert specs["gateway"].ports == (8080, 8081, 8180)
    assert specs["control"].ports == (8104, 8088, 8184)
    assert specs["gateway"].stage > specs["features"].stage
    assert (
        specs["gateway"].niceness
        == 0
        < specs["features"].niceness
        < specs["monitoring"].niceness
        == specs["control"].niceness
    )


def test_a_child_is_as_nice_as_its_spec_says(tmp_path: Path) -> None:
    """Of its own, and as a session: Linux shares the CPU between sessions first, where it groups them."""
    script = "import os, pathlib; g = pathlib.Path('/proc/self/autogroup'); print(os.nice(0), g.read_text() if g.exists() else '')"
    spec = replace(SPEC, command=(sys.executable, "-I", "-S", "-c", script), cwd=str(tmp_path), uid=None, niceness=5)
    log = tmp_path / "child.log"
    assert spawn(spec, log).wait(20) == 0
    own, *session = log.read_text().split()
    assert int(own) == min(19, os.nice(0) + 5)
    assert not session or session[-2:] == ["nice", "5"]


def test_a_changed_file_of_a_room_restarts_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "a_room_for_this_test"
    package.mkdir()
    (package / "__init__.py").write_text("")
    monkeypatch.syspath_prepend(str(tmp_path))
    before = plan.code_fingerprint(package.name)
    (package / "__init__.py").write_text("more = 1")
    assert plan.code_fingerprint(package.name) != before
