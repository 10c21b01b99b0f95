"""A project of one's own, in its own words: started from inside as often as one likes, closed to others, and with keys."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx2
import pytest

from catalog import STATE_MARK
from cli.settings import Settings
from inference import packaging
from tests.engines import free_ports, triton_venv
from tests.unit.inference.onnx_models import doubling

pytestmark = [pytest.mark.engines, pytest.mark.slow]

DEFINITIONS = """\
apiVersion: mizzen.dev/v1alpha1
kind: FeatureView
metadata: {name: stav-stanice}
spec:
  description: Kolik kol je právě ve stanici.
  entities: [{name: stanice, dtype: STRING}]
  source:
    tables: {pujcky: kola/pujcky.parquet}
    sql: select stanice, event_timestamp, kola, stojany from pujcky
  features:
    - {name: kola, dtype: FLOAT32, unit: kusy}
    - {name: stojany, dtype: FLOAT32, unit: kusy}
---
apiVersion: mizzen.dev/v1alpha1
kind: Endpoint
metadata: {name: odhad-kol}
spec:
  entities: [{name: stanice, dtype: STRING}]
  model:
    tensors: [{name: x, datatype: FP32, features: ["stav_stanice:kola", "stav_stanice:stojany"]}]
    outputs: [{name: zitra, dtype: FLOAT32, tensor: "y", column: 0}]
  traffic:
    routes: [{inferenceService: odhad-kol, model: odhad-kol}]
  example:
    entities: {stanice: ["Náměstí Míru"]}
---
apiVersion: serving.kserve.io/v1beta1
kind: InferenceService
metadata: {name: odhad-kol}
spec:
  predictor:
    model:
      modelFormat: {name: triton, version: "2"}
      protocolVersion: v2
      runtime: mizzen-triton-cpu
      storageUri: pvc://models/odhad-kol/DIGEST
"""
DATA = """\
import argparse
from pathlib import Path
import duckdb
parser = argparse.ArgumentParser()
parser.add_argument("--root", type=Path)
folder = parser.parse_args().root / "kola"
folder.mkdir(parents=True, exist_ok=True)
rows = "('Náměstí Míru', 7.0, 12.0), ('駅前', 3.0, 20.0)"
moment = "TIMESTAMPTZ '2026-01-01 08:00:00+00' AS event_timestamp"
query = f"SELECT *, {moment} FROM (VALUES {rows}) AS t(stanice, kola, stojany)"
duckdb.sql(f"COPY ({query}) TO '{folder / 'pujcky.parquet'}' (FORMAT parquet)")
"""
PREDICT = "/v1/endpoints/odhad-kol:predict"
BODY = {"entities": {"stanice": ["Náměstí Míru", "駅前"]}}
LOOPBACK = (
    "0100007F",
    "0000000000000000FFFF00000100007F",
    "00000000000000000000000001000000",
)  # as the kernel writes them


@dataclass(frozen=True)
class Project:
    """A folder with definitions, and the environment that its commands run in."""

    folder: Path
    state: Path
    env: dict[str, str]
    ports: dict[str, int]

    def mizzen(self, *arguments: str, **more: str) -> subprocess.CompletedProcess[str]:
        """A command from inside the folder."""
        command = [sys.executable, "-m", "cli", *arguments]
        return subprocess.run(
            command, env={**self.env, **more}, cwd=self.folder, capture_output=True, text=True, timeout=200, check=False
        )

    def up(self, **more: str) -> str:
        """What the screen said; fails where the command does."""
        done = self.mizzen("up", "-f", ".", "--detach", **more)
        assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
        return done.stdout

    def down(self) -> None:
        done = self.mizzen("down")
        assert done.returncode == 0, done.stdout + done.stderr

    @property
    def rest(self) -> str:
        return f"http://127.0.0.1:{self.ports['gateway_rest']}"

    def predict(self, key: str = "") -> httpx2.Response:
        headers = {"x-api-key": key} if key else {}
        return httpx2.post(f"{self.rest}{PREDICT}", json=BODY, headers=headers, timeout=10, trust_env=False)


def project(state: str | None) -> Iterator[Project]:
    """`state` is relative to the project; None leaves the default."""
    folder = Path(tempfile.mkdtemp(prefix="mizzen-project-", dir="/tmp"))
    folder.chmod(0o755)
    doubling(folder / "model", "odhad-kol")
    digest = packaging.seal(folder / "model").digest
    (folder / "vse.yaml").write_text(DEFINITIONS.replace("DIGEST", digest))
    (folder / "data.py").write_text(DATA)
    names = [name.removesuffix("_port") for name in Settings.model_fields if name.endswith("_port")]
    ports = dict(zip(names, free_ports(len(names)), strict=True))
    env = {name: value for name, value in os.environ.items() if not name.startswith("MIZZEN_")}
    env |= {f"MIZZEN_{name.upper()}_PORT": str(port) for name, port in ports.items()}
    env |= {"MIZZEN_TRITON_VENV": str(triton_venv()), **({"MIZZEN_STATE": state} if state else {})}
    made = Project(folder, folder / (state or ".mizzen"), env, ports)
    try:
        yield made
    finally:
        made.mizzen("down", "--delete-state")
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def mine() -> Iterator[Project]:
    yield from project(None)


@pytest.fixture
def with_visible_state() -> Iterator[Project]:
    yield from project("beh/stav")


def listening(port: int) -> set[str]:
    """Addresses (as the kernel writes them) that `port` is listened at."""
    found = set()
    for table in ("tcp", "tcp6"):
        for line in Path("/proc/net", table).read_text().splitlines()[1:]:
            address, number = line.split()[1].split(":")
            if line.split()[3] == "0A" and int(number, 16) == port:
                found.add(address)
    return found


def as_an_older_version_left_it(state: Path) -> None:
    """Open to everybody, without a mark and without a password of Valkey."""
    for path in (state / STATE_MARK, state / "keys/valkey.password", state / "valkey/valkey.conf"):
        path.unlink()
    for folder in (state, *(each for each in state.iterdir() if each.is_dir() and each.name != "keys")):
        folder.chmod(0o755)


def test_started_from_inside_as_often_as_one_likes(mine: Project) -> None:
    first = mine.up()
    assert "zitra 14.000" in first
    again = mine.up()
    assert "(unchanged)" in again
    assert "zitra 14.000" in again
    assert mine.predict().json()["outputs"] == {"zitra": [14.0, 6.0]}
    applied = mine.mizzen("apply", "-f", ".")
    assert (applied.returncode, applied.stdout.strip()) == (0, "unchanged")

    addresses = {name: listening(port) for name, port in mine.ports.items()}
    assert all(found and found <= set(LOOPBACK) for found in addresses.values()), addresses
    modes = {path.name: oct(path.stat().st_mode & 0o777) for path in mine.state.iterdir() if path.is_dir()}
    passable = {"postgres"} if os.getuid() == 0 else set()
    assert {name for name, mode in modes.items() if mode != "0o700"} == passable
    password = (mine.state / "keys/valkey.password").read_text().strip()
    assert password not in "".join(_command_lines())

    mine.down()
    as_an_older_version_left_it(mine.state)
    assert "zitra 14.000" in mine.up()
    assert mine.predict().json()["outputs"] == {"zitra": [14.0, 6.0]}


def test_the_state_may_lie_in_a_folder_that_anybody_sees(with_visible_state: Project) -> None:
    with_visible_state.up()
    assert (with_visible_state.state / "definitions").is_dir()
    assert "(unchanged)" in with_visible_state.up()
    (with_visible_state.folder / "znovu.yaml").write_text((with_visible_state.folder / "vse.yaml").read_text())
    refused = with_visible_state.mizzen("apply", "-f", ".")
    assert refused.returncode == 1
    assert "znovu.yaml:3: metadata.name: FeatureView stav-stanice is defined twice; the first one is at vse.yaml:1" in (
        refused.stderr
    )
    (with_visible_state.folder / "znovu.yaml").unlink()
    with_visible_state.down()
    assert "zitra 14.000" in with_visible_state.up()


def test_it_works_with_keys(mine: Project) -> None:
    key = mine.mizzen("key", "create", "obchod").stdout.strip()
    screen = mine.up()
    assert "zitra 14.000" in screen
    assert [mine.predict(each).status_code for each in ("", "wrong", key)] == [401, 401, 200]
    own = (mine.state / "keys/own-api-key").read_text().strip()
    assert own not in screen
    assert own not in (mine.state / "run/plan.json").read_text()
    # As pasted from the screen.
    lines = screen[screen.index("Try it:") :].splitlines()
    export = next(line for line in lines if line.startswith("export "))
    curl = next(line for line in lines if line.startswith("curl ") and ":predict" in line)
    pasted = subprocess.run(
        ["bash", "-c", f"{export}\n{curl}"], env=mine.env, capture_output=True, text=True, check=True
    )
    assert json.loads(pasted.stdout)["outputs"] == {"zitra": [14.0]}

    # A typo beside the revocation: it takes place within five seconds, and is told.
    path = mine.state / "keys/api-keys"
    path.write_text("preklep\n" + path.read_text())
    assert mine.mizzen("key", "revoke", "obchod").returncode == 0
    give_up = time.monotonic() + 5
    while mine.predict(key).status_code != 401:
        assert time.monotonic() < give_up
    ready = httpx2.get(f"http://127.0.0.1:{mine.ports['gateway_ops']}/readyz", trust_env=False)
    assert (ready.status_code, "api-keys line 1" in ready.text) == (200, True)

    # With keys the gateway may leave loopback, and nothing else does.
    assert "zitra 14.000" in mine.up(MIZZEN_HOST="0.0.0.0")
    for name, port in mine.ports.items():
        assert (listening(port) <= set(LOOPBACK)) is not name.startswith("gateway"), name


def _command_lines() -> Iterator[str]:
    for process in Path("/proc").iterdir():
        if process.name.isdigit():
            try:
                yield (process / "cmdline").read_text(errors="replace")
            except OSError:
                continue
