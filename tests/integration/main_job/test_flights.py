"""The main job, over the public API of a running installation: predict, explain, label, ask, report."""

import asyncio
from typing import Any

import grpc
import httpx2
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from mizzen.chassis.v1 import values_pb2
from mizzen.gateway.v1 import gateway_pb2, gateway_pb2_grpc
from mizzen.retrieval.v1 import retrieval_pb2
from tests.stack import ROOT, Stack, eventually

pytestmark = [pytest.mark.engines, pytest.mark.timeout(600)]
STATUSES = {"PRESENT", "NULL_VALUE", "NOT_FOUND", "OUTSIDE_MAX_AGE"}


@pytest.fixture
async def client(stack: Stack) -> Any:
    async with httpx2.AsyncClient(base_url=stack.rest, timeout=30) as connected:
        yield connected


@pytest.fixture
async def example(client: httpx2.AsyncClient) -> dict[str, Any]:
    found: dict[str, Any] = (await client.get("/v1/endpoints/flight-delay")).json()["example"]
    return found


async def predict(client: httpx2.AsyncClient, body: dict[str, Any]) -> dict[str, Any]:
    response = await client.post("/v1/endpoints/flight-delay:predict", json=body)
    assert response.status_code == 200, response.text
    answer: dict[str, Any] = response.json()
    return answer


def test_the_screen_shows_what_a_newcomer_wants(stack: Stack) -> None:
    for words in ("probability", "curl", "grpcurl", "/docs", "report", "metrics", "docs/"):
        assert words in stack.screen, f"{words!r} is not on the screen:\n{stack.screen}"


async def test_a_prediction_is_columnar_and_whole(client: httpx2.AsyncClient, example: dict[str, Any]) -> None:
    options = {**example.get("options", {}), "features": True, "explain": True}
    answer = await predict(client, {**example, "options": options})
    rows = len(example["entities"]["tailnum"])
    assert answer["endpoint"] == "flight-delay"
    assert len(answer["outputs"]["probability"]) == rows
    assert all(0 < value < 1 for value in answer["outputs"]["probability"])
    assert answer["routes"] == ["flight-delay"] * rows
    assert len(answer["model_versions"]) == rows
    assert answer["timings_ms"]
    seen = {status for column in answer["features"].values() for status in column["statuses"]}
    assert "PRESENT" in seen
    assert seen <= STATUSES
    moved = [contributions[0] for contributions in answer["explanations"].values()]
    assert len(moved) > 10
    assert max(abs(value) for value in moved) > 0


async def test_rest_and_grpc_agree(stack: Stack, client: httpx2.AsyncClient, example: dict[str, Any]) -> None:
    over_rest = await predict(client, example)
    entities = {
        name: values_pb2.Values(dtype=values_pb2.DTYPE_STRING, strings=values_pb2.Strings(values=values))
        for name, values in example["entities"].items()
    }
    declared = (await client.get("/v1/endpoints/flight-delay")).json()["inputs"]
    inputs = {}
    for column in declared:
        values = example["inputs"][column["name"]]
        if column["dtype"] == "TIMESTAMP":
            strings = values_pb2.Strings(values=values)
            inputs[column["name"]] = values_pb2.Values(dtype=values_pb2.DTYPE_TIMESTAMP, strings=strings)
        else:
            doubles = values_pb2.Doubles(values=values)
            inputs[column["name"]] = values_pb2.Values(
                dtype=values_pb2.DType.Value(f"DTYPE_{column['dtype']}"), doubles=doubles
            )
    request = gateway_pb2.PredictRequest(endpoint="flight-delay", entities=entities, inputs=inputs)
    request.options.as_of.FromJsonString(example["options"]["as_of"])
    async with grpc.aio.insecure_channel(stack.grpc) as channel:
        answer = await gateway_pb2_grpc.EndpointServiceStub(channel).Predict(request, timeout=20)
    (probability,) = answer.outputs["probability"].doubles.values
    assert probability == pytest.approx(over_rest["outputs"]["probability"][0], abs=1e-6)
    assert list(answer.model_versions) == over_rest["model_versions"]


async def test_a_bad_row_is_named(client: httpx2.AsyncClient, example: dict[str, Any]) -> None:
    tailnums = [*example["entities"]["tailnum"] * 3, 7]
    body = {
        **example,
        "entities": {name: values * 4 for name, values in example["entities"].items()} | {"tailnum": tailnums},
        "inputs": {name: values * 4 for name, values in example["inputs"].items()},
    }
    response = await client.post("/v1/endpoints/flight-delay:predict", json=body)
    assert response.status_code == 400
    assert response.headers["content-type"].startswith("application/problem+json")
    problem = response.json()
    assert problem["field"] == "entities.tailnum[3]"
    assert problem["code"] == "INVALID_ARGUMENT"
    assert problem["request_id"]


async def test_a_label_joins_its_prediction_in_the_report(client: httpx2.AsyncClient, example: dict[str, Any]) -> None:
    answer = await predict(client, example)
    label = {
        "request_id": answer["request_id"],
        "row": 0,
        "output": "probability",
        "value": 1,
        "event_time": "2014-01-02T00:00:00Z",
    }
    for key in ("first", "first", "second"):
        response = await client.post("/v1/labels", json={"labels": [label]}, headers={"Idempotency-Key": key})
        assert response.status_code == 200, response.text

    async def labelled() -> bool:
        report = (await client.get("/v1/endpoints/flight-delay/report")).json()
        return bool(report["quality"]["labelled"] >= 1)

    await eventually(labelled, 30, "the label in the report")
    page = await client.get("/v1/endpoints/flight-delay/report", headers={"accept": "text/html"})
    assert page.headers["content-type"].startswith("text/html")
    assert "<svg" in page.text


async def test_both_kinds_of_client_find_their_way(stack: Stack) -> None:
    async with grpc.aio.insecure_channel(stack.grpc) as channel:
        health = await health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(), timeout=5)
        assert health.status == health_pb2.HealthCheckResponse.SERVING
        asked = iter([reflection_pb2.ServerReflectionRequest(list_services="")])
        call = reflection_pb2_grpc.ServerReflectionStub(channel).ServerReflectionInfo(asked, timeout=5)
        services = {service.name async for answer in call for service in answer.list_services_response.service}
    assert {"mizzen.gateway.v1.EndpointService", "inference.GRPCInferenceService"} <= services


async def test_metrics_of_every_service_are_scraped(stack: Stack) -> None:
    async with httpx2.AsyncClient(timeout=10) as client:
        for name in ("gateway", "features", "retrieval", "monitoring", "control"):
            text = (await client.get(f"http://127.0.0.1:{stack.ports[f'{name}_ops']}/metrics")).text
            assert f"mizzen_{name}_" in text, name


async def test_an_answer_streams_with_citations(stack: Stack) -> None:
    request = gateway_pb2.AskRequest(collection="handbook", question="What does onStoreDown: default answer?")
    async with grpc.aio.insecure_channel(stack.grpc) as channel:
        events = [event async for event in gateway_pb2_grpc.CollectionServiceStub(channel).Ask(request, timeout=20)]
    kinds = [event.WhichOneof("event") for event in events]
    assert kinds[0] == "passages"
    assert kinds[-1] == "answer"
    answer: retrieval_pb2.Answer = events[-1].answer
    assert answer.answerable
    for citation in answer.citations:
        lines = (ROOT / citation.source).read_text().splitlines()
        assert 1 <= citation.line_start <= citation.line_end <= len(lines)


async def test_a_second_up_is_quick_and_changes_nothing(stack: Stack) -> None:
    before = stack.pid("gateway")
    again = await asyncio.to_thread(stack.mizzen, "up", "-f", "examples/flights", "--detach", timeout_s=60)
    assert again.returncode == 0, again.stdout + again.stderr
    assert stack.pid("gateway") == before
