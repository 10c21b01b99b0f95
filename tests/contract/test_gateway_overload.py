"""More than can be answered in time is refused at once, over both edges: before a body is read, with a time to come back."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import grpc
import httpx2
import pytest
from google.rpc import error_details_pb2, status_pb2
from grpc import aio
from tritonclient.grpc import service_pb2, service_pb2_grpc

from mizzen.gateway.v1 import gateway_pb2 as pb
from mizzen.gateway.v1 import gateway_pb2_grpc
from tests.fakes.gateway_rig import Rig, gateway_rig

oip: Any = service_pb2
AT_ONCE = 64  # of one endpoint or model, before anything is known of it
INFER = {"inputs": [{"name": "x", "shape": [1, 2], "datatype": "FP32", "data": [1.0, 2.0]}]}
PREDICT = {"entities": {"tailnum": ["N14228"]}}


@pytest.fixture
async def rig(tmp_path: Path) -> AsyncIterator[Rig]:
    async with gateway_rig(tmp_path) as made:
        made.triton.gate = asyncio.Event()
        yield made


@pytest.fixture
async def http(rig: Rig) -> AsyncIterator[httpx2.AsyncClient]:
    limits = httpx2.Limits(max_connections=200)
    async with httpx2.AsyncClient(base_url=rig.url, timeout=90, limits=limits) as client:
        yield client


async def in_flight(rig: Rig, wanted: int) -> None:
    async with asyncio.timeout(60):
        while rig.runtime.registry.get_sample_value("mizzen_gateway_in_flight") != wanted:
            await asyncio.sleep(0.01)


async def head_only(rig: Rig, path: str) -> tuple[str, dict[str, str], bytes]:
    """Status, headers and body of the answer to a request whose body never comes."""
    reader, writer = await asyncio.open_connection("127.0.0.1", int(rig.url.rpartition(":")[2]))
    try:
        fields = "Host: localhost\r\nContent-Type: application/json\r\nContent-Length: 1000"
        writer.write(f"POST {path} HTTP/1.1\r\n{fields}\r\n\r\n".encode())
        head = (await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 12)).decode()
        lines = head.rstrip().split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines[1:])}
        return lines[0].split()[1], headers, await reader.readexactly(int(headers["content-length"]))
    finally:
        writer.close()


async def many(http: httpx2.AsyncClient, path: str, body: object) -> list[asyncio.Task[Any]]:
    slow = {"x-request-timeout-ms": "60000"}
    return [asyncio.create_task(http.post(path, json=body, headers=slow)) for _ in range(AT_ONCE)]


def refusal(error: aio.AioRpcError) -> tuple[str, float]:
    """The reason, and after how many seconds to come back."""
    found = dict(error.trailing_metadata() or ())
    details = status_pb2.Status.FromString(found["grpc-status-details-bin"]).details
    info, retry = error_details_pb2.ErrorInfo(), error_details_pb2.RetryInfo()
    assert any(each.Unpack(info) for each in details)
    assert any(each.Unpack(retry) for each in details)
    return info.reason, retry.retry_delay.ToTimedelta().total_seconds()


async def test_a_model_with_enough_under_way_refuses_more_before_the_body(rig: Rig, http: httpx2.AsyncClient) -> None:
    taken = await many(http, "/v2/models/echo/infer", INFER)
    await in_flight(rig, AT_ONCE)
    status, headers, body = await head_only(rig, "/v2/models/echo/infer")
    assert (status, headers["retry-after"]) == ("429", "1")
    assert json.loads(body) == {"error": "more is asked of model/echo than it can answer in time; try again shortly"}
    async with aio.insecure_channel(rig.target) as channel:
        stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)
        with pytest.raises(aio.AioRpcError) as refused:
            await stub.ModelInfer(oip.ModelInferRequest(model_name="echo"), timeout=30)
        assert refused.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert refusal(refused.value) == ("OVERLOADED", 1.0)
    # Others are served as ever.
    search = await http.post("/v1/collections/handbook:search", json={"query": "delays"})
    assert search.status_code == 200, search.text
    assert rig.triton.gate is not None
    rig.triton.gate.set()
    assert {answer.status_code for answer in await asyncio.gather(*taken)} == {200}
    await in_flight(rig, 0)
    assert (await http.post("/v2/models/echo/infer", json=INFER)).status_code == 200
    shed = rig.runtime.registry.get_sample_value(
        "mizzen_gateway_shed_total", {"endpoint": "other", "reason": "endpoint"}
    )
    assert shed == 2


async def test_a_refusal_is_the_same_whether_the_app_saw_the_request_or_not(rig: Rig, http: httpx2.AsyncClient) -> None:
    taken = await many(http, "/v2/models/echo/infer", INFER)
    await in_flight(rig, AT_ONCE)
    told = [await http.post("/v2/models/echo/infer", json=INFER) for _ in range(3)]
    page = await http.post("/v2/models/echo/infer", json=INFER, headers={"origin": rig.url})
    assert {answer.status_code for answer in [*told, page]} == {429}
    # The first refusal is the app's, as nobody was refused before; those behind it are given by the head alone.
    assert len({answer.content for answer in [*told, page]}) == 1
    fields = [sorted(name for name in answer.headers if name != "date") for answer in told]
    assert fields[0] == fields[1] == fields[2]
    assert len({answer.headers["x-request-id"] for answer in told}) == 3
    sample = rig.runtime.registry.get_sample_value
    assert sample("mizzen_gateway_shed_total", {"endpoint": "other", "reason": "endpoint"}) == 4
    labels = {"method": "POST", "path": "/v2/models/{model}/infer", "status": "429"}
    assert sample("mizzen_gateway_request_seconds_count", labels) == 4
    # Other paths are not concerned, nor is one that the table does not have.
    assert (await http.get("/v1/endpoints")).status_code == 200
    assert (await http.post("/v1/nothing", json={})).status_code == 404
    assert rig.triton.gate is not None
    rig.triton.gate.set()
    assert {answer.status_code for answer in await asyncio.gather(*taken)} == {200}


async def test_an_endpoint_refuses_with_a_problem_document(rig: Rig, http: httpx2.AsyncClient) -> None:
    rig.triton.schema_hash = ""  # any endpoint's
    taken = await many(http, "/v1/endpoints/server-clock:predict", PREDICT)
    await in_flight(rig, AT_ONCE)
    status, headers, body = await head_only(rig, "/v1/endpoints/server-clock:predict")
    problem = json.loads(body)
    assert (status, headers["retry-after"], headers["content-type"]) == ("429", "1", "application/problem+json")
    assert (problem["reason"], problem["code"], problem["status"]) == ("OVERLOADED", "RESOURCE_EXHAUSTED", 429)
    assert problem["request_id"] == headers["x-request-id"]
    async with aio.insecure_channel(rig.target) as channel:
        stub: Any = gateway_pb2_grpc.EndpointServiceStub(channel)
        with pytest.raises(aio.AioRpcError) as refused:
            await stub.Predict(pb.PredictRequest(endpoint="server-clock"), timeout=30)
        assert refusal(refused.value) == ("OVERLOADED", 1.0)
    assert rig.triton.gate is not None
    rig.triton.gate.set()
    assert {answer.status_code for answer in await asyncio.gather(*taken)} == {200}


@pytest.mark.parametrize("ends", [lambda task: task.cancel(), lambda task: None], ids=["client gone", "deadline"])
async def test_places_come_back_however_calls_end(
    rig: Rig, http: httpx2.AsyncClient, ends: Callable[[Any], Any]
) -> None:
    impatient = {"x-request-timeout-ms": "5000"}
    calls = [
        asyncio.create_task(http.post("/v2/models/echo/infer", json=INFER, headers=impatient)) for _ in range(AT_ONCE)
    ]
    await in_flight(rig, AT_ONCE)
    for call in calls:
        ends(call)
    await in_flight(rig, 0)
    await asyncio.gather(*calls, return_exceptions=True)
