"""Poison that leaves a marker on a bare tritonserver leaves none where our launcher stands before it."""

from __future__ import annotations

import io
import shutil
import tarfile
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tritonclient.grpc as grpcclient
from tritonclient.utils import InferenceServerException

from cli.machine.engines import triton as triton_engine
from cli.machine.spec import ChildSpec
from inference import packaging
from tests.engines import RunningTriton, free_ports, running, triton_venv
from tests.unit.inference.onnx_models import doubling

pytestmark = pytest.mark.engines

PYTHON_MODEL = """
import numpy as np
import triton_python_backend_utils as pb_utils

class TritonPythonModel:
    def execute(self, requests):
        answers = []
        for request in requests:
            x = pb_utils.get_input_tensor_by_name(request, "x").as_numpy()
            answers.append(pb_utils.InferenceResponse([pb_utils.Tensor("y", (x * 3).astype(np.float32))]))
        return answers
"""


def python_model(root: Path, name: str, first: str = "") -> Path:
    """A model of Triton's Python backend, x FP32 [rows, 2] -> y = 3x, which runs `first` when it is loaded."""
    doubling(root, name)
    config = root / name / "config.pbtxt"
    config.write_text(config.read_text().replace('backend: "onnxruntime"', 'backend: "python"'))
    (root / name / "1/model.onnx").unlink()
    (root / name / "1/model.py").write_text(first + PYTHON_MODEL)
    return root


def environment_model(root: Path, name: str, marker: Path) -> Path:
    """A model with an execution environment, whose bin/activate leaves `marker`."""
    doubling(root, name)
    script = f"touch {marker}\n".encode()
    with tarfile.open(root / name / "1/env.bin", "w:gz") as archive:
        info = tarfile.TarInfo("bin/activate")
        info.size = len(script)
        archive.addfile(info, io.BytesIO(script))
    config = root / name / "config.pbtxt"
    config.write_text(
        config.read_text()
        + 'parameters { key: "EXECUTION_ENV_PATH" value { string_value: "$$TRITON_MODEL_DIRECTORY/1/env.bin" } }\n'
    )
    return root


def poisoned(folder: Path, markers: Path) -> list[Path]:
    """Three repositories; each leaves a marker where it is served."""
    markers.mkdir()
    return [
        environment_model(folder / "environment", "environment", markers / "PWNED_environment"),
        python_model(folder / "python", "python-model", f"open({str(markers / 'PWNED_python')!r}, 'w').close()\n"),
        python_model(folder / "capital", "Capital", f"open({str(markers / 'PWNED_capital')!r}, 'w').close()\n"),
    ]


def spec(repositories: list[Path], state: Path, allow_code: tuple[str, ...] = ()) -> ChildSpec:
    state.mkdir(parents=True, exist_ok=True)
    grpc_port, metrics_port = free_ports(2)
    return triton_engine.spec(
        *(triton_venv(), repositories, state),
        grpc_port=grpc_port,
        metrics_port=metrics_port,
        allow_code=allow_code,
    )


def bare(made: ChildSpec) -> ChildSpec:
    """The same server without the launcher: what an installation of Triton alone does."""
    return replace(
        made, command=made.command[next(i for i, each in enumerate(made.command) if "bin/tritonserver" in each) :]
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("poison")


@pytest.fixture(scope="module")
def guarded(folder: Path) -> Iterator[RunningTriton]:
    """All poison beside a sound package, through the launcher; an operator lets `Capital` in, and nothing else."""
    roots = poisoned(folder / "guarded", folder / "markers")
    sound = doubling(folder / "sound")
    packaging.seal(sound)
    with running(RunningTriton(spec([*roots, sound], folder / "state", ("Capital",)), folder / "triton.log")) as engine:
        yield engine


def ready(engine: RunningTriton, *names: str) -> list[bool]:
    with grpcclient.InferenceServerClient(engine.grpc_address) as client:
        return [client.is_model_ready(name) for name in names]


def test_the_poison_is_live_on_a_bare_server(folder: Path) -> None:
    markers = folder / "bare-markers"
    roots = poisoned(folder / "bare", markers)
    with running(RunningTriton(bare(spec(roots, folder / "bare-state")), folder / "bare.log")) as engine:
        give_up = time.monotonic() + 30
        while len(list(markers.iterdir())) < 3:
            assert time.monotonic() < give_up, engine.log.read_text()[-2000:]
            time.sleep(0.1)
    assert {path.name for path in markers.iterdir()} == {"PWNED_environment", "PWNED_python", "PWNED_capital"}


def test_no_marker_is_left_but_that_of_the_model_an_operator_named(guarded: RunningTriton, folder: Path) -> None:
    assert ready(guarded, "doubling", "Capital", "environment", "python-model") == [True, True, False, False]
    assert [path.name for path in (folder / "markers").iterdir()] == ["PWNED_capital"]
    log = guarded.log.read_text()
    assert "environment/config.pbtxt, field parameters[EXECUTION_ENV_PATH]" in log
    assert "allowCode: [python-model]" in log


def test_a_python_model_with_a_capital_answers_once_it_is_allowed(guarded: RunningTriton) -> None:
    tensor = grpcclient.InferInput("x", [1, 2], "FP32")
    tensor.set_data_from_numpy(np.array([[1.0, 2.0]], dtype=np.float32))
    with grpcclient.InferenceServerClient(guarded.grpc_address) as client:
        np.testing.assert_array_equal(client.infer("Capital", [tensor]).as_numpy("y"), [[3.0, 6.0]])
        with pytest.raises(InferenceServerException):
            client.infer("python-model", [tensor])


def test_what_changes_on_the_volume_after_the_start_is_not_what_is_read(guarded: RunningTriton, folder: Path) -> None:
    """Triton reads private copies; whoever can write to the volume reaches them only through another examination."""
    (folder / "sound/doubling/1/model.py").write_text("import os\n")
    try:
        served = [path for path in (folder / "state/triton/serving").rglob("model.py") if "doubling" in path.parts]
        assert not served
        assert (folder / "state/triton/serving").stat().st_mode & 0o077 == 0
    finally:
        (folder / "sound/doubling/1/model.py").unlink()


def test_a_package_that_is_changed_between_up_and_the_start_is_not_served(folder: Path) -> None:
    """The digest in a published path is looked at by the launcher, once more than by `mizzen up`."""
    built = doubling(folder / "built", "changed")
    packaging.seal(built)
    published = packaging.publish(built, folder / "models")
    assert packaging.check_repository(published, digest=published.name) == ("changed",)
    other = doubling(folder / "other", "changed")
    (other / "changed/config.pbtxt").write_text(
        (other / "changed/config.pbtxt").read_text() + "instance_group { count: 2 }\n"
    )
    packaging.seal(other)
    shutil.rmtree(published)
    shutil.copytree(other, published)
    log = folder / "changed.log"
    with running(RunningTriton(spec([published, folder / "sound"], folder / "changed-state"), log)) as engine:
        assert ready(engine, "doubling", "changed") == [True, False]
    assert f"its address says {published.name}" in log.read_text()
