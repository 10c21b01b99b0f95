"""What FastAPI costs a path that is not hot: the gateway's app in this process, over a domain that answers at once.

`.venv/bin/python -m bench.fastapi_cost` prints µs of CPU a call, the least of twelve rounds: through the row's FastAPI route; with
the same handler called by hand in its place, which reads the body as the same model; and through FastAPI's router and middleware
besides, which look the path up once more. The three take turns. Then what the models
of the hot paths would cost, where a parser of their own does the checking on its way.
"""

import asyncio
import time
import timeit
from collections.abc import Callable
from functools import partial
from typing import Any, cast

import orjson
import uvloop
from pydantic import BaseModel

from chassis.clock import SystemClock, SystemIds
from chassis.public.browsers import Browsers
from gateway.adapters.file_keys import Anonymous
from gateway.api.app import paths
from gateway.api.edge import Edge
from gateway.api.http.app import App
from gateway.api.http.bodies import parsed
from gateway.api.http.given import HTTP
from gateway.api.http.path import Path as Row
from gateway.api.http.request import Http, Limits, Receive, Scope, Send, parse_object
from gateway.api.http.routes import Route, fastapi_of, routes_of
from gateway.api.mizzen.endpoints import schema as of_endpoint
from gateway.api.mizzen.features import schema as of_feature
from gateway.api.oip import schema as of_tensor
from gateway.domain.admission import Admission
from gateway.domain.documents import LabelsAnswer, SearchAnswer
from gateway.domain.endpoints import Endpoints
from gateway.domain.idempotency import IdempotentWrites
from gateway.domain.infer import Inferrer
from gateway.domain.labels import Labels
from gateway.domain.plans import Route as Model
from gateway.domain.retrieve import Retriever
from mizzen.retrieval.v1 import retrieval_pb2 as pb

ROUNDS, TIMES = 12, 800
LABEL = {"request_id": "r", "output": "probability", "value": 1, "event_time": "2026-01-01T00:00:00Z"}
CASES = {
    "search, 1 passage": (
        "POST", "/v1/collections/{name}:search", {"name": "handbook"}, {"query": "where are rows stored?", "top_k": 5},
    ),
    "labels, 1 label": ("POST", "/v1/labels", {}, {"labels": [LABEL]}),
    "models": ("GET", "/v1/models", {}, None),
    "live": ("GET", "/v2/health/live", {}, None),
}  # fmt: skip

HOT: dict[str, tuple[type[BaseModel], object]] = {
    "predict, 1 row": (of_endpoint.PredictRequest, {"entities": {"tailnum": ["N14228"]}, "inputs": {"distance": [10.0]}}),
    "infer, FP32 [1, 50]": (
        of_tensor.InferRequest, {"inputs": [{"name": "x", "shape": [1, 50], "datatype": "FP32", "data": [0.5] * 50}]},
    ),
    "infer, FP32 [256, 50]": (
        of_tensor.InferRequest, {"inputs": [{"name": "x", "shape": [256, 50], "datatype": "FP32", "data": [0.5] * 12_800}]},
    ),
    "features:read, 100 rows": (
        of_feature.ReadFeaturesRequest, {"features": ["plane:seats"], "entities": {"tailnum": ["N14228"] * 100}},
    ),
}  # fmt: skip


class Outside:
    """Answers at once."""

    async def search(self, *_: Any) -> SearchAnswer:
        passage = pb.Passage(
            document_id="docs/a.md", chunk=2, text="Valkey stores rows.", score=0.9, source="docs/a.md"
        )
        return SearchAnswer([cast(Any, passage)], timings_ms={"search": 1.5})

    async def put_labels(self, _call: object, labels: Any) -> LabelsAnswer:
        return LabelsAnswer(len(labels), 0, [])

    def ignore(self, *_: Any, **__: Any) -> None:
        """Counts nothing, records nothing."""

    offer = refused = learnt = forgotten = lagged = ignore


def by_hand(row: Row, call_is_taken: bool) -> Route:
    """The row's handler without FastAPI."""

    async def route(scope: Scope, _receive: Receive, _send: Send) -> None:
        http: Http = scope[HTTP]
        given: dict[str, Any] = dict(http.params)
        if call_is_taken:
            given["call"] = http.call
        if row.body is not None:
            model = row.body
            given["body"] = await http.read(lambda raw: parsed(raw, model))
        await http.answer(orjson.dumps(await http.while_there(row.handler(**given))))

    return route


def scope_of(method: str, target: str, body: bytes) -> Scope:
    """A request as the port hands it on."""
    headers = [(b"host", b"localhost"), (b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
    return {
        "type": "http", "method": method, "path": target, "raw_path": target.encode(), "query_string": b"", "headers": headers,
        "root_path": "", "http_version": "1.1", "server": ("127.0.0.1", 1), "client": ("127.0.0.1", 2), "scheme": "http",
    }  # fmt: skip


def apps() -> tuple[App, App, App]:
    """Through a FastAPI route, by hand, and through all of FastAPI."""
    outside: Any = Outside()
    clock, endpoints = SystemClock(), Endpoints()
    endpoints.swap({}, {}, ["echo", "late"], [Model("echo", "echo")])
    nothing: Any = None
    rows = paths(
        endpoints, nothing, nothing, Inferrer(endpoints, outside, outside, clock), Retriever(outside, outside, clock),
        Labels(endpoints, outside),
    )  # fmt: skip
    edge = Edge(Anonymous(), clock, SystemIds(clock), outside.ignore, Admission(clock, outside))
    api = fastapi_of(rows, IdempotentWrites(nothing))
    routes = routes_of(api)
    hands = {
        (row.method, row.template): by_hand(row, row.scope is not None and row.template != "/v1/models") for row in rows
    }

    def made(through: Any) -> App:
        return App(
            rows,
            through,
            edge,
            Limits(2**24),
            Browsers(keyless=True, key_setting="", origins_setting=""),
            observe=outside.ignore,
        )

    return made(routes), made(hands), made(dict.fromkeys(routes, api))


async def cost_us(app: App, method: str, target: str, body: bytes, statuses: set[int]) -> float:
    """Of one round."""

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message: Any) -> None:
        statuses.add(message.get("status", 200))

    started = time.process_time()
    for _ in range(TIMES):
        await app(scope_of(method, target, body), receive, send)
    return (time.process_time() - started) / TIMES * 1e6


async def main() -> None:
    """A line a case."""
    ways = apps()
    for name, (method, template, params, content) in CASES.items():
        body = b"" if content is None else orjson.dumps(content)
        target = template.format_map(params)
        best, statuses = [float("inf")] * 3, set[int]()
        for _ in range(ROUNDS):
            for index, app in enumerate(ways):
                spent = await cost_us(app, method, target, body, statuses)
                best[index] = min(best[index], spent)
        assert statuses == {200}, statuses
        more = ", ".join(
            f"{spent:5.1f} {way}" for spent, way in zip(best, ("by route", "by hand", "by all of FastAPI"), strict=True)
        )
        print(f"{name:20} µs: {more}; FastAPI's route costs {best[0] - best[1]:5.1f} more")
    for name, (model, value) in HOT.items():
        raw = orjson.dumps(value)
        as_model, parse = (_least_us(partial(work, raw)) for work in (partial(parsed, model=model), parse_object))
        print(f"{name:24} {as_model - parse:6.1f} µs more, were its body read as its model")


def _least_us(work: Callable[[], object]) -> float:
    return min(timeit.repeat(work, number=200, repeat=ROUNDS)) / 200 * 1e6


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main())
