"""The platform that the probes measure: `mizzen up -f examples/flights` on ports and a state directory of its own."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench.processes import free_port
from cli.settings import Settings

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True, slots=True)
class Platform:
    """A running installation; `env` starts any command against it, `ports` are named as in cli.settings without `_port`."""

    state: Path
    env: Mapping[str, str]
    ports: Mapping[str, int]

    @property
    def rest(self) -> str:
        """Base URL of the public REST port."""
        return f"http://127.0.0.1:{self.ports['gateway_rest']}"

    @property
    def grpc(self) -> str:
        """host:port of the public gRPC port."""
        return f"127.0.0.1:{self.ports['gateway']}"

    @property
    def ops(self) -> str:
        """Base URL of the gateway's healthz, readyz and metrics."""
        return f"http://127.0.0.1:{self.ports['gateway_ops']}"

    def pid(self, name: str) -> int:
        """Process id of a child of `mizzen up`, such as "gateway"; 0 while that one is not running."""
        status = json.loads((self.state / "run/status.json").read_text())
        return int(status["children"][name]["pid"])

    def mizzen(self, *arguments: str) -> "subprocess.CompletedProcess[str]":
        """Runs the `mizzen` command against this installation."""
        command = [sys.executable, "-m", "cli", *arguments]
        return subprocess.run(command, env=self.env, cwd=ROOT, capture_output=True, text=True, timeout=600, check=False)


@contextmanager
def running(settings: Mapping[str, str] | None = None) -> Iterator[Platform]:
    """Starts the platform and, at the end, drains it and removes its files. SystemExit when it does not start.

    settings: variables of its services that are not as usual.
    """
    state = Path(tempfile.mkdtemp(prefix="mizzen-edge-"))
    state.chmod(0o755)
    names = [name.removesuffix("_port") for name in Settings.model_fields if name.endswith("_port")]
    ports = {name: free_port() for name in names}
    env = {name: value for name, value in os.environ.items() if not name.startswith("MIZZEN_")}
    env |= {f"MIZZEN_{name.upper()}_PORT": str(port) for name, port in ports.items()}
    venv = os.environ.get("MIZZEN_TRITON_VENV", str(ROOT / ".venv-triton"))
    env |= {"MIZZEN_STATE": str(state), "MIZZEN_TRITON_VENV": venv, **(settings or {})}
    platform = Platform(state, env, ports)
    try:
        done = platform.mizzen("up", "-f", "examples/flights", "--detach")
        if done.returncode:
            raise SystemExit(f"mizzen up: {done.stdout[-3000:]}\n{done.stderr[-3000:]}")
        yield platform
    finally:
        platform.mizzen("down")
        shutil.rmtree(state, ignore_errors=True)
