"""tritonserver: one for all InferenceServices of a machine, in its own venv (room inference knows its ways)."""

import os
from collections.abc import Collection, Sequence
from pathlib import Path

from cli.machine.spec import BEHIND_THE_GATEWAY, ChildSpec, Ready
from inference import runtime

HOST = "127.0.0.1"


def serving(state: Path) -> Path:
    """The private folder of the copies that it serves."""
    return state / "triton" / "serving"


def spec(
    venv: Path,
    repositories: Sequence[Path],
    state: Path,
    *,
    grpc_port: int,
    metrics_port: int,
    name: str = "triton",
    fingerprint: str = "",
    load_s: float = 60.0,
    allow_code: Collection[str] = (),
) -> ChildSpec:
    """A supervised tritonserver over `repositories`; raises chassis' FailedPrecondition where the venv cannot run it.

    `load_s`: seconds until it goes on without models that have not loaded.
    """
    return ChildSpec(
        name=name,
        niceness=BEHIND_THE_GATEWAY,
        command=tuple(
            runtime.tritonserver_command(
                venv,
                list(repositories),
                grpc_port,
                metrics_port,
                HOST,
                backends=runtime.prepare_backends(venv, state),
                shared_memory_prefix=runtime.shared_memory_prefix(state),
                serving=serving(state),
                load_s=load_s,
                allow_code=allow_code,
            )
        ),
        env=runtime.tritonserver_environment(venv, {"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C.UTF-8"}),
        cwd=str(state),
        ready=Ready("grpc", grpc_port),
        stop_timeout_s=runtime.EXIT_TIMEOUT_S + 5.0,
        shm_prefix=runtime.shared_memory_prefix(state),
        ports=(grpc_port, metrics_port),
        fingerprint=fingerprint,
    )
