"""Feast 0.67 on the same Valkey and the same Parquet file: `feast serve`, `feast listen`, `feast materialize`."""

import json
import os
import shutil
import subprocess
import time
from pathlib import Path

import psutil

from bench.processes import SERVER_CORE, Processes, free_port, listens, wait_until
from bench.store import Store

HERE = Path(__file__).parent
VENV = HERE.parent / ".venv-feast"
FEATURES = [f"f{number}" for number in range(50)]
# Prints the serialized request of Feast's own gRPC API: its protos live in its environment only.
REQUEST = """
import sys
from feast.protos.feast.serving.ServingService_pb2 import GetOnlineFeaturesRequest
from feast.protos.feast.types.Value_pb2 import RepeatedValue, Value
request = GetOnlineFeaturesRequest()
request.features.val.extend(f"bench:f{n}" for n in range(50))
request.entities["driver_id"].CopyFrom(RepeatedValue(val=[Value(int64_val=n) for n in range(int(sys.argv[1]))]))
sys.stdout.buffer.write(request.SerializeToString())
"""


class Feast:
    """A Feast repository in `directory`."""

    def __init__(self, directory: Path, parquet: Path, store: Store) -> None:
        self.directory, self.log = directory, directory / "feast.log"
        directory.mkdir(parents=True)
        shutil.copy(HERE / "feast_definitions.py", directory / "definitions.py")
        configuration = directory / "feature_store.yaml"
        configuration.touch(mode=0o600)
        configuration.write_text(
            f"project: bench\nprovider: local\nregistry: {directory}/registry.db\nentity_key_serialization_version: 3\n"
            f"online_store:\n  type: redis\n  connection_string: 127.0.0.1:{store.port},password={store.password}\n"
        )
        self.env = {"BENCH_PARQUET": str(parquet), "FEAST_USAGE": "False", "PYTHONWARNINGS": "ignore"}

    def _feast(self, *arguments: str) -> None:
        done = subprocess.run(
            [VENV / "bin/feast", *arguments],
            cwd=self.directory,
            env={**os.environ, **self.env},
            check=False,
            capture_output=True,
            text=True,
        )
        if done.returncode:
            raise SystemExit(f"feast {arguments[0]}: {done.stderr[-3000:]}")

    def apply(self) -> None:
        """Registers the definitions."""
        self._feast("apply")

    def materialize(self, start: str, end: str) -> float:
        """Seconds that `feast materialize` takes."""
        began = time.perf_counter()
        self._feast("materialize", start, end)
        return time.perf_counter() - began

    def serve(self, processes: Processes) -> tuple[psutil.Process, int]:
        """`feast serve` with its defaults but no worker recycling."""
        port = free_port()
        command: list[str | Path] = [
            VENV / "bin/feast",
            "serve",
            "-p",
            str(port),
            "--no-access-log",
            "--max-requests",
            "0",
        ]
        process = processes.start(command, core=SERVER_CORE, log=self.log, env=self.env, cwd=self.directory)
        wait_until(listens(port), log=self.log)
        return process, port

    def listen(self, processes: Processes) -> tuple[psutil.Process, int]:
        """`feast listen`, the gRPC server."""
        port = free_port()
        command: list[str | Path] = [VENV / "bin/feast", "listen", "-a", f"127.0.0.1:{port}"]
        process = processes.start(command, core=SERVER_CORE, log=self.log, env=self.env, cwd=self.directory)
        wait_until(listens(port), log=self.log)
        return process, port

    @staticmethod
    def http_body(rows: int) -> bytes:
        """POST /get-online-features with a feature list."""
        features = [f"bench:{name}" for name in FEATURES]
        return json.dumps({"features": features, "entities": {"driver_id": list(range(rows))}}).encode()

    @staticmethod
    def grpc_body(rows: int) -> bytes:
        """GrpcFeatureServer/GetOnlineFeatures with a feature list."""
        return subprocess.run(
            [VENV / "bin/python", "-W", "ignore", "-c", REQUEST, str(rows)], check=True, capture_output=True
        ).stdout
