"""What the CPU runtime's image runs: tritonserver with the image's own paths, under ``inference.launcher``.

``python -m inference.container [FLAG…]``: a flag of Triton that is given stands, what is not given has its default here. KServe
appends an InferenceService's ``args`` to the ServingRuntime's. The root may be read-only: only /tmp, /dev/shm and the folder of
``MIZZEN_INFERENCE_SERVING`` are written. ``MIZZEN_INFERENCE_ALLOW_CODE`` names the models that may run code, separated by commas.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from inference import launcher, runtime

HOME = Path(sys.prefix)
DEFAULTS = {
    "--model-repository": "/mnt/models",
    "--grpc-address": "0.0.0.0",  # noqa: S104 - a pod is reached by its address
    "--grpc-port": "9000",
    "--http-address": "0.0.0.0",  # noqa: S104
    "--http-port": "8090",
    "--metrics-address": "0.0.0.0",  # noqa: S104
    "--metrics-port": "8002",
    "--model-control-mode": "none",
    "--exit-timeout-secs": str(runtime.EXIT_TIMEOUT_S),
    "--log-format": "ISO8601",
    "--allow-gpu-metrics": "false",
}
SHARED_MEMORY_PREFIX = "mizzen-"
_SAME = {"--model-store": "--model-repository"}


def command(arguments: Sequence[str], home: Path = HOME) -> list[str]:
    """The argument vector of tritonserver in the venv ``home``; a leading ``tritonserver`` in ``arguments`` is passed over."""
    given = list(arguments[1:] if arguments[:1] == ["tritonserver"] else arguments)
    named = {_SAME.get(name, name) for name in (argument.partition("=")[0] for argument in given)}
    server = runtime.site_packages(home) / "pytriton" / "tritonserver" / "bin" / "tritonserver"
    backends = next((home / "triton").glob("backends-*"))
    fixed = [
        f"--backend-directory={backends}",
        f"--backend-config=python,shm-region-prefix-name={SHARED_MEMORY_PREFIX}",
    ]
    return [str(server), *given, *(f"{name}={value}" for name, value in DEFAULTS.items() if name not in named), *fixed]


def environment(base: Mapping[str, str], home: Path = HOME) -> dict[str, str]:
    """What tritonserver and its stubs run in."""
    # One arena a thread would let a small model's memory grow for hours.
    return {"MALLOC_ARENA_MAX": "2", **runtime.tritonserver_environment(home, base)}


def serving(environment: Mapping[str, str]) -> Path:
    """The private folder that examined copies of the repositories are served from: a volume where one is mounted."""
    return Path(environment.get("MIZZEN_INFERENCE_SERVING", "/tmp/mizzen-serving"))  # noqa: S108 - a pod's own


def empty_repositories(line: Sequence[str]) -> list[str]:
    """The model repositories on this machine that ``line`` names and that hold nothing."""
    return [
        path for path in launcher.repositories(list(line))[1] if "://" not in path and not any(Path(path).glob("*"))
    ]


def main() -> int:
    """tritonserver's exit status, see ``inference.launcher``; 1 where a model repository is still empty."""
    line = command(sys.argv[1:])
    # A predictor that mounts a path of a volume before its model was published gets an empty folder, made by the kubelet. It
    # would be ready without a model for ever: publishing puts another folder in its place, which only another start mounts.
    if empty := empty_repositories(line):
        sys.stderr.write(f"no model was published to {', '.join(empty)} yet: starting again until one was\n")
        return 1
    os.environ.update(environment(os.environ))
    examiner = launcher.Staging((sys.executable, "-I", "-m", "inference.staging"), serving(os.environ))
    return launcher.run(SHARED_MEMORY_PREFIX, line, examiner)


if __name__ == "__main__":
    sys.exit(main())
