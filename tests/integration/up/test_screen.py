"""`mizzen` as a person meets it, where nothing can start: exit statuses and words."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from cli.settings import Settings
from tests.engines import free_ports


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    names = list(Settings().ports())
    numbers = dict(zip(names, free_ports(len(names)), strict=True))
    ports = {f"MIZZEN_{name.upper()}_PORT": str(port) for name, port in numbers.items()}
    return {**os.environ, **ports, "MIZZEN_STATE": str(tmp_path / "state")}


def mizzen(*arguments: str, env: dict[str, str]) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "cli", *arguments]
    return subprocess.run(command, env=env, capture_output=True, text=True, timeout=100, check=False)


def test_nothing_runs(environment: dict[str, str]) -> None:
    assert (mizzen("status", env=environment).returncode, mizzen("down", env=environment).returncode) == (1, 0)


def test_a_taken_port_stops_up_before_anything_starts(environment: dict[str, str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        env = {**environment, "MIZZEN_VALKEY_PORT": str(port)}
        done = mizzen("up", "--detach", env=env)
    assert done.returncode == 3
    assert f"{port} (valkey) is taken by process {os.getpid()}" in done.stdout
    assert not Path(environment["MIZZEN_STATE"]).exists()


def test_a_wrong_definition_is_named_and_nothing_starts(environment: dict[str, str], tmp_path: Path) -> None:
    wrong = tmp_path / "wrong.yaml"
    wrong.write_text("apiVersion: mizzen.dev/v1alpha1\nkind: Endpoint\nmetadata: {name: x}\nspec: {clock: sundial}\n")
    done = mizzen("up", "--detach", "-f", str(wrong), env=environment)
    assert done.returncode == 1
    assert f"{wrong}:4: spec.clock" in done.stderr
    assert "Traceback" not in done.stderr
    assert mizzen("status", env=environment).returncode == 1


def test_wrong_usage(environment: dict[str, str]) -> None:
    assert mizzen("up", "--sideways", env=environment).returncode == 2


def test_apply_copies_without_a_running_mizzen(environment: dict[str, str], tmp_path: Path) -> None:
    mine = tmp_path / "mine.yaml"
    view = "{inputs: [{name: x, dtype: FLOAT64}], onDemand: [{name: twice, dtype: FLOAT64, sql: x * 2}]}"
    mine.write_text(f"apiVersion: mizzen.dev/v1alpha1\nkind: FeatureView\nmetadata: {{name: mine}}\nspec: {view}\n")
    done = mizzen("apply", "-f", str(mine), env=environment)
    assert (done.returncode, done.stdout.split("\n")[0]) == (0, "+ featureview mine")
    assert (Path(environment["MIZZEN_STATE"]) / "definitions" / "featureview-mine.yaml").read_text() == mine.read_text()
