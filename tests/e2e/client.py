"""The public API through the Gateway API route, as outside callers use it: REST and gRPC."""

import http.client
import json
from collections.abc import Mapping
from typing import Any

import grpc

from mizzen.gateway.v1 import gateway_pb2 as pb
from mizzen.gateway.v1 import gateway_pb2_grpc as api
from tests.e2e.world import StepFailed

REST_HOST, GRPC_HOST = "mizzen.example.com", "grpc.mizzen.example.com"
EXAMPLE: dict[str, Any] = {
    "entities": {"tailnum": ["N534JB"], "origin": ["LGA"], "dest": ["TPA"], "carrier": ["B6"]},
    "inputs": {"sched_dep": ["2013-11-27T21:00:00Z"], "distance": [1010]},
    "options": {"as_of": "2013-11-27T19:00:00Z"},
}
AS_OF_US = 1385578800_000_000
SCHED_DEP_US = 1385586000_000_000
ENDPOINT, COLLECTION = "flight-delay", "handbook"
QUESTION = "Why are there no Docker containers on a laptop?"


class Rest:
    """One request a connection; `address` is host:port of the route."""

    def __init__(self, address: str, key: str) -> None:
        self._address = address
        self.headers = {"Host": REST_HOST, "Authorization": f"Bearer {key}", "Content-Type": "application/json"}

    def call(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> tuple[int, dict[str, Any]]:
        """(status, JSON)."""
        connection = http.client.HTTPConnection(self._address, timeout=30)
        try:
            connection.request(method, path, None if body is None else json.dumps(body), self.headers)
            answer = connection.getresponse()
            text = answer.read().decode()
            return answer.status, dict(json.loads(text)) if text.startswith("{") else {"text": text}
        finally:
            connection.close()

    def ok(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """The JSON; StepFailed when it isn't a success."""
        status, answer = self.call(method, path, body)
        if not 200 <= status < 300:
            raise StepFailed(f"{method} {path}: {status} {json.dumps(answer)[:600]}")
        return answer

    def predict(self, **options: bool) -> dict[str, Any]:
        body = {**EXAMPLE, "options": {**EXAMPLE["options"], **options}}
        return self.ok("POST", f"/v1/endpoints/{ENDPOINT}:predict", body)

    def search(self, query: str = "model", top_k: int = 3) -> dict[str, Any]:
        return self.ok("POST", f"/v1/collections/{COLLECTION}:search", {"query": query, "top_k": top_k})


def predict_request() -> pb.PredictRequest:
    """The endpoint's example, typed."""
    request = pb.PredictRequest(endpoint=ENDPOINT)
    for name, words in EXAMPLE["entities"].items():
        request.entities[name].strings.values.extend(words)
    request.inputs["sched_dep"].ints.values.append(SCHED_DEP_US)
    request.inputs["distance"].doubles.values.append(1010)
    request.options.as_of.FromMicroseconds(AS_OF_US)
    return request


def search_request(query: str = "model") -> pb.SearchRequest:
    return pb.SearchRequest(collection=COLLECTION, query=query, top_k=3)


def metadata(key: str) -> tuple[tuple[str, str], ...]:
    return (("authorization", f"Bearer {key}"),)


OPTIONS = (("grpc.default_authority", GRPC_HOST),)


class Grpc:
    """Blocking stubs of the public services."""

    def __init__(self, address: str, key: str) -> None:
        self._channel = grpc.insecure_channel(address, options=OPTIONS)
        self._metadata = metadata(key)
        self._endpoints: Any = api.EndpointServiceStub(self._channel)
        self._collections: Any = api.CollectionServiceStub(self._channel)
        self._labels: Any = api.LabelServiceStub(self._channel)

    def predict(self) -> Any:
        return self._endpoints.Predict(predict_request(), metadata=self._metadata, timeout=30)

    def search(self) -> Any:
        return self._collections.Search(search_request(), metadata=self._metadata, timeout=30)

    def ask(self, question: str) -> list[Any]:
        request = pb.AskRequest(collection=COLLECTION, question=question)
        return list(self._collections.Ask(request, metadata=self._metadata, timeout=60))

    def put_label(self, request_id: str, value: float) -> Any:
        label = pb.Label(request_id=request_id, row=0, output="probability", value=value)
        label.event_time.FromMicroseconds(SCHED_DEP_US + 4 * 3600 * 1_000_000)
        request = pb.PutLabelsRequest(labels=[label])
        return self._labels.PutLabels(request, metadata=self._metadata, timeout=30)

    def report(self) -> Any:
        return self._labels.GetReport(pb.GetReportRequest(endpoint=ENDPOINT), metadata=self._metadata, timeout=30)

    def close(self) -> None:
        self._channel.close()
