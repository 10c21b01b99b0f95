"""The gateway's own CPU per request at 16 in flight: hot paths (predict, infer, features:read) and others (search, labels, models)
over REST, between fakes of what it calls, and a predict that is refused because features answers none of those under way.

`python -m bench.gateway_own_cost [seconds]` prints one line a case: server CPU µs per request (utime + stime of the gateway's
process ÷ answers). The gateway is pinned to the first core; the load and the fakes to the second.
"""

import asyncio
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import uvloop
from tritonclient.grpc import service_pb2_grpc

from catalog import read_directory
from chassis.rpc.identity import write_keys
from mizzen.features.v1 import features_pb2, features_pb2_grpc
from mizzen.monitoring.v1 import monitoring_pb2_grpc
from mizzen.retrieval.v1 import retrieval_pb2_grpc
from tests.engines import free_ports
from tests.fakes.gateway_rig import write_definitions
from tests.fakes.gateway_upstreams import FakeFeatures, FakeMonitoring, FakeRetrieval, FakeTriton, oip, served

CONNECTIONS = 16
WARM_S = 0.5
LONGEST_MS = 3_600_000  # the gateway allows no more; what waits for features waits as long as a case is measured
ADMITTED = 64  # predictions of an endpoint at once, until admission has learnt
PREDICT = "predict 1 row, 67 columns (flights)"
TICKS = os.sysconf("SC_CLK_TCK")
ROOT = Path(__file__).parents[1]


class FastFeatures(FakeFeatures):
    """The same answer to every item: what it costs is not the gateway's."""

    def __init__(self) -> None:
        super().__init__()
        self.answers: dict[tuple[str, ...], Any] = {}
        self.answering = asyncio.Event()
        self.answering.set()

    async def Read(self, request: Any, context: Any) -> Any:  # noqa: N802
        await self.answering.wait()
        results = []
        for item in request.items:
            key = tuple(item.joined_refs.split(",")) if item.joined_refs else tuple(item.refs)
            if key not in self.answers:
                self.answers[key] = self._result(item)
            results.append(self.answers[key])
        return features_pb2.ReadResponse(results=results)


class FastTriton(FakeTriton):
    """Answers one number a row, for any model."""

    async def _known(self, name: str, context: Any) -> None:
        pass

    def config(self, name: str) -> Any:
        config = super().config(name)
        config.max_batch_size = 64
        return config

    async def ModelInfer(self, request: Any, context: Any) -> Any:  # noqa: N802
        rows = request.inputs[0].shape[0]
        name = "y" if request.model_name == "echo" else "probability"
        response = oip.ModelInferResponse(model_name=request.model_name, model_version="1")
        response.outputs.add(name=name, datatype="FP32", shape=[rows, 1])
        response.raw_output_contents.append(np.zeros(rows, "<f4").tobytes())
        return response


async def load(port: int, request: bytes, seconds: float, status: int = 200, connections: int = CONNECTIONS) -> int:
    """Answers counted over that time; raises when one has another status."""
    end = time.monotonic() + seconds
    counts = await asyncio.gather(*(_connection(port, request, end, b"%d" % status) for _ in range(connections)))
    return sum(counts)


async def _connection(port: int, request: bytes, end: float, status: bytes) -> int:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    count = 0
    while time.monotonic() < end:
        writer.write(request)
        head = await reader.readuntil(b"\r\n\r\n")
        length = int(head.lower().split(b"content-length:")[1].split(b"\r\n")[0])
        body = await reader.readexactly(length)
        if head[9:12] != status:
            raise RuntimeError(body.decode())
        count += 1
    writer.close()
    return count


def post(path: str, body: object) -> bytes:
    """A request as it goes over the wire."""
    data = json.dumps(body).encode()
    head = (
        f"POST {path} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"
        f"x-request-timeout-ms: {LONGEST_MS}\r\ncontent-length: {len(data)}\r\n\r\n"
    )
    return head.encode() + data


def cpu_s(pid: int) -> float:
    """utime + stime of a process, seconds."""
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def flights(state: Path) -> str:
    """The worked example's definitions beside the small ones; answers its schema hash."""
    small = state / "definitions" / "all.yaml"
    small.write_text(small.read_text().replace("name: plane", "name: ship").replace("plane:", "ship:"))
    for path in (ROOT / "examples/flights").glob("*.yaml"):
        (state / "definitions" / path.name).write_text(path.read_text())
    return read_directory(state / "definitions").schema_hash("flight-delay")


async def measure(name: str, pid: int, port: int, request: bytes, seconds: float, status: int = 200) -> None:
    """Prints a case's line."""
    await load(port, request, WARM_S, status)
    before, started = cpu_s(pid), time.monotonic()
    count = await load(port, request, seconds, status)
    spent, wall = cpu_s(pid) - before, time.monotonic() - started
    print(f"{name:40} {spent / count * 1e6:7.0f} µs CPU  {count / wall:7.0f} /s  ({count} answers)", flush=True)


async def main(seconds: float) -> None:
    """Runs each case."""
    state = Path(tempfile.mkdtemp())
    write_definitions(state)
    flights(state)
    triton = FastTriton("")
    write_keys(state / "keys")
    features = FastFeatures()
    upstreams = {
        "FEATURES": (features_pb2_grpc.add_FeaturesServiceServicer_to_server, features, "mizzen.features.v1.FeaturesService"),
        "INFERENCE": (service_pb2_grpc.add_GRPCInferenceServiceServicer_to_server, triton, "inference.GRPCInferenceService"),
        "RETRIEVAL": (
            retrieval_pb2_grpc.add_RetrievalServiceServicer_to_server, FakeRetrieval(), "mizzen.retrieval.v1.RetrievalService",
        ),
        "MONITORING": (
            monitoring_pb2_grpc.add_MonitoringServiceServicer_to_server, FakeMonitoring(),
            "mizzen.monitoring.v1.MonitoringService",
        ),
    }  # fmt: skip
    servers = {name: await served(*upstream, kind="native") for name, upstream in upstreams.items()}
    rest, grpc, ops = free_ports(3)
    stream = os.environ.get("MIZZEN_STREAM_URL", "redis://127.0.0.1:1/0")
    env = {
        **os.environ, "MIZZEN_STATE": str(state), "MIZZEN_GATEWAY_REST_PORT": str(rest), "MIZZEN_GATEWAY_PORT": str(grpc),
        "MIZZEN_GATEWAY_OPS_PORT": str(ops), "MIZZEN_STREAM_URL": stream,
        **{f"MIZZEN_{name}_ADDRESSES": f"static:127.0.0.1:{server.port}" for name, server in servers.items()},
    }  # fmt: skip
    command = [sys.executable, "-m", "gateway"]
    profile = os.environ.get("PROFILE")
    if profile:
        command = [sys.executable, "-m", "cProfile", "-o", profile, "-m", "gateway"]
    gateway = subprocess.Popen(["taskset", "-c", "0", *command], env=env, stdout=subprocess.DEVNULL)  # noqa: ASYNC220
    os.sched_setaffinity(0, {1})
    cases = {
        "nothing (GET /v2/health/live)": b"GET /v2/health/live HTTP/1.1\r\nhost: localhost\r\n\r\n",
        "predict 1 row, 3 columns": post(
            "/v1/endpoints/late:predict", {"entities": {"tailnum": ["N14228"]}, "inputs": {"distance": [10.0]}}
        ),
        PREDICT: post(
            "/v1/endpoints/flight-delay:predict",
            {
                "entities": {"tailnum": ["N14228"], "origin": ["EWR"], "dest": ["IAH"], "carrier": ["UA"]},
                "inputs": {"sched_dep": ["2013-11-03T14:00:00Z"], "distance": [1400.0]},
            },
        ),
        "infer JSON, FP32 [1, 50]": post(
            "/v2/models/echo/infer",
            {"inputs": [{"name": "x", "shape": [1, 50], "datatype": "FP32", "data": [0.5] * 50}]},
        ),
        "features:read 1 row, 1 feature": post(
            "/v1/features:read", {"features": ["ship:seats"], "entities": {"tailnum": ["N14228"]}}
        ),
    }
    label = {"request_id": "r", "output": "probability", "value": 1, "event_time": "2026-01-01T00:00:00Z"}
    cases |= {
        "search, 1 passage": post("/v1/collections/handbook:search", {"query": "where are rows stored?", "top_k": 5}),
        "labels, 1 label": post("/v1/labels", {"labels": [label]}),
        "models (GET /v1/models)": b"GET /v1/models HTTP/1.1\r\nhost: localhost\r\n\r\n",
    }
    try:
        await ready(rest)
        only = os.environ.get("CASE", "")
        for name, request in cases.items():
            if only not in name:
                continue
            await measure(name, gateway.pid, rest, request, seconds)
        if only:
            return
        request = cases[PREDICT]
        features.answering.clear()
        waiting = asyncio.create_task(load(rest, request, 0.9, connections=ADMITTED))
        await asyncio.sleep(1)
        await measure("predict, refused", gateway.pid, rest, request, seconds, 429)
        features.answering.set()
        await waiting
    finally:
        gateway.terminate()
        gateway.wait()
        for server in servers.values():
            await server.stop(0)


async def ready(port: int) -> None:
    """Waits until the gateway accepts."""
    for _ in range(200):
        try:
            await load(port, b"GET /v2/health/live HTTP/1.1\r\nhost: localhost\r\n\r\n", 0.0)
            return
        except OSError:
            await asyncio.sleep(0.1)


if __name__ == "__main__":
    uvloop.run(main(float(sys.argv[1]) if len(sys.argv) > 1 else 5.0))
