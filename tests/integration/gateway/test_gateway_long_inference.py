"""A unary inference much longer than Triton's patience with pings, through the gateway, on the real tritonserver.

Times are a hundredth of the real ones, Triton's own policy included. MIZZEN_TEST_KEEPALIVE_SCALE=1 takes the real ones: 60 s under
a deadline of 100 s, twice.
"""

import os
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import httpx2
import numpy as np
import pytest
from tritonclient.grpc import InferInput
from tritonclient.grpc import aio as triton_client

from chassis.wire import keepalive
from cli.machine.engines import triton as triton_engine
from tests.engines import RunningTriton, free_ports, running, triton_venv
from tests.fakes.gateway_rig import Rig, gateway_rig

pytestmark = pytest.mark.engines
SCALE = int(os.environ.get("MIZZEN_TEST_KEEPALIVE_SCALE", "100"))
LONG_S, DEADLINE_S = 60 / SCALE, 100 / SCALE
CONFIG = """\
name: "echo"
backend: "python"
input [ { name: "seconds" data_type: TYPE_FP32 dims: [ 1 ] } ]
output [ { name: "slept" data_type: TYPE_FP32 dims: [ 1 ] } ]
"""
SLEEPER = """\
import time
import triton_python_backend_utils as pb_utils


class TritonPythonModel:
    def execute(self, requests):
        answers = []
        for request in requests:
            seconds = pb_utils.get_input_tensor_by_name(request, "seconds").as_numpy()
            time.sleep(float(seconds[0]))
            answers.append(pb_utils.InferenceResponse([pb_utils.Tensor("slept", seconds)]))
        return answers
"""


@pytest.fixture
async def rig(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Rig]:
    """The gateway before a Triton whose policy for pings is its default, as fast as the gateway's."""
    for name in ("_SILENT_S", "ANSWER_S", "_NEXT_PING_S"):
        monkeypatch.setattr(keepalive, name, getattr(keepalive, name) / SCALE)
    version = tmp_path / "models/echo/1"
    version.mkdir(parents=True)
    (version.parent / "config.pbtxt").write_text(CONFIG)
    (version / "model.py").write_text(SLEEPER)
    (tmp_path / "triton").mkdir()
    grpc_port, metrics_port = free_ports(2)
    spec = triton_engine.spec(
        *(triton_venv(), [tmp_path / "models"], tmp_path / "triton"),
        grpc_port=grpc_port,
        metrics_port=metrics_port,
        allow_code=("echo",),
    )
    policy = f"--grpc-http2-min-recv-ping-interval-without-data={300_000 // SCALE}", "--grpc-http2-max-ping-strikes=2"
    engine = RunningTriton(replace(spec, command=(*spec.command, *policy)), tmp_path / "triton.log")
    with running(engine):
        settings = {"inference_addresses": f"static:{engine.grpc_address}"}
        async with gateway_rig(tmp_path / "gateway", settings=settings) as rig:
            yield rig


async def test_a_long_inference_is_answered_over_rest_and_grpc(rig: Rig) -> None:
    tensor = {"name": "seconds", "datatype": "FP32", "shape": [1], "data": [LONG_S]}
    headers = {"x-request-timeout-ms": str(round(DEADLINE_S * 1e3))}
    async with httpx2.AsyncClient(base_url=rig.url, timeout=DEADLINE_S + 20) as http:
        started = time.monotonic()
        answer = await http.post("/v2/models/echo/infer", json={"inputs": [tensor]}, headers=headers)
        print(f"REST: {answer.status_code} after {time.monotonic() - started:.2f} s")  # noqa: T201 - for a run by hand
    assert answer.status_code == 200, answer.text
    assert answer.json()["outputs"][0]["data"] == pytest.approx([LONG_S])
    given = InferInput("seconds", [1], "FP32")
    given.set_data_from_numpy(np.array([LONG_S], np.float32))
    client = triton_client.InferenceServerClient(rig.target)
    started = time.monotonic()
    found = (await client.infer("echo", [given], client_timeout=DEADLINE_S)).as_numpy("slept")
    print(f"gRPC: answered after {time.monotonic() - started:.2f} s")  # noqa: T201
    await client.close()
    assert found == pytest.approx(LONG_S)
