"""A Triton user's own repository, with Python and capitals, under `mizzen up`: refused, and served once it is allowed."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest

from cli.settings import Settings
from tests.engines import free_ports, triton_venv
from tests.integration.inference.test_poison_on_triton import python_model
from tests.stack import ROOT, Stack
from tests.unit.inference.onnx_models import doubling

pytestmark = [pytest.mark.engines, pytest.mark.slow]
SERVICE = """\
apiVersion: serving.kserve.io/v1beta1
kind: InferenceService
metadata:
  name: {name}
  annotations: {{mizzen.dev/models: "{models}"}}
spec:
  predictor:
    model:
      modelFormat: {{name: triton}}
      storageUri: pvc://models/{name}
"""
ASKED = {"inputs": [{"name": "x", "shape": [1, 2], "datatype": "FP32", "data": [1.0, 2.0]}]}


@pytest.fixture
def stack() -> Iterator[Stack]:
    """A state directory with a user's repository (one model with code, one without) on its models volume; nothing runs yet."""
    state = Path(tempfile.mkdtemp(prefix="mizzen-foreign-", dir="/tmp"))
    state.chmod(0o755)
    names = [name for name in Settings.model_fields if name.endswith("_port")]
    ports = dict(zip((name.removesuffix("_port") for name in names), free_ports(len(names)), strict=True))
    env = {name: value for name, value in os.environ.items() if not name.startswith("MIZZEN_")}
    env |= {f"MIZZEN_{name.upper()}_PORT": str(port) for name, port in ports.items()}
    env |= {"MIZZEN_STATE": str(state / "state"), "MIZZEN_TRITON_VENV": str(triton_venv())}
    running = Stack(state / "state", env, ports)
    try:
        yield running
    finally:
        ended = running.mizzen("down")
        shutil.rmtree(state, ignore_errors=True)
        assert ended.returncode == 0, ended.stdout + ended.stderr


def project(stack: Stack) -> Path:
    folder = stack.state.parent / "project"
    folder.mkdir()
    for name, models in (("ranker", "Ranker_v2"), ("sound", "doubling")):
        (folder / f"{name}.yaml").write_text(SERVICE.format(name=name, models=models))
    python_model(stack.state / "volumes/models/ranker", "Ranker_v2")
    doubling(stack.state / "volumes/models/sound")
    return folder


def up(stack: Stack, folder: Path, **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "cli", "up", "-f", str(folder), "--detach"],
        env={**stack.env, **env},
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=400,
        check=False,
    )


def infer(stack: Stack, model: str) -> httpx2.Response:
    return httpx2.post(f"{stack.rest}/v2/models/{model}/infer", json=ASKED, timeout=30)


@pytest.mark.timeout(600)
def test_it_is_refused_with_the_way_in_and_served_once_an_operator_names_it(stack: Stack) -> None:
    folder = project(stack)
    refused = up(stack, folder)
    assert refused.returncode == 0, refused.stdout + refused.stderr
    said = " ".join(refused.stdout.split())
    assert "InferenceService ranker" in said
    assert "allowCode: [Ranker_v2]" in said
    assert "MIZZEN_INFERENCE_ALLOW_CODE" in said
    assert infer(stack, "doubling").json()["outputs"][0]["data"] == [2.0, 4.0]
    assert infer(stack, "Ranker_v2").status_code >= 400
    allowed = up(stack, folder, MIZZEN_INFERENCE_ALLOW_CODE="Ranker_v2")
    assert allowed.returncode == 0, allowed.stdout + allowed.stderr
    assert "allowCode" not in allowed.stdout
    answer = infer(stack, "Ranker_v2")
    assert answer.status_code == 200, answer.text
    assert (answer.json()["model_name"], answer.json()["outputs"][0]["data"]) == ("Ranker_v2", [3.0, 6.0])
