"""The public REST API over real sockets, between fakes of the services behind it."""

import asyncio
import json
import threading
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from chassis.errors import Unavailable
from gateway.api.http import routes
from gateway.api.oip import rest as infer
from tests.fakes.gateway_rig import Rig, gateway_rig

AS_JSON = {"content-type": "application/json"}
BODY: dict[str, Any] = {"entities": {"tailnum": ["N14228", "missing"]}, "inputs": {"distance": [10.0, 20.0]}}


@pytest.fixture
async def rig(tmp_path: Path) -> AsyncIterator[Rig]:
    async with gateway_rig(tmp_path) as made:
        yield made


@pytest.fixture
async def http(rig: Rig) -> AsyncIterator[httpx2.AsyncClient]:
    async with httpx2.AsyncClient(base_url=rig.url, timeout=10) as client:
        yield client


async def test_a_predict_goes_from_entities_to_outputs(rig: Rig, http: httpx2.AsyncClient) -> None:
    response = await http.post("/v1/endpoints/late:predict", json={**BODY, "options": {"features": True}})
    assert response.status_code == 200, response.text
    body = response.json()
    # seats is 6 (the key's length) and NaN; the fake's probability is the sum of the rest / 100.
    assert body["outputs"]["probability"] == pytest.approx([0.16, 0.20])
    assert body["endpoint"] == "late"
    assert body["routes"] == ["late", "late"]
    assert body["model_versions"] == ["abcdef012345"] * 2
    assert body["degraded"] is False
    assert body["features"]["plane:seats"] == {
        "values": [6.0, None],
        "statuses": ["PRESENT", "NOT_FOUND"],
        "event_timestamps": ["2023-11-14T22:13:20Z", None],
    }
    assert response.headers["x-request-id"] == body["request_id"]
    assert set(body["timings_ms"]) == {"features", "infer", "total"}
    numeric, categorical = rig.triton.calls[-1].raw_input_contents
    assert categorical == b"\x06\x00\x00\x00N14228\x00\x00\x00\x00"
    assert len(numeric) == 16


async def test_as_of_reaches_features_where_the_clock_is_the_requests(rig: Rig, http: httpx2.AsyncClient) -> None:
    options = {"as_of": "2013-11-03T14:00:00Z"}
    response = await http.post("/v1/endpoints/late:predict", json={**BODY, "options": options})
    assert response.status_code == 200
    assert rig.features.items[-1].as_of_us == 1383487200_000_000
    refused = await http.post(
        "/v1/endpoints/server-clock:predict", json={"entities": {"tailnum": ["N1"]}, "options": options}
    )
    assert refused.status_code == 400
    assert refused.json()["reason"] == "AS_OF_REFUSED"
    assert refused.json()["field"] == "options.as_of"


@pytest.mark.parametrize(
    ("body", "field", "reason"),
    [
        ({"entities": {"tailnum": ["a", "b", "c", 4]}, "inputs": {"distance": [1, 2, 3, 4]}}, "entities.tailnum[3]",
         "INVALID_VALUE"),
        ({"entities": {"tailnum": ["a", None]}, "inputs": {"distance": [1, 2]}}, "entities.tailnum[1]", "INVALID_VALUE"),
        ({"entities": {"tailnum": ["a"]}, "inputs": {"distance": ["far"]}}, "inputs.distance[0]", "INVALID_VALUE"),
        ({"entities": {"tailnum": ["a"]}, "inputs": {"distance": [1, 2]}}, "inputs.distance", "ROWS_DIFFER"),
        ({"entities": {"tailnum": ["a"]}}, "inputs.distance", "INVALID_VALUE"),
        ({"entities": {"tailnum": "a"}, "inputs": {"distance": [1]}}, "entities.tailnum", "INVALID_VALUE"),
        ({"entities": {"tailnum": ["a"], "origin": ["b"]}, "inputs": {"distance": [1]}}, "entities.origin",
         "UNKNOWN_FIELD"),
        ({"entities": {"tailnum": ["a"]}, "inputs": {"distance": [1]}, "extra": 1}, "extra", "UNKNOWN_FIELD"),
        ({"entities": {"tailnum": ["a"]}, "inputs": {"distance": [1]}, "options": {"explain": 1}}, "options.explain",
         "INVALID_VALUE"),
        ({"entities": {"tailnum": ["a"]}, "inputs": {"distance": [1]}, "options": {"as_of": "now"}}, "options.as_of",
         "INVALID_VALUE"),
        ({"entities": {"tailnum": []}, "inputs": {"distance": []}}, "entities", "NO_ROWS"),
        ({"entities": {"tailnum": ["a"] * 101}, "inputs": {"distance": [1] * 101}}, "entities.tailnum",
         "TOO_MANY_ROWS"),
    ],
)  # fmt: skip
async def test_bad_input_is_a_400_that_names_the_field(
    http: httpx2.AsyncClient, body: dict[str, Any], field: str, reason: str
) -> None:
    response = await http.post("/v1/endpoints/late:predict", json=body)
    problem = response.json()
    assert (response.status_code, problem["field"], problem["reason"]) == (400, field, reason)
    assert response.headers["content-type"] == "application/problem+json"
    assert problem["request_id"] == response.headers["x-request-id"]


async def test_explanations_are_answer_minus_answer_at_baseline(rig: Rig, http: httpx2.AsyncClient) -> None:
    rig.triton.baseline = {"plane:seats": 1.0, "input:distance": None, "plane:model": "?"}
    response = await http.post("/v1/endpoints/late:predict", json={**BODY, "options": {"explain": True}})
    assert response.status_code == 200, response.text
    moved = response.json()["explanations"]
    assert moved["plane:seats"] == pytest.approx([0.05, -0.01], abs=1e-6)
    assert moved["input:distance"] == pytest.approx([0.10, 0.20], abs=1e-6)
    assert moved["plane:model"] == pytest.approx([0, 0], abs=1e-6)


async def test_an_explanation_goes_to_the_model_a_few_chunks_at_once(rig: Rig, http: httpx2.AsyncClient) -> None:
    rig.triton.baseline = {"plane:seats": 1.0, "input:distance": None, "plane:model": "?"}
    rig.triton.delay_s = 0.01
    body = {"entities": {"tailnum": ["abc"] * 100}, "inputs": {"distance": [1.0] * 100}, "options": {"explain": True}}
    answers = await asyncio.gather(*(http.post("/v1/endpoints/late:predict", json=body) for _ in range(2)))
    assert [answer.status_code for answer in answers] == [200] * 2  # a third at once would find no place
    assert answers[0].json()["explanations"]["input:distance"] == pytest.approx([0.01] * 100, abs=1e-6)
    # 100 rows × 3 columns in batches of 8: 38 inferences each, besides the rows themselves, which are 2 × 8 at once.
    assert rig.triton.most_in_flight <= 16


@pytest.mark.parametrize("rows", [10, 40_000])
async def test_a_large_body_is_read_beside_the_loop(
    rig: Rig, http: httpx2.AsyncClient, monkeypatch: pytest.MonkeyPatch, rows: int
) -> None:
    """16 MB of numbers took a second and a half in which nobody else was answered."""
    threads: list[bool] = []

    def noting(work: Any) -> Any:
        def noted(*arguments: Any) -> Any:
            threads.append(threading.current_thread() is threading.main_thread())
            return work(*arguments)

        return noted

    for name in ("infer_request", "infer_body"):
        monkeypatch.setattr(f"gateway.api.oip.rest.{name}", noting(getattr(infer, name)))
    tensor = {"name": "x", "datatype": "FP32", "shape": [rows, 2], "data": [1.5, 2.5] * rows}
    response = await http.post("/v2/models/echo/infer", json={"inputs": [tensor]})
    assert response.status_code == 200, response.text
    assert response.json()["outputs"][0]["data"] == [1.5, 2.5] * rows
    monkeypatch.setattr("gateway.api.http.routes.body_of", noting(routes.body_of))
    label = {"request_id": "r" * 16, "output": "probability", "value": 1, "event_time": "2026-01-01T00:00:00Z"}
    stored = await http.post("/v1/labels", json={"labels": [label] * (rows // 10)})
    assert stored.json()["stored"] == rows // 10
    assert threads == [rows == 10] * 3


async def test_more_values_than_a_read_answers_are_refused(rig: Rig, http: httpx2.AsyncClient) -> None:
    body = {"features": ["plane:seats"] * 101, "entities": {"tailnum": ["a"] * 10_000}}
    refused = await http.post("/v1/features:read", json=body)
    assert (refused.status_code, refused.json()["reason"], refused.json()["field"]) == (
        400,
        "TOO_MANY_ROWS",
        "entities",
    )
    assert not rig.features.messages


async def test_more_rows_than_are_explained_are_refused_by_name(rig: Rig, http: httpx2.AsyncClient) -> None:
    rig.triton.baseline = {"plane:seats": 1.0}
    body = {"entities": {"tailnum": ["abc"] * 101}, "options": {"explain": True}}
    refused = await http.post("/v1/endpoints/server-clock:predict", json=body)
    assert (refused.status_code, refused.json()["reason"], refused.json()["field"]) == (
        400, "TOO_MANY_ROWS", "options.explain",
    )  # fmt: skip
    assert "limits.maxExplainRows" in refused.json()["detail"]
    assert not rig.triton.calls
    assert not rig.features.messages


async def test_a_model_of_another_schema_is_refused(rig: Rig, http: httpx2.AsyncClient) -> None:
    rig.triton.schema_hash = "0" * 16
    response = await http.post("/v1/endpoints/late:predict", json=BODY)
    assert (response.status_code, response.json()["reason"]) == (409, "SCHEMA_MISMATCH")


async def test_endpoints_are_listed_and_their_example_works(http: httpx2.AsyncClient) -> None:
    listed = (await http.get("/v1/endpoints")).json()
    assert [item["name"] for item in listed["items"]] == ["late", "server-clock"]
    assert listed["next_page_token"] == ""
    first = (await http.get("/v1/endpoints?page_size=1")).json()
    assert [item["name"] for item in first["items"]] == ["late"]
    rest = (await http.get(f"/v1/endpoints?page_token={first['next_page_token']}")).json()
    assert [item["name"] for item in rest["items"]] == ["server-clock"]
    endpoint = (await http.get("/v1/endpoints/late")).json()
    assert endpoint["ready"] is True
    assert (await http.post("/v1/endpoints/late:predict", json=endpoint["example"])).status_code == 200
    missing = await http.get("/v1/endpoints/nothing")
    assert (missing.status_code, missing.json()["code"]) == (404, "NOT_FOUND")


async def test_features_are_read(http: httpx2.AsyncClient) -> None:
    body = {"features": ["plane:model", "plane:seats"], "entities": {"tailnum": ["abc"]}}
    response = await http.post("/v1/features:read", json=body)
    assert response.status_code == 200, response.text
    assert response.json()["features"]["plane:model"]["values"] == ["abc"]
    assert response.json()["features"]["plane:seats"]["values"] == [3.0]
    unknown = await http.post("/v1/features:read", json={**body, "features": ["ship:mast"]})
    assert (unknown.status_code, unknown.json()["field"]) == (404, "features[0]")


async def test_a_model_whose_process_stands_still_is_away_for_now_and_not_broken(
    rig: Rig, http: httpx2.AsyncClient
) -> None:
    rig.triton.stuck = True
    response = await http.post("/v1/endpoints/late:predict", json=BODY)
    assert (response.status_code, response.json()["reason"]) == (503, "MODEL_UNAVAILABLE")
    assert response.headers["retry-after"] == "1"


async def test_retries_once_when_a_model_was_away(rig: Rig, http: httpx2.AsyncClient) -> None:
    await http.post("/v1/endpoints/late:predict", json=BODY)
    rig.triton.down = 1
    assert (await http.post("/v1/endpoints/late:predict", json=BODY)).status_code == 200
    rig.triton.down = 2
    response = await http.post("/v1/endpoints/late:predict", json=BODY)
    assert (response.status_code, response.json()["reason"]) == (503, "MODEL_UNAVAILABLE")
    assert response.headers["retry-after"] == "1"


async def test_until_retrieval_has_read_its_collections_none_is_called_unknown(
    rig: Rig, http: httpx2.AsyncClient
) -> None:
    rig.retrieval.unread = True
    answers = [
        await http.get("/v1/collections"),
        await http.post("/v1/collections/handbook:search", json={"query": "who"}),
        await http.post("/v1/collections/handbook:ask", json={"question": "who"}),
    ]
    assert [(each.status_code, each.json()["reason"]) for each in answers] == [(503, "COLLECTIONS_NOT_READ")] * 3
    assert [each.headers["retry-after"] for each in answers] == ["1"] * 3
    rig.retrieval.unread = False
    assert (await http.post("/v1/collections/handbook:search", json={"query": "who"})).status_code == 200


async def test_a_deadline_ends_the_call_upstream(rig: Rig, http: httpx2.AsyncClient) -> None:
    await http.post("/v1/endpoints/late:predict", json=BODY)
    rig.triton.gate = asyncio.Event()
    response = await http.post("/v1/endpoints/late:predict", json=BODY, headers={"x-request-timeout-ms": "150"})
    assert (response.status_code, response.json()["code"]) == (504, "DEADLINE_EXCEEDED")
    async with asyncio.timeout(5):
        while not rig.triton.cancelled:
            await asyncio.sleep(0.01)
    before = len(rig.triton.calls)
    expired = await http.post("/v1/endpoints/late:predict", json=BODY, headers={"x-request-timeout-ms": "0"})
    assert expired.status_code == 504
    assert len(rig.triton.calls) == before


async def test_a_client_that_goes_ends_the_call_upstream(rig: Rig, http: httpx2.AsyncClient) -> None:
    await http.post("/v1/endpoints/late:predict", json=BODY)
    rig.triton.gate = asyncio.Event()
    calls = len(rig.triton.calls)
    waiting = asyncio.create_task(http.post("/v1/endpoints/late:predict", json=BODY))
    async with asyncio.timeout(5):
        while len(rig.triton.calls) == calls:
            await asyncio.sleep(0.01)
        waiting.cancel()
        # The deadline, two seconds, would end it too: this is sooner.
    async with asyncio.timeout(1):
        while not rig.triton.cancelled:
            await asyncio.sleep(0.01)
    rig.triton.gate = None
    assert (await http.post("/v1/endpoints/late:predict", json=BODY)).status_code == 200


async def test_a_full_model_sheds(rig: Rig, http: httpx2.AsyncClient) -> None:
    await http.post("/v1/endpoints/late:predict", json=BODY)
    rig.triton.gate = asyncio.Event()
    waiting = [asyncio.create_task(http.post("/v1/endpoints/late:predict", json=BODY)) for _ in range(32)]
    async with asyncio.timeout(5):
        while len(rig.features.items) < 33:
            await asyncio.sleep(0.01)
    response = await http.post("/v1/endpoints/late:predict", json=BODY)
    assert (response.status_code, response.json()["reason"]) == (429, "TOO_MANY_IN_FLIGHT")
    assert response.headers["retry-after"] == "1"
    rig.triton.gate.set()
    assert {answer.status_code for answer in await asyncio.gather(*waiting)} == {200}


async def test_concurrent_predicts_travel_together_and_each_gets_its_own(rig: Rig, http: httpx2.AsyncClient) -> None:
    await http.post("/v1/endpoints/late:predict", json=BODY)
    rig.triton.calls.clear()

    async def one(number: int) -> float:
        body = {"entities": {"tailnum": ["x" * (number % 9 + 1)]}, "inputs": {"distance": [number]}}
        response = await http.post("/v1/endpoints/late:predict", json=body)
        value: float = response.json()["outputs"]["probability"][0]
        return value

    answers = await asyncio.gather(*(one(number) for number in range(24)))
    assert answers == pytest.approx([(number % 9 + 1 + number) / 100 for number in range(24)], abs=1e-6)
    assert len(rig.triton.calls) < 24


async def test_more_rows_than_the_models_batch_are_split(rig: Rig, http: httpx2.AsyncClient) -> None:
    body = {"entities": {"tailnum": ["x"] * 20}, "inputs": {"distance": list(range(20))}}
    response = await http.post("/v1/endpoints/late:predict", json=body)
    assert response.json()["outputs"]["probability"] == pytest.approx([(1 + i) / 100 for i in range(20)], abs=1e-6)
    assert max(call.inputs[0].shape[0] for call in rig.triton.calls) <= 8


async def test_infer_json_and_one_bad_request_fails_alone(rig: Rig, http: httpx2.AsyncClient) -> None:
    def body(value: float) -> dict[str, Any]:
        return {"id": "7", "inputs": [{"name": "x", "shape": [1, 2], "datatype": "FP32", "data": [[value, 2]]}]}

    answers = await asyncio.gather(
        *(http.post("/v2/models/echo/infer", json=body(value)) for value in (1, -1, 3, 4, 5, 6))
    )
    assert [answer.status_code for answer in answers] == [200, 400, 200, 200, 200, 200]
    assert answers[0].json() == {
        "model_name": "echo",
        "model_version": "1",
        "id": "7",
        "outputs": [{"name": "y", "datatype": "FP32", "shape": [1, 2], "data": [1.0, 2.0]}],
    }
    assert answers[1].json() == {"error": "x must not be negative"}


async def test_infer_takes_and_gives_binary_tensors(http: httpx2.AsyncClient) -> None:
    """As Triton's HTTP client sends them: JSON, then the tensors' bytes."""
    import numpy as np

    raw = np.array([[1, 2], [3, 4]], "<f4").tobytes()
    head = json.dumps(
        {
            "inputs": [
                {"name": "x", "shape": [2, 2], "datatype": "FP32", "parameters": {"binary_data_size": len(raw)}}
            ],
            "outputs": [{"name": "y", "parameters": {"binary_data": True}}],
        }
    ).encode()
    headers = {"inference-header-content-length": str(len(head)), "content-type": "application/octet-stream"}
    response = await http.post("/v2/models/echo/infer", content=head + raw, headers=headers)
    assert response.status_code == 200, response.text
    size = int(response.headers["inference-header-content-length"])
    assert json.loads(response.content[:size])["outputs"][0]["parameters"] == {"binary_data_size": 16}
    assert response.content[size:] == raw
    short = await http.post("/v2/models/echo/infer", content=head + raw[:-1], headers=headers)
    assert short.status_code == 400
    wrong = await http.post(
        "/v2/models/echo/infer", content=head, headers={**headers, "inference-header-content-length": "x"}
    )
    assert wrong.status_code == 400


async def test_health_bodies_are_kserves(http: httpx2.AsyncClient) -> None:
    assert (await http.get("/v2/health/live")).json() == {"live": True}
    assert (await http.get("/v2/health/ready")).json() == {"ready": True}
    assert (await http.get("/v2/models/echo/ready")).json() == {"name": "echo", "ready": True}
    assert (await http.get("/v2/models/none/ready")).status_code == 404
    assert (await http.get("/v2")).json()["name"] == "mizzen"
    models = (await http.get("/v1/models")).json()
    assert models["models"] == ["echo", "late"]
    assert models["object"] == "list"
    assert [model["id"] for model in models["data"]] == models["models"]
    assert (await http.get("/v2/models/none")).json() == {"error": "there is no model none"}


async def test_collections_search_and_documents(rig: Rig, http: httpx2.AsyncClient) -> None:
    assert (await http.get("/v1/collections")).json()["items"][0]["name"] == "handbook"
    found = (await http.post("/v1/collections/handbook:search", json={"query": "rows", "top_k": 3})).json()
    assert found["passages"][0]["line_start"] == 3
    missing = await http.post("/v1/collections/none:search", json={"query": "rows"})
    assert (missing.status_code, missing.json()["reason"]) == (404, "COLLECTION_NOT_FOUND")
    wrong = await http.post("/v1/collections/handbook:search", json={"query": "rows", "top_k": 101})
    assert (wrong.status_code, wrong.json()["field"]) == (400, "top_k")
    document = {"id": "docs/a b.md", "text": "hello", "media_type": "text/markdown", "metadata": {"lang": "en"}}
    stored = await http.post("/v1/collections/handbook/documents", json={"documents": [document]})
    assert stored.json()["items"][0]["state"] == "READY"
    got = await http.get("/v1/collections/handbook/documents/docs/a%20b.md")
    assert got.json()["id"] == "docs/a b.md"
    assert len((await http.get("/v1/collections/handbook/documents")).json()["items"]) == 1
    assert (await http.delete("/v1/collections/handbook/documents/docs/a%20b.md")).json() == {"deleted": True}
    assert (await http.delete("/v1/collections/handbook/documents/docs/a%20b.md")).json() == {"deleted": False}
    assert rig.retrieval.identities[0]


async def test_an_ask_is_cited_and_streams(http: httpx2.AsyncClient) -> None:
    answer = (await http.post("/v1/collections/handbook:ask", json={"question": "where?"})).json()
    assert answer["text"] == "Valkey stores rows."
    assert answer["citations"][0]["source"] == "docs/a.md"
    assert answer["passages"][0]["document_id"] == "docs/a.md"
    streamed = await http.post("/v1/collections/handbook:ask", json={"question": "where?", "stream": True})
    assert streamed.headers["content-type"].startswith("text/event-stream")
    names = [line.removeprefix("event: ") for line in streamed.text.splitlines() if line.startswith("event: ")]
    assert names == ["passages", "text", "text", "answer"]
    last = [line for line in streamed.text.splitlines() if line.startswith("data: ")][-1]
    assert json.loads(last.removeprefix("data: "))["text"] == "Valkey stores rows."
    broken = await http.post("/v1/collections/handbook:ask", json={"question": "break", "stream": True})
    assert "event: error" in broken.text
    assert "GENERATOR_DOWN" in broken.text
    missing = await http.post("/v1/collections/none:ask", json={"question": "where?", "stream": True})
    assert missing.status_code == 404


@pytest.mark.parametrize("stream", [True, False], ids=["events", "one answer"])
async def test_an_ask_ends_when_its_client_goes(rig: Rig, http: httpx2.AsyncClient, stream: bool) -> None:
    body = {"question": "wait", "stream": stream}
    asking = asyncio.create_task(http.post("/v1/collections/handbook:ask", json=body))
    async with asyncio.timeout(5):
        while not rig.retrieval.waiting:
            await asyncio.sleep(0.01)
    asking.cancel()
    async with asyncio.timeout(5):
        while rig.retrieval.waiting:
            await asyncio.sleep(0.01)


async def test_labels_and_reports(rig: Rig, http: httpx2.AsyncClient) -> None:
    label = {"request_id": "r", "row": 1, "output": "probability", "value": 1, "event_time": "2013-11-03T14:00:00Z"}
    stored = await http.post("/v1/labels", json={"labels": [label, {**label, "output": "no"}]})
    assert stored.json()["stored"] == 1
    assert stored.json()["errors"][0]["reason"] == "OUTPUT_NOT_FOUND"
    assert rig.monitoring.labels[0].event_time_us == 1383487200_000_000
    wrong = await http.post("/v1/labels", json={"labels": [label, {**label, "value": "late"}]})
    assert (wrong.status_code, wrong.json()["field"]) == (400, "labels[1].value")
    report = await http.get("/v1/endpoints/late/report?from=2013-11-03T14:00:00Z")
    assert report.json() == {"endpoint": "late", "from_us": 1383487200_000_000}
    asked: tuple[dict[str, Any], ...] = ({"headers": {"accept": "text/html"}}, {"params": {"format": "html"}})
    for request in asked:
        page = await http.get("/v1/endpoints/late/report", **request)
        assert page.headers["content-type"].startswith("text/html")
        assert "default-src 'none'" in page.headers["content-security-policy"]
    assert (await http.get("/v1/endpoints/none/report")).status_code == 404


async def test_bodies_are_bounded(rig: Rig, http: httpx2.AsyncClient) -> None:
    big = b"[" * (17 * 1024 * 1024)

    async def chunks() -> AsyncIterator[bytes]:
        for start in range(0, len(big), 1 << 16):
            yield big[start : start + (1 << 16)]

    declared = await http.post("/v1/endpoints/late:predict", content=big, headers=AS_JSON)
    assert declared.status_code == 413
    async with httpx2.AsyncClient(base_url=rig.url) as fresh:
        try:
            chunked = await fresh.post("/v1/endpoints/late:predict", content=chunks(), headers=AS_JSON)
            assert chunked.status_code == 413
        except httpx2.WriteError:
            pass  # the connection was closed on the sender, which is as good
    deep = await http.post("/v1/endpoints/late:predict", content=b"[" * 5000 + b"]" * 5000, headers=AS_JSON)
    assert (deep.status_code, deep.json()["code"]) == (400, "INVALID_ARGUMENT")
    nested = b'{"entities":' + b"[" * 200 + b"]" * 200 + b"}"
    told = await http.post("/v1/endpoints/late:predict", content=nested, headers=AS_JSON)
    assert told.json()["reason"] == "TOO_DEEP"
    zipped = await http.post(
        "/v1/endpoints/late:predict", content=b"x", headers={**AS_JSON, "content-encoding": "gzip"}
    )
    assert zipped.status_code == 415
    long = await http.post("/v1/endpoints/late:predict", json=BODY, headers={"x-long": "a" * 17_000})
    assert long.status_code == 431


async def test_wrong_methods_and_unknown_paths(http: httpx2.AsyncClient) -> None:
    wrong = await http.get("/v1/endpoints/late:predict")
    assert (wrong.status_code, wrong.headers["allow"]) == (405, "OPTIONS, POST")
    assert (await http.get("/nothing")).json()["reason"] == "PATH_NOT_FOUND"


async def test_client_ids_are_kept_apart_and_identity_headers_mean_nothing(rig: Rig, http: httpx2.AsyncClient) -> None:
    headers = {"x-request-id": "mine", "x-mizzen-caller": "evil", "x-tenant": "other", "x-mizzen-identity": "evil"}
    response = await http.post("/v1/endpoints/late:predict", json=BODY, headers=headers)
    assert response.headers["x-request-id"] != "mine"
    identity = rig.runtime.verifier.verify(rig.features.items[-1].envelope.identity)
    assert (identity.tenant, identity.subject) == ("default", "anonymous")


async def test_openapi_has_every_path(http: httpx2.AsyncClient) -> None:
    document = (await http.get("/openapi.json")).json()
    predict = document["paths"]["/v1/endpoints/{name}:predict"]["post"]
    examples = predict["requestBody"]["content"]["application/json"]["examples"]
    assert (await http.post("/v1/endpoints/late:predict", json=examples["late"]["value"])).status_code == 200
    assert "/v2/models/{model}/infer" in document["paths"]
    page = await http.get("/docs")
    assert page.status_code == 200
    policy = page.headers["content-security-policy"]
    assert policy.startswith("default-src 'none'; script-src 'self';")
    assert "connect-src 'self'" in policy


async def test_store_down_answers_as_declared(tmp_path: Path) -> None:
    async with gateway_rig(tmp_path, on_store_down="default") as rig, httpx2.AsyncClient(base_url=rig.url) as http:
        rig.features.failure = Unavailable("the store is gone", reason="STORE_DOWN")
        response = await http.post("/v1/endpoints/late:predict", json={**BODY, "options": {"features": True}})
        assert response.status_code == 200, response.text
        body = response.json()
        assert body["degraded"] is True
        assert body["features"]["plane:seats"]["values"] == [100.0, 100.0]
        assert body["features"]["plane:model"]["statuses"] == ["UNAVAILABLE"] * 2
        assert body["outputs"]["probability"] == pytest.approx([1.1, 1.2])
        rig.features.failure, rig.features.delay_s = None, 5
        hung = await http.post("/v1/endpoints/late:predict", json=BODY, headers={"x-request-timeout-ms": "600"})
        assert (hung.status_code, hung.json()["degraded"]) == (200, True)


async def test_store_down_fails_where_declared(rig: Rig, http: httpx2.AsyncClient) -> None:
    rig.features.failure = Unavailable("the store is gone", reason="STORE_DOWN")
    response = await http.post("/v1/endpoints/late:predict", json=BODY)
    assert (response.status_code, response.json()["reason"]) == (503, "STORE_DOWN")


@pytest.mark.parametrize(("policy", "status", "seats"), [("mark", 200, 6.0), ("default", 200, 100.0), ("fail", 409, 0)])
async def test_stale_features_as_declared(tmp_path: Path, policy: str, status: int, seats: float) -> None:
    async with gateway_rig(tmp_path, on_stale=policy) as rig, httpx2.AsyncClient(base_url=rig.url) as http:
        rig.features.status = 4
        response = await http.post("/v1/endpoints/late:predict", json={**BODY, "options": {"features": True}})
        assert response.status_code == status
        if status == 200:
            feature = response.json()["features"]["plane:seats"]
            assert (feature["values"][0], feature["statuses"][0]) == (seats, "OUTSIDE_MAX_AGE")
        else:
            assert response.json()["field"] == "features.plane:seats[0]"


async def test_weights_split_by_key_and_stay(tmp_path: Path) -> None:
    traffic = (
        "{stickyKey: tailnum, routes: [{inferenceService: late, model: late, weight: 60},"
        " {inferenceService: late-b, model: late-b, weight: 40}]}"
    )
    async with gateway_rig(tmp_path, traffic=traffic) as rig, httpx2.AsyncClient(base_url=rig.url) as http:
        keys = [f"N{number}" for number in range(100)]
        body = {"entities": {"tailnum": keys}, "inputs": {"distance": [0] * 100}}
        first = (await http.post("/v1/endpoints/late:predict", json=body)).json()
        again = (await http.post("/v1/endpoints/late:predict", json=body)).json()
        assert first["routes"] == again["routes"]
        assert 25 <= first["routes"].count("late-b") <= 55
        expected = [len(k) / 100 + (0.5 if r == "late-b" else 0) for k, r in zip(keys, first["routes"], strict=True)]
        assert first["outputs"]["probability"] == pytest.approx(expected, abs=1e-6)


async def test_new_definitions_are_taken_while_running(rig: Rig, http: httpx2.AsyncClient) -> None:
    path = rig.state / "definitions" / "all.yaml"
    path.write_text(path.read_text().replace("Whether a flight is late.", "Another text."))
    async with asyncio.timeout(10):
        while (await http.get("/v1/endpoints/late")).json()["description"] != "Another text.":
            await asyncio.sleep(0.05)


async def test_a_drain_lets_requests_in_flight_finish(rig: Rig, http: httpx2.AsyncClient) -> None:
    await http.post("/v1/endpoints/late:predict", json=BODY)
    rig.triton.gate = asyncio.Event()
    calls = len(rig.triton.calls)
    waiting = [asyncio.create_task(http.post("/v1/endpoints/late:predict", json=BODY)) for _ in range(8)]
    async with asyncio.timeout(5):
        while len(rig.triton.calls) == calls or len(rig.features.items) < 9:
            await asyncio.sleep(0.01)
    stopping = asyncio.create_task(rig.lifecycle.stop())
    await asyncio.sleep(0.1)
    rig.triton.gate.set()
    assert {answer.status_code for answer in await asyncio.gather(*waiting)} == {200}
    await stopping


async def test_a_new_package_is_seen_after_the_server_was_away(rig: Rig, http: httpx2.AsyncClient) -> None:
    await http.post("/v1/endpoints/late:predict", json=BODY)
    rig.triton.down = 2
    assert (await http.post("/v1/endpoints/late:predict", json=BODY)).status_code == 503
    rig.triton.version = "fedcba987654"
    answer = await http.post("/v1/endpoints/late:predict", json=BODY)
    assert answer.json()["model_versions"] == ["fedcba987654"] * 2


async def test_what_the_port_refuses_has_the_apis_form(rig: Rig) -> None:
    """Before a request is one: a problem document, or the Open Inference Protocol's error under /v2, with a request id."""
    for path, form in ((b"/v1/models", "application/problem+json"), (b"/v2/models", "application/json")):
        reader, writer = await asyncio.open_connection("127.0.0.1", int(rig.url.rpartition(":")[2]))
        writer.write(b"GET " + path + b" HTTP/1.1\r\nHost: localhost\r\nX-A: " + b"a" * 17_000)
        head, _, body = (await asyncio.wait_for(reader.read(), 10)).partition(b"\r\n\r\n")
        writer.close()
        assert head.startswith(b"HTTP/1.1 431 ")
        assert f"content-type: {form}\r\n".encode() in head
        assert b"x-request-id: " in head
        told = json.loads(body)
        assert set(told) == {"error"} if path.startswith(b"/v2") else told["reason"] == "HEADERS_TOO_LARGE"
    async with httpx2.AsyncClient() as ops:
        counted = [line for line in (await ops.get(f"{rig.ops}/metrics")).text.splitlines() if '"431"' in line]
    assert [line.rpartition(" ")[2] for line in counted if "_count{" in line] == ["2.0"], counted


async def test_a_body_of_the_gateway_has_its_time(tmp_path: Path) -> None:
    async with gateway_rig(tmp_path, settings={"body_timeout_s": 0.5, "head_timeout_s": 0.5}) as rig:
        reader, writer = await asyncio.open_connection("127.0.0.1", int(rig.url.rpartition(":")[2]))
        writer.write(
            b"POST /v1/labels HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 9\r\n\r\n"
        )
        head, _, body = (await asyncio.wait_for(reader.read(), 10)).partition(b"\r\n\r\n")
        writer.close()
        assert head.startswith(b"HTTP/1.1 408 ")
        assert json.loads(body)["reason"] == "BODY_TIMEOUT"
