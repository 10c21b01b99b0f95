"""Mizzen on the same Valkey and the same Parquet file: features and gateway as they are installed, with their defaults."""

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

import psutil
import yaml

from bench.processes import SERVER_CORE, Processes, free_port, listens, wait_until
from bench.store import Store
from chassis.rpc.identity import write_keys
from mizzen.chassis.v1 import values_pb2
from mizzen.gateway.v1 import gateway_pb2

FEATURES = [f"bench:f{number}" for number in range(50)]
VIEW = {
    "apiVersion": "mizzen.dev/v1alpha1",
    "kind": "FeatureView",
    "metadata": {"name": "bench"},
    "spec": {
        "entities": [{"name": "driver_id", "dtype": "INT64"}],
        "source": {"tables": {"bench": "bench.parquet"}, "sql": "select * from bench"},
        "features": [{"name": f"f{number}", "dtype": "FLOAT32"} for number in range(50)],
        "ttl": "3650d",
    },
}


class Mizzen:
    """An installation in `directory`; `extra` adds environment to every process."""

    def __init__(self, directory: Path, parquet: Path, store: Store, extra: Mapping[str, str] | None = None) -> None:
        self.directory, self.log = directory, directory / "mizzen.log"
        self.definitions = directory / "definitions"
        self.definitions.mkdir(parents=True)
        (self.definitions / "bench.yaml").write_text(yaml.safe_dump(VIEW))
        offline = directory / "volumes" / "offline"
        offline.mkdir(parents=True)
        shutil.copy(parquet, offline / "bench.parquet")
        write_keys(directory / "keys")
        self.ports = {
            name: free_port() for name in ("features", "gateway", "gateway_grpc", "features_ops", "gateway_ops")
        }
        self.env = {
            **os.environ,
            "MIZZEN_STATE": str(directory),
            "MIZZEN_ONLINE_URL": store.url,
            "MIZZEN_ONLINE_PASSWORD_FILE": str(store.password_file),
            "MIZZEN_STREAM_URL": store.url,
            "MIZZEN_STREAM_PASSWORD_FILE": str(store.password_file),
            "MIZZEN_FEATURES_OFFLINE_ROOT": str(offline),
            "MIZZEN_FEATURES_PORT": str(self.ports["features"]),
            "MIZZEN_FEATURES_OPS_PORT": str(self.ports["features_ops"]),
            "MIZZEN_FEATURES_ADDRESSES": f"static:127.0.0.1:{self.ports['features']}",
            "MIZZEN_GATEWAY_REST_PORT": str(self.ports["gateway"]),
            "MIZZEN_GATEWAY_PORT": str(self.ports["gateway_grpc"]),
            "MIZZEN_GATEWAY_OPS_PORT": str(self.ports["gateway_ops"]),
            "MIZZEN_LOG_LEVEL": "warning",
            # Feast waits for its store without end; neighbours on a busy machine must not turn into failed requests.
            "MIZZEN_FEATURES_STORE_TIMEOUT_MS": "5000",
            **(extra or {}),
        }

    def materialize(self, until: str) -> float:
        """Seconds that the whole command takes, the interpreter's start included."""
        began = time.perf_counter()
        done = subprocess.run(
            [sys.executable, "-m", "features.materialize", "--definitions", self.definitions, "--until", until],
            env=self.env,
            check=False,
            capture_output=True,
            text=True,
        )
        if done.returncode:
            raise SystemExit(f"materialize: {done.stderr[-3000:]}")
        return time.perf_counter() - began

    def serve(self, processes: Processes) -> list[psutil.Process]:
        """features and gateway on the servers' core; returns both when they answer."""
        started = [
            processes.start([sys.executable, "-m", name], core=SERVER_CORE, log=self.log, env=self.env)
            for name in ("features", "gateway")
        ]
        for name in ("gateway", "gateway_grpc", "features"):
            wait_until(listens(self.ports[name]), log=self.log)
        return started

    def serve_gateway(self, processes: Processes, module: str, **env: str) -> tuple[psutil.Process, int]:
        """Another gateway before the same features, with ports of its own; (process, gRPC port)."""
        ports = {name: str(free_port()) for name in ("PORT", "REST_PORT", "OPS_PORT")}
        told = self.env | {f"MIZZEN_GATEWAY_{name}": port for name, port in ports.items()} | env
        started = processes.start([sys.executable, "-m", module], core=SERVER_CORE, log=self.log, env=told)
        wait_until(listens(int(ports["PORT"])), log=self.log)
        return started, int(ports["PORT"])

    @staticmethod
    def http_body(rows: int) -> bytes:
        """POST /v1/features:read."""
        return json.dumps({"features": FEATURES, "entities": {"driver_id": list(range(rows))}}).encode()

    @staticmethod
    def grpc_body(rows: int) -> bytes:
        """mizzen.gateway.v1.FeatureService/ReadFeatures, values as little-endian bytes."""
        ids = values_pb2.Values(dtype=values_pb2.DTYPE_INT64, ints=values_pb2.Int64s(values=range(rows)))
        request = gateway_pb2.ReadFeaturesRequest(
            features=FEATURES, entities={"driver_id": ids}, encoding=gateway_pb2.ENCODING_RAW
        )
        return request.SerializeToString()
