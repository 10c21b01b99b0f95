"""The CPU runtime: how the real tritonserver of the wheel ``nvidia-pytriton`` is installed, laid out and started.

Triton lives in a venv and a process of its own. Its Python stubs, one per model instance, are its children: start it in
a new session (``start_new_session=True``) and end the whole process group, then sweep the shared memory it left.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Collection, Mapping
from functools import lru_cache
from pathlib import Path

from chassis.errors import FailedPrecondition
from inference import launcher

SUPPORTED_PYTHONS = ("3.11", "3.12")
SHARED_MEMORY = Path("/dev/shm")  # noqa: S108 - where Linux keeps POSIX shared memory
EXIT_TIMEOUT_S = 15
_ASK_INTERPRETER = (
    "import json,sys,sysconfig;v=sysconfig.get_config_var;"
    "print(json.dumps([v('LIBDIR') or '',sys.base_prefix,sysconfig.get_paths()['purelib'],'%d.%d'%sys.version_info[:2]]))"
)
_OWN_BACKENDS = Path(__file__).parent / "backends"


def requirements_file() -> Path:
    """The file with the Triton venv's pins; install it with ``--no-deps``."""
    packaged = Path(__file__).parent / "requirements-triton.txt"
    return packaged if packaged.is_file() else Path(__file__).parents[2] / "requirements-triton.txt"


def python_requirements() -> list[str]:
    """The Triton venv's pins (``name==version``), to be installed with ``--no-deps``."""
    lines = (line.strip() for line in requirements_file().read_text().splitlines())
    return [line for line in lines if line and not line.startswith("#")]


def tritonserver_command(
    venv: Path,
    repositories: list[Path],
    grpc_port: int,
    metrics_port: int,
    host: str,
    *,
    backends: Path,
    shared_memory_prefix: str,
    serving: Path,
    load_s: float,
    allow_code: Collection[str] = (),
) -> list[str]:
    """The argument vector that serves ``repositories`` on ``host``.

    ``backends`` is what :func:`prepare_backends` returned; ``shared_memory_prefix`` is :func:`shared_memory_prefix` of the
    state directory. A model that fails to load leaves the others serving: ask each model's own readiness. Models can't be
    loaded over the network: Triton's load call takes files, Python code included. Triton's HTTP server stays off: any web page
    open on this machine could post to it, past the gateway, its keys and its records. The command's own process is
    ``inference.launcher``: it ends the server when a stub dies, and sweeps up after it. Before that it has this Python copy the
    repositories into the private folder ``serving`` and examine them; ``allow_code`` names the models that may run code. A model
    that neither loads nor fails within ``load_s`` seconds is left out (:func:`left_out`).
    """
    command = [
        *(str(venv / "bin" / "python"), "-I", str(Path(__file__).with_name("launcher.py")), shared_memory_prefix),
        *(str(serving), sys.executable, ",".join(sorted(allow_code)), f"{load_s:g}"),
        str(site_packages(venv) / "pytriton" / "tritonserver" / "bin" / "tritonserver"),
        *(f"--model-repository={path}" for path in repositories),
        f"--backend-directory={backends}",
        f"--backend-config=python,shm-region-prefix-name={shared_memory_prefix}",
        "--model-control-mode=none",
        "--exit-on-error=false",
        "--strict-readiness=false",
        "--disable-auto-complete-config",  # packages are complete; completing would start one more stub a model
        f"--exit-timeout-secs={EXIT_TIMEOUT_S}",
        "--log-format=ISO8601",
        "--allow-gpu-metrics=false",
        "--allow-http=false",
    ]
    for name, port in (("grpc", grpc_port), ("metrics", metrics_port)):
        command += [f"--{name}-address={host}", f"--{name}-port={port}"]
    return command


def left_out(serving: Path) -> dict[str, str]:
    """Model → why, of those that the server of the private folder ``serving`` was started without as they did not load in time."""
    path = serving / launcher.LEFT_OUT
    told: dict[str, str] = json.loads(path.read_text()) if path.is_file() else {}
    return told


def tritonserver_environment(venv: Path, base_env: Mapping[str, str]) -> dict[str, str]:
    """The environment of tritonserver: ``base_env`` without Python's own variables, with the venv and its libraries first.

    The stub links libpython; the interpreter's own comes first, or a system library of another patch release is taken
    with this interpreter's standard library. Raises FailedPrecondition when there is no shared libpython.
    """
    environment = {key: value for key, value in base_env.items() if not key.startswith("PYTHON")}
    libraries = [str(libpython(venv).parent), str(site_packages(venv) / "nvidia_pytriton.libs")]
    environment["LD_LIBRARY_PATH"] = os.pathsep.join(libraries)
    environment["PATH"] = os.pathsep.join([str(venv / "bin"), base_env.get("PATH", os.defpath)])
    environment["VIRTUAL_ENV"] = str(venv)
    environment["PYTHONUNBUFFERED"] = "1"
    return environment


def prepare_backends(venv: Path, state_dir: Path) -> Path:
    """Lays out Triton's backend directory under ``state_dir`` and returns it: the wheel's ``python`` with the stub of the
    venv's Python, and ours that are written in Python. Each content has its own directory, so a running server's
    files never change.
    """
    wheel = site_packages(venv) / "pytriton" / "tritonserver"
    version = _interpreter(venv)[3]
    sources = {
        path.relative_to(wheel / "backends"): path
        for path in (wheel / "backends" / "python").iterdir()
        if path.is_file()
    }
    stub = Path("python") / "triton_python_backend_stub"
    sources[stub] = wheel / "python_backend_stubs" / version / stub.name
    own = sorted(path for path in _OWN_BACKENDS.rglob("*") if path.is_file() and "__pycache__" not in path.parts)
    sources.update({path.relative_to(_OWN_BACKENDS): path for path in own if path.parent != _OWN_BACKENDS})
    if not sources[stub].is_file():
        raise FailedPrecondition(
            f"Triton's wheel has no Python backend stub for Python {version}; it serves {' and '.join(SUPPORTED_PYTHONS)}.",
            reason="TRITON_PYTHON_UNSUPPORTED",
        )
    destination = state_dir / "triton" / f"backends-{_digest(sources)}"
    if not destination.is_dir():
        _copy_whole(sources, destination, executable=stub)
    return destination


def shared_memory_prefix(state_dir: Path) -> str:
    """The prefix of the shared-memory regions of the Triton of this state directory."""
    return f"mizzen-{hashlib.sha256(str(state_dir.resolve()).encode()).hexdigest()[:12]}-"


def sweep_shared_memory(state_dir: Path) -> int:
    """Removes the shared-memory regions that a killed Triton of this state directory left; returns how many.

    Call it only when no process of that Triton lives.
    """
    if not SHARED_MEMORY.is_dir():
        return 0
    left = [path for path in SHARED_MEMORY.iterdir() if path.name.startswith(shared_memory_prefix(state_dir))]
    for path in left:
        path.unlink(missing_ok=True)
    return len(left)


def site_packages(venv: Path) -> Path:
    """The venv's site-packages directory."""
    return Path(_interpreter(venv)[2])


def libpython(venv: Path) -> Path:
    """The shared libpython of the venv's interpreter. Raises FailedPrecondition when it was built without one."""
    directory, prefix, _, version = _interpreter(venv)
    # LIBDIR is where the interpreter was built for; one that was moved, as downloadable ones are, has it under its prefix.
    candidates = [Path(prefix) / "lib" / f"libpython{version}.so.1.0", Path(directory) / f"libpython{version}.so.1.0"]
    found = [path for path in candidates if os.access(path, os.R_OK)]
    if not found:
        raise FailedPrecondition(
            f"Triton's Python stub needs libpython{version}.so.1.0, and {prefix} has none: use an interpreter with a "
            f"shared library (Debian and Ubuntu: apt install libpython{version}; pyenv: --enable-shared).",
            reason="LIBPYTHON_MISSING",
        )
    return found[0]


def _interpreter(venv: Path) -> tuple[str, str, str, str]:
    """(LIBDIR, base prefix, purelib, "3.11") of the venv's Python."""
    python = venv / "bin" / "python"
    if not python.exists():
        raise FailedPrecondition(f"There is no Triton venv at {venv}.", reason="TRITON_VENV_MISSING")
    return _ask_interpreter(python)


@lru_cache(maxsize=8)
def _ask_interpreter(python: Path) -> tuple[str, str, str, str]:
    answer = subprocess.run(  # noqa: S603 - the venv's own interpreter
        [str(python), "-I", "-c", _ASK_INTERPRETER], capture_output=True, text=True, check=True, timeout=30
    )
    directory, prefix, purelib, version = json.loads(answer.stdout)
    return directory, prefix, purelib, version


def _digest(sources: Mapping[Path, Path]) -> str:
    digest = hashlib.sha256()
    for relative, path in sorted(sources.items()):
        digest.update(f"{relative}\0".encode() + hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()[:12]


def _copy_whole(sources: Mapping[Path, Path], destination: Path, executable: Path) -> None:
    """Copies into a neighbour of ``destination`` and renames it there: nobody sees half of it."""
    destination.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{destination.name}-", dir=destination.parent) as scratch:
        built = Path(scratch) / destination.name
        for relative, path in sources.items():
            (built / relative).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, built / relative)
        (built / executable).chmod(0o755)
        try:
            built.rename(destination)
        except OSError:
            if not destination.is_dir():
                raise
