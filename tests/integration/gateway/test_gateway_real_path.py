"""The gateway on the real features service, the real Triton and the committed flights package."""

import json
import shutil
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import numpy as np
import pytest
from tritonclient.grpc import aio as triton_client

from chassis.lifecycle import Lifecycle, make_runtime
from chassis.rpc.identity import write_keys
from features.main import build as build_features
from features.settings import Settings as FeaturesSettings
from gateway.main import build
from gateway.settings import Settings
from tests.engines import ROOT, RunningTriton, triton_serving

pytestmark = pytest.mark.engines
FLIGHTS = ROOT / "examples/flights"
ROW: dict[str, Any] = {
    "entities": {"tailnum": ["N14228"], "origin": ["EWR"], "dest": ["IAH"], "carrier": ["UA"]},
    "inputs": {"sched_dep": ["2013-11-03T14:00:00Z"], "distance": [1400.0]},
    "options": {"as_of": "2013-11-03T12:00:00Z"},
}


@dataclass
class Running:
    url: str
    target: str
    ops: str


@pytest.fixture(scope="module")
def flights_triton(engine_directory: Path, minilm_package: Path) -> Any:
    with triton_serving([FLIGHTS / "model", minilm_package], engine_directory / "gateway-triton") as engine:
        yield engine


@pytest.fixture
async def path(tmp_path: Path, valkey: str, flights_triton: RunningTriton) -> AsyncIterator[Running]:
    write_keys(tmp_path / "keys")
    (tmp_path / "definitions").mkdir()
    for definition in FLIGHTS.glob("*.yaml"):
        shutil.copy(definition, tmp_path / "definitions")
    shared: dict[str, Any] = {"state": tmp_path, "port": 0, "ops_port": 0, "drain_s": 0.0, "grace_s": 2.0}
    features = Lifecycle(make_runtime(FeaturesSettings(**shared, online_url=valkey)), build_features)
    await features.start()
    settings = Settings(
        **shared,
        rest_port=0,
        stream_url=valkey,
        features_addresses=f"static:127.0.0.1:{features.port}",
        inference_addresses=f"static:{flights_triton.grpc_address}",
    )
    gateway = Lifecycle(make_runtime(settings), build)
    try:
        await gateway.start()
        yield Running(
            f"http://127.0.0.1:{gateway.public_port}", f"127.0.0.1:{gateway.port}",
            f"http://127.0.0.1:{gateway.ops.port}",
        )  # fmt: skip
    finally:
        await gateway.stop()
        await features.stop()


async def test_a_flight_is_predicted_and_explained(path: Running) -> None:
    async with httpx2.AsyncClient(base_url=path.url, timeout=20) as http:
        listed = (await http.get("/v1/endpoints/flight-delay")).json()
        assert listed["ready"] is True
        body = {**ROW, "options": {**ROW["options"], "features": True, "explain": True}}
        response = await http.post("/v1/endpoints/flight-delay:predict", json=body)
        assert response.status_code == 200, response.text
        answer = response.json()
        assert 0 < answer["outputs"]["probability"][0] < 1
        assert answer["features"]["plane:age"]["statuses"] == ["NOT_FOUND"]
        assert answer["features"]["flight:hour_local"]["values"] == [9.0]
        assert answer["model_versions"][0]
        assert "flight:hour_local" in answer["explanations"]
        assert (await http.post("/v1/endpoints/flight-delay:predict", json=listed["example"])).status_code == 200
        wrong = {**ROW, "inputs": {**ROW["inputs"], "distance": ["far"]}}
        refused = await http.post("/v1/endpoints/flight-delay:predict", json=wrong)
        assert (refused.status_code, refused.json()["field"]) == (400, "inputs.distance[0]")


async def test_rows_merge_and_stay_what_they_are(path: Running) -> None:
    """Many rows in one request and one row in many requests give the same answers."""
    import asyncio

    carriers = ["UA", "AA", "B6", "DL", "EV", "MQ", "US", "WN"] * 3
    many = {
        "entities": {
            "tailnum": ["N14228"] * 24, "origin": ["EWR"] * 24, "dest": ["IAH"] * 24, "carrier": carriers,
        },
        "inputs": {
            "sched_dep": ["2013-11-03T14:00:00Z"] * 24, "distance": [100.0 * number for number in range(24)],
        },
        "options": ROW["options"],
    }  # fmt: skip
    async with httpx2.AsyncClient(base_url=path.url, timeout=20) as http:
        whole = (await http.post("/v1/endpoints/flight-delay:predict", json=many)).json()["outputs"]["probability"]

        async def one(row: int) -> float:
            body = {
                "entities": {name: [values[row]] for name, values in many["entities"].items()},
                "inputs": {name: [values[row]] for name, values in many["inputs"].items()},
                "options": many["options"],
            }
            answer = await http.post("/v1/endpoints/flight-delay:predict", json=body)
            value: float = answer.json()["outputs"]["probability"][0]
            return value

        singles = await asyncio.gather(*(one(row) for row in range(24)))
    assert singles == pytest.approx(whole, abs=1e-5)
    assert len(set(whole)) > 8


async def test_bare_inference_of_both_models(path: Running) -> None:
    async with httpx2.AsyncClient(base_url=path.url, timeout=20) as http:
        metadata = (await http.get("/v2/models/flight-delay")).json()
        assert {tensor["name"] for tensor in metadata["inputs"]} == {"numeric", "categorical"}
        width = next(tensor["shape"][1] for tensor in metadata["inputs"] if tensor["name"] == "numeric")
        body = {
            "inputs": [
                {"name": "numeric", "shape": [1, width], "datatype": "FP32", "data": [0.5] * width},
                {"name": "categorical", "shape": [1, 3], "datatype": "BYTES", "data": ["UA", "EWR", "IAH"]},
            ]
        }
        answer = await http.post("/v2/models/flight-delay/infer", json=body)
        assert answer.status_code == 200, answer.text
        assert 0 < answer.json()["outputs"][0]["data"][0] < 1
        body["inputs"][0] = {"name": "numeric", "shape": [1, 2], "datatype": "FP32", "data": [1, 2]}
        refused = await http.post("/v2/models/flight-delay/infer", json=body)
        assert refused.status_code == 400
        assert "numeric" in json.loads(refused.content)["error"]
    client = triton_client.InferenceServerClient(path.target)
    try:
        text = triton_client_input("text", np.array([[b"a late flight"]], np.object_))
        vector = (await client.infer("minilm", [text])).as_numpy("embedding")
        assert vector.shape == (1, 384)
        assert float(np.linalg.norm(vector)) == pytest.approx(1, abs=1e-3)
    finally:
        await client.close()


def triton_client_input(name: str, array: Any) -> Any:
    """A BYTES input."""
    from tritonclient.grpc import InferInput

    given = InferInput(name, list(array.shape), "BYTES")
    given.set_data_from_numpy(array)
    return given


async def test_no_store_answers_defaults(path: Running, valkey_server: Any) -> None:
    async with httpx2.AsyncClient(base_url=path.url, timeout=20) as http:
        assert (await http.post("/v1/endpoints/flight-delay:predict", json=ROW)).json()["degraded"] is False
        valkey_server.kill()
        try:
            response = await http.post("/v1/endpoints/flight-delay:predict", json=ROW)
            assert response.status_code == 200, response.text
            assert response.json()["degraded"] is True
        finally:
            valkey_server.start()
        valkey_server.pause()
        try:
            response = await http.post("/v1/endpoints/flight-delay:predict", json=ROW)
            assert (response.status_code, response.json()["degraded"]) == (200, True), response.text
        finally:
            valkey_server.resume()


async def test_no_triton_is_a_503_and_comes_back(path: Running, flights_triton: RunningTriton) -> None:
    import asyncio
    import time

    async with httpx2.AsyncClient(base_url=path.url, timeout=20) as http:
        assert (await http.post("/v1/endpoints/flight-delay:predict", json=ROW)).status_code == 200
        flights_triton.kill()
        try:
            started = time.monotonic()
            response = await http.post("/v1/endpoints/flight-delay:predict", json=ROW)
            assert (response.status_code, response.json()["reason"]) == (503, "MODEL_UNAVAILABLE")
            assert response.headers["retry-after"] == "1"
            assert time.monotonic() - started < 1
            assert (await http.get(path.ops + "/readyz")).status_code == 200
        finally:
            await asyncio.to_thread(flights_triton.start)
        async with asyncio.timeout(10):
            while (await http.post("/v1/endpoints/flight-delay:predict", json=ROW)).status_code != 200:
                await asyncio.sleep(0.05)
