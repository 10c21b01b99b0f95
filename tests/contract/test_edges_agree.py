"""REST and gRPC are two ways to one meaning: what one refuses, the other refuses with the same code, reason and field."""

from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import httpx2
import pytest
from google.protobuf import json_format
from google.protobuf.timestamp_pb2 import Timestamp
from grpc import aio

from chassis.public.problem import STATUS
from chassis.rpc.status import from_rpc_error
from mizzen.gateway.v1 import gateway_pb2 as pb
from mizzen.gateway.v1 import gateway_pb2_grpc
from tests.fakes.gateway_rig import Rig, gateway_rig

Stub = Callable[[Any], Any]
PREDICT, READ = "/v1/endpoints/late:predict", "/v1/features:read"
SEARCH, ASK, DOCUMENTS = (f"/v1/collections/handbook{path}" for path in (":search", ":ask", "/documents"))
LABEL = {"request_id": "r", "output": "probability", "value": 1, "event_time": "2013-11-03T14:00:00Z"}
LATER = Timestamp(seconds=1383487200)


@pytest.fixture
async def rig(tmp_path: Path) -> AsyncIterator[Rig]:
    async with gateway_rig(tmp_path) as made:
        yield made


def predict(keys: list[str], distance: list[float], **more: Any) -> pb.PredictRequest:
    request = pb.PredictRequest(endpoint="late", **more)
    request.entities["tailnum"].strings.values.extend(keys)
    request.inputs["distance"].doubles.values.extend(distance)
    return request


def read(*features: str, keys: tuple[str, ...] = ("a",), **more: str) -> pb.ReadFeaturesRequest:
    request = pb.ReadFeaturesRequest(features=features)
    request.entities["tailnum"].strings.values.extend(keys)
    for name, value in more.items():
        request.entities[name].strings.values.append(value)
    return request


def label(**fields: Any) -> pb.PutLabelsRequest:
    return pb.PutLabelsRequest(
        labels=[pb.Label(request_id="r", output="probability", value=1.0, event_time=LATER, **fields)]
    )


def documents(*ids: str, **fields: str) -> pb.UpsertDocumentsRequest:
    request = pb.UpsertDocumentsRequest(collection="handbook")
    for each in ids:
        request.documents.add(id=each, text="t", **fields)
    return request


def body(keys: list[str], distance: list[float]) -> dict[str, Any]:
    return {"entities": {"tailnum": keys}, "inputs": {"distance": distance}}


# (REST method, path, body) · (service, method, message)
REFUSED: dict[str, tuple[tuple[str, str, Any], tuple[str, str, Any]]] = {
    "rows differ": (("POST", PREDICT, body(["a", "b"], [1.0])), ("Endpoint", "Predict", predict(["a", "b"], [1.0]))),
    "no rows": (("POST", PREDICT, body([], [])), ("Endpoint", "Predict", predict([], []))),
    "too many rows": (
        ("POST", PREDICT, body(["a"] * 101, [1.0] * 101)),
        ("Endpoint", "Predict", predict(["a"] * 101, [1.0] * 101)),
    ),
    "an entity is missing": (
        ("POST", PREDICT, {"inputs": {"distance": [1.0]}}),
        ("Endpoint", "Predict", pb.PredictRequest(endpoint="late", inputs=predict([], [1.0]).inputs)),
    ),
    "an unknown entity": (
        ("POST", READ, {"features": ["plane:seats"], "entities": {"tailnum": ["a"], "pilot": ["b"]}}),
        ("Feature", "ReadFeatures", read("plane:seats", pilot="b")),
    ),
    "an unknown endpoint": (
        ("POST", "/v1/endpoints/none:predict", {}),
        ("Endpoint", "Predict", pb.PredictRequest(endpoint="none")),
    ),
    "an unknown endpoint to look at": (
        ("GET", "/v1/endpoints/none", None),
        ("Endpoint", "GetEndpoint", pb.GetEndpointRequest(name="none")),
    ),
    "an unknown view": (
        ("POST", READ, {"features": ["nowhere:seats"], "entities": {"tailnum": ["a"]}}),
        ("Feature", "ReadFeatures", read("nowhere:seats")),
    ),
    "no features": (
        ("POST", READ, {"features": [], "entities": {}}),
        ("Feature", "ReadFeatures", pb.ReadFeaturesRequest()),
    ),
    "pages too large": (
        ("GET", "/v1/endpoints?page_size=1001", None),
        ("Endpoint", "ListEndpoints", pb.ListEndpointsRequest(page_size=1001)),
    ),
    "pages of documents too large": (
        ("GET", f"{DOCUMENTS}?page_size=1001", None),
        ("Collection", "ListDocuments", pb.ListDocumentsRequest(collection="handbook", page_size=1001)),
    ),
    "pages of collections too large": (
        ("GET", "/v1/collections?page_size=1001", None),
        ("Collection", "ListCollections", pb.ListCollectionsRequest(page_size=1001)),
    ),
    "an unknown collection": (
        ("POST", "/v1/collections/none:search", {"query": "q"}),
        ("Collection", "Search", pb.SearchRequest(collection="none", query="q")),
    ),
    "an unknown collection asked": (
        ("POST", "/v1/collections/none:ask", {"question": "q"}),
        ("Collection", "Ask", pb.AskRequest(collection="none", question="q")),
    ),
    "a blank query": (
        ("POST", SEARCH, {"query": ""}),
        ("Collection", "Search", pb.SearchRequest(collection="handbook")),
    ),
    "a blank question": (
        ("POST", ASK, {"question": " "}),
        ("Collection", "Ask", pb.AskRequest(collection="handbook", question=" ")),
    ),
    "top_k too large": (
        ("POST", SEARCH, {"query": "q", "top_k": 101}),
        ("Collection", "Search", pb.SearchRequest(collection="handbook", query="q", top_k=101)),
    ),
    "top_k of an ask too large": (
        ("POST", ASK, {"question": "q", "top_k": 21}),
        ("Collection", "Ask", pb.AskRequest(collection="handbook", question="q", top_k=21)),
    ),
    "an unknown mode": (
        ("POST", SEARCH, {"query": "q", "mode": "psychic"}),
        ("Collection", "Search", pb.SearchRequest(collection="handbook", query="q", mode=9)),  # type: ignore[arg-type]
    ),
    "no documents": (("POST", DOCUMENTS, {"documents": []}), ("Collection", "UpsertDocuments", documents())),
    "a document without an id": (
        ("POST", DOCUMENTS, {"documents": [{"id": "", "text": "t"}]}),
        ("Collection", "UpsertDocuments", documents("")),
    ),
    "a document of another kind": (
        ("POST", DOCUMENTS, {"documents": [{"id": "d", "text": "t", "media_type": "image/png"}]}),
        ("Collection", "UpsertDocuments", documents("d", media_type="image/png")),
    ),
    "an unknown document": (
        ("GET", f"{DOCUMENTS}/none", None),
        ("Collection", "GetDocument", pb.GetDocumentRequest(collection="handbook", id="none")),
    ),
    "no labels": (("POST", "/v1/labels", {"labels": []}), ("Label", "PutLabels", pb.PutLabelsRequest())),
    "a row of no request": (
        ("POST", "/v1/labels", {"labels": [LABEL | {"row": 2**31}]}),
        ("Label", "PutLabels", label(row=2**31)),
    ),
    "a report of no endpoint": (
        ("GET", "/v1/endpoints/none/report", None),
        ("Label", "GetReport", pb.GetReportRequest(endpoint="none")),
    ),
    "a report that ends before it begins": (
        ("GET", "/v1/endpoints/late/report?from=2013-11-03T14:00:00Z&to=2013-11-03T13:00:00Z", None),
        (
            "Label",
            "GetReport",
            pb.GetReportRequest(endpoint="late", from_time=LATER, to_time=Timestamp(seconds=1383483600)),
        ),
    ),
}


async def called(target: str, service: str, method: str, message: Any) -> Any:
    """The answer, or the events of a stream as a list."""
    async with aio.insecure_channel(target) as channel:
        stub: Any = getattr(gateway_pb2_grpc, f"{service}ServiceStub")(channel)
        answer = getattr(stub, method)(message, timeout=5)
        return [event async for event in answer] if method == "Ask" else await answer


@pytest.mark.parametrize("case", REFUSED)
async def test_what_one_refuses_the_other_refuses_alike(rig: Rig, case: str) -> None:
    (verb, path, given), (service, method, message) = REFUSED[case]
    async with httpx2.AsyncClient(base_url=rig.url) as http:
        answer = await http.request(verb, path, json=given)
    problem = answer.json()
    with pytest.raises(aio.AioRpcError) as caught:
        await called(rig.target, service, method, message)
    error = from_rpc_error(caught.value)
    assert answer.status_code == STATUS[error.code]
    assert (problem["code"], problem["reason"], problem.get("field")) == (error.code.value, error.reason, error.field)
    assert problem["request_id"] and error.ids["request_id"]


async def test_both_take_as_many_rows_as_the_endpoint_says(rig: Rig) -> None:
    async with httpx2.AsyncClient(base_url=rig.url) as http:
        answer = await http.post(PREDICT, json=body(["a"] * 100, [1.0] * 100))
    over_rest = answer.json()["outputs"]["probability"]
    over_grpc = await called(rig.target, "Endpoint", "Predict", predict(["a"] * 100, [1.0] * 100))
    assert list(over_grpc.outputs["probability"].doubles.values) == pytest.approx(over_rest)
    assert len(over_rest) == 100


async def test_an_ask_is_the_same_whole_in_events_and_in_messages(rig: Rig) -> None:
    async with httpx2.AsyncClient(base_url=rig.url) as http:
        whole = (await http.post(ASK, json={"question": "where?"})).json()
    events = await called(rig.target, "Collection", "Ask", pb.AskRequest(collection="handbook", question="where?"))
    assert [passage.document_id for passage in events[0].passages.passages] == [
        p["document_id"] for p in whole["passages"]
    ]
    assert "".join(event.text for event in events[1:-1]) == whole["text"]
    answer = json_format.MessageToDict(
        events[-1].answer, preserving_proto_field_name=True, always_print_fields_with_no_presence=True
    )
    assert answer["citations"] == whole["citations"]
    assert (answer["text"], answer["answerable"], answer["generator"]) == (
        whole["text"], whole["answerable"], whole["generator"],
    )  # fmt: skip


async def test_labels_that_are_refused_say_why_on_both(rig: Rig) -> None:
    async with httpx2.AsyncClient(base_url=rig.url) as http:
        told = (await http.post("/v1/labels", json={"labels": [LABEL, LABEL | {"output": "no"}]})).json()
    request = label()
    request.labels.add(request_id="r", output="no", value=1.0, event_time=LATER)
    answer = await called(rig.target, "Label", "PutLabels", request)
    assert (answer.stored, answer.older) == (told["stored"], told["older"])
    assert answer.errors[0].code == 0
    (refused,) = told["errors"]
    status = answer.errors[refused["index"]]
    info = json_format.MessageToDict(status)["details"][0]
    assert (status.message, info["reason"]) == (refused["detail"], refused["reason"])


async def test_a_document_is_the_same_on_both(rig: Rig) -> None:
    stored = await called(
        rig.target, "Collection", "UpsertDocuments", documents("d/1", media_type="text/markdown", title="T")
    )
    async with httpx2.AsyncClient(base_url=rig.url) as http:
        shown = (await http.get(f"{DOCUMENTS}/d/1")).json()
        message = stored.items[0]
        assert (shown["id"], shown["title"], shown["chunks"]) == (message.id, message.title, message.chunks)
        assert shown["updated_at"] == message.updated_at.ToJsonString()
        assert (await http.delete(f"{DOCUMENTS}/d/1")).json() == {"deleted": True}
    gone = await called(
        rig.target, "Collection", "DeleteDocument", pb.DeleteDocumentRequest(collection="handbook", id="d/1")
    )
    assert not gone.deleted
