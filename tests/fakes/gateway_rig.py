"""The real gateway in this process, between fakes of what it calls, on free ports."""

import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tritonclient.grpc import service_pb2_grpc

from catalog import read_directory
from chassis.lifecycle import Lifecycle, make_runtime
from chassis.rpc.identity import write_keys
from gateway.main import build
from gateway.settings import Settings
from mizzen.features.v1 import features_pb2_grpc
from mizzen.monitoring.v1 import monitoring_pb2_grpc
from mizzen.retrieval.v1 import retrieval_pb2_grpc
from tests.fakes.gateway_upstreams import FakeFeatures, FakeMonitoring, FakeRetrieval, FakeTriton, served

DEFINITIONS = """\
apiVersion: mizzen.dev/v1alpha1
kind: FeatureView
metadata: {name: plane}
spec:
  entities: [{name: tailnum, dtype: STRING}]
  source: {tables: {planes: planes.parquet}, sql: "select * from planes"}
  ttl: 6h
  features:
    - {name: seats, dtype: FLOAT64, default: 100}
    - {name: model, dtype: STRING, default: unknown}
---
apiVersion: mizzen.dev/v1alpha1
kind: Endpoint
metadata: {name: late}
spec:
  description: Whether a flight is late.
  clock: request
  onStale: ON_STALE
  onStoreDown: ON_STORE_DOWN
  entities: [{name: tailnum, dtype: STRING}]
  inputs: [{name: distance, dtype: FLOAT64, unit: miles}]
  model:
    tensors:
      - {name: numeric, datatype: FP32, features: ["plane:seats", "input:distance"]}
      - {name: categorical, datatype: BYTES, features: ["plane:model"]}
    outputs: [{name: probability, dtype: FLOAT32, tensor: probability}]
  traffic: TRAFFIC
  limits: {maxRows: 100, deadlineMs: 2000, maxInFlight: 32}
  example: {entities: {tailnum: [N14228]}, inputs: {distance: [1400.0]}}
---
apiVersion: mizzen.dev/v1alpha1
kind: Endpoint
metadata: {name: server-clock}
spec:
  entities: [{name: tailnum, dtype: STRING}]
  model:
    tensors: [{name: numeric, datatype: FP32, features: ["plane:seats"]}]
    outputs: [{name: probability, dtype: FLOAT32, tensor: probability}]
  traffic: {routes: [{inferenceService: late, model: late}]}
---
apiVersion: serving.kserve.io/v1beta1
kind: InferenceService
metadata: {name: echo}
spec: {predictor: {model: {modelFormat: {name: triton}, storageUri: "pvc://models/echo/1"}}}
"""
ONE_ROUTE = "{routes: [{inferenceService: late, model: late}]}"


@dataclass
class Rig:
    """A running gateway and its fakes."""

    url: str
    target: str
    ops: str
    features: FakeFeatures
    triton: FakeTriton
    retrieval: FakeRetrieval
    monitoring: FakeMonitoring
    state: Path
    servers: dict[str, Any]
    runtime: Any
    lifecycle: Any


def write_definitions(
    state: Path, *, on_stale: str = "mark", on_store_down: str = "fail", traffic: str = ONE_ROUTE
) -> str:
    """Writes the definitions; answers the schema hash of endpoint `late`."""
    directory = state / "definitions"
    directory.mkdir(parents=True, exist_ok=True)
    text = DEFINITIONS.replace("ON_STALE", on_stale).replace("ON_STORE_DOWN", on_store_down)
    (directory / "all.yaml").write_text(text.replace("TRAFFIC", traffic))
    catalog = read_directory(directory)
    assert not catalog.errors, catalog.errors
    return catalog.schema_hash("late")


@contextlib.asynccontextmanager
async def gateway_rig(
    state: Path, *, stream_url: str = "redis://127.0.0.1:1/0", kind: str = "native", settings: dict[str, Any] | None = None,
    **definitions: str,
) -> AsyncIterator[Rig]:  # fmt: skip
    """Without `stream_url` the record stream and the idempotency store are down, which must not matter."""
    schema_hash = write_definitions(state, **definitions)
    write_keys(state / "keys")
    features, triton, retrieval, monitoring = FakeFeatures(), FakeTriton(schema_hash), FakeRetrieval(), FakeMonitoring()
    servers = {
        "features": await served(
            features_pb2_grpc.add_FeaturesServiceServicer_to_server, features, "mizzen.features.v1.FeaturesService"
        ),
        "triton": await served(
            service_pb2_grpc.add_GRPCInferenceServiceServicer_to_server, triton, "inference.GRPCInferenceService"
        ),
        "retrieval": await served(
            retrieval_pb2_grpc.add_RetrievalServiceServicer_to_server, retrieval, "mizzen.retrieval.v1.RetrievalService"
        ),
        "monitoring": await served(
            monitoring_pb2_grpc.add_MonitoringServiceServicer_to_server,
            monitoring,
            "mizzen.monitoring.v1.MonitoringService",
        ),
    }
    values: dict[str, Any] = {
        "state": state, "port": 0, "rest_port": 0, "ops_port": 0, "public_server": kind, "drain_s": 0.0, "grace_s": 2.0,
        "stream_url": stream_url,
        "features_addresses": f"static:127.0.0.1:{servers['features'].port}",
        "inference_addresses": f"static:127.0.0.1:{servers['triton'].port}",
        "retrieval_addresses": f"static:127.0.0.1:{servers['retrieval'].port}",
        "monitoring_addresses": f"static:127.0.0.1:{servers['monitoring'].port}",
        **(settings or {}),
    }  # fmt: skip
    runtime = make_runtime(Settings(**values))
    lifecycle = Lifecycle(runtime, build)
    try:
        await lifecycle.start()
        yield Rig(
            f"http://127.0.0.1:{lifecycle.public_port}", f"127.0.0.1:{lifecycle.port}",
            f"http://127.0.0.1:{lifecycle.ops.port}", features, triton, retrieval, monitoring, state, servers, runtime, lifecycle,
        )  # fmt: skip
    finally:
        await lifecycle.stop()
        for server in servers.values():
            await server.stop(0)
