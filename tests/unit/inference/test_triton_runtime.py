"""How the CPU runtime is laid out and started; no server is started here."""

import os
import re
import sys
import venv
from pathlib import Path

import pytest

from chassis.errors import FailedPrecondition
from inference import runtime


@pytest.fixture(scope="module")
def fake_venv(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A venv of this interpreter with empty files where the wheel has its own."""
    root = tmp_path_factory.mktemp("triton") / "venv"
    venv.create(root, with_pip=False, symlinks=True)
    wheel = runtime.site_packages(root) / "pytriton" / "tritonserver"
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    for name in (
        "backends/python/libtriton_python.so",
        "backends/python/triton_python_backend_utils.py",
        f"python_backend_stubs/{version}/triton_python_backend_stub",
    ):
        (wheel / name).parent.mkdir(parents=True, exist_ok=True)
        (wheel / name).write_text(name)
    return root


def test_every_requirement_is_pinned() -> None:
    pins = runtime.python_requirements()
    assert all(re.fullmatch(r"[a-z0-9-]+==[0-9.]+", pin) for pin in pins)
    assert "numpy==1.26.4" in pins, "the wheel's Triton crashes with numpy 2"


def test_backends_are_laid_out_once_per_content(fake_venv: Path, tmp_path: Path) -> None:
    backends = runtime.prepare_backends(fake_venv, tmp_path)
    assert backends.is_relative_to(tmp_path)
    assert {path.name for path in backends.iterdir()} == {"python", "onnxruntime", "sentence_embedding"}
    assert {path.name for path in (backends / "python").iterdir()} == {
        "libtriton_python.so",
        "triton_python_backend_utils.py",
        "triton_python_backend_stub",
    }
    assert os.access(backends / "python/triton_python_backend_stub", os.X_OK)
    assert (backends / "onnxruntime/model.py").is_file()
    (backends / "python/__pycache__").mkdir()  # Triton's Python leaves this behind
    assert runtime.prepare_backends(fake_venv, tmp_path) == backends
    changed = runtime.site_packages(fake_venv) / "pytriton/tritonserver/backends/python/libtriton_python.so"
    changed.write_text("newer")
    assert runtime.prepare_backends(fake_venv, tmp_path) != backends
    assert [path.name for path in (tmp_path / "triton").iterdir() if path.name.startswith(".")] == []


def test_everything_listens_on_the_given_host_only(fake_venv: Path, tmp_path: Path) -> None:
    command = runtime.tritonserver_command(
        *(fake_venv, [tmp_path / "a", tmp_path / "b"], 1, 3, "127.0.0.1"),
        backends=tmp_path,
        shared_memory_prefix="p-",
        serving=tmp_path / "serving",
        load_s=60.0,
        allow_code=("B", "a"),
    )
    assert command[3:8] == ["p-", str(tmp_path / "serving"), sys.executable, "B,a", "60"]
    for name, port in (("grpc", 1), ("metrics", 3)):
        assert f"--{name}-address=127.0.0.1" in command
        assert f"--{name}-port={port}" in command
    assert [each for each in command if "repository=" in each] == [
        f"--model-repository={tmp_path / name}" for name in ("a", "b")
    ]
    assert "--model-control-mode=none" in command, "loading over the network would take code"


def test_the_environment_has_the_interpreters_libpython_first_and_no_python_variables(fake_venv: Path) -> None:
    given = {"PATH": "/usr/bin", "PYTHONPATH": "/x", "PYTHONHOME": "/y", "LD_LIBRARY_PATH": "/z", "LC_ALL": "C.UTF-8"}
    environment = runtime.tritonserver_environment(fake_venv, given)
    libraries = environment["LD_LIBRARY_PATH"].split(":")
    assert libraries == [
        str(runtime.libpython(fake_venv).parent),
        str(runtime.site_packages(fake_venv) / "nvidia_pytriton.libs"),
    ]
    assert environment["PATH"] == f"{fake_venv / 'bin'}:/usr/bin"
    assert not {"PYTHONPATH", "PYTHONHOME"} & set(environment)
    assert environment["LC_ALL"] == "C.UTF-8"


def test_a_missing_venv_is_named(tmp_path: Path) -> None:
    with pytest.raises(FailedPrecondition, match=str(tmp_path)):
        runtime.site_packages(tmp_path)


def test_shared_memory_is_swept_by_state_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shared = tmp_path / "shm"
    shared.mkdir()
    monkeypatch.setattr(runtime, "SHARED_MEMORY", shared)
    one, two = tmp_path / "one", tmp_path / "two"
    for state in (one, two):
        (shared / f"{runtime.shared_memory_prefix(state)}region").touch()
    assert runtime.sweep_shared_memory(one) == 1
    assert [path.name for path in shared.iterdir()] == [f"{runtime.shared_memory_prefix(two)}region"]


def test_libpython_of_a_moved_interpreter_is_under_its_prefix(
    fake_venv: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    built_for, moved_to = tmp_path / "built-for", tmp_path / "moved-to"
    monkeypatch.setattr(runtime, "_ask_interpreter", lambda _: (str(built_for), str(moved_to), "/site", "3.11"))
    with pytest.raises(FailedPrecondition, match=r"libpython3\.11\.so\.1\.0"):
        runtime.libpython(fake_venv)
    for folder in (built_for, moved_to / "lib"):
        folder.mkdir(parents=True)
        (folder / "libpython3.11.so.1.0").touch()
    assert runtime.libpython(fake_venv) == moved_to / "lib" / "libpython3.11.so.1.0"
