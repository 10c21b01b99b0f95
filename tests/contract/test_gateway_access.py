"""Who gets in, and what anything at all on the wire gets."""

from pathlib import Path
from typing import Any

import grpc
import httpx2
import pytest
from grpc import aio
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from chassis.api_keys import key_hash
from chassis.rpc.identity import write_keys
from chassis.rpc.status import from_rpc_error
from gateway.api.app import described
from gateway.api.http.path import Path as Row
from mizzen.chassis.v1 import values_pb2
from mizzen.gateway.v1 import gateway_pb2 as pb
from mizzen.gateway.v1 import gateway_pb2_grpc
from tests.fakes.gateway_rig import gateway_rig

JSON = {"content-type": "application/json"}
BODY: dict[str, Any] = {"entities": {"tailnum": ["N14228"]}, "inputs": {"distance": [10.0]}}


def write_api_keys(state: Path) -> Path:
    write_keys(state / "keys")
    secret = bytes.fromhex((state / "keys/service.secret").read_text().strip())
    path = state / "api-keys"
    path.write_text(f"all:acme:*:{key_hash(secret, 'key-all')}\nreader:acme:read:{key_hash(secret, 'key-read')}\n")
    return path


async def test_keys_and_scopes(tmp_path: Path) -> None:
    path = write_api_keys(tmp_path)
    async with (
        gateway_rig(tmp_path, settings={"api_keys_file": path}) as rig,
        httpx2.AsyncClient(base_url=rig.url) as http,
        aio.insecure_channel(rig.target) as channel,
    ):
        predict = "/v1/endpoints/late:predict"
        for headers in ({}, {"x-api-key": "nope"}, {"authorization": "Basic key-all"}, {"authorization": "Bearer"}):
            refused = await http.post(predict, json=BODY, headers=headers)
            assert (refused.status_code, refused.json()["code"]) == (401, "UNAUTHENTICATED")
            assert refused.headers["www-authenticate"] == "Bearer"
            assert (await http.get("/v1/endpoints/none", headers=headers)).status_code == 401
        for headers in ({"x-api-key": "key-all"}, {"authorization": "Bearer key-all"}):
            assert (await http.post(predict, json=BODY, headers=headers)).status_code == 200
        identity = rig.runtime.verifier.verify(rig.features.items[-1].envelope.identity)
        assert (identity.tenant, identity.subject) == ("acme", "all")
        reader = {"x-api-key": "key-read"}
        assert (await http.get("/v1/endpoints", headers=reader)).status_code == 200
        scoped = await http.post(predict, json=BODY, headers=reader)
        assert (scoped.status_code, scoped.json()["reason"]) == (403, "SCOPE_MISSING")
        # Probes are open.
        assert (await http.get("/v2/health/live")).status_code == 200
        stub: Any = gateway_pb2_grpc.EndpointServiceStub(channel)
        with pytest.raises(aio.AioRpcError) as caught:
            await stub.ListEndpoints(pb.ListEndpointsRequest(), timeout=5)
        assert caught.value.code() is grpc.StatusCode.UNAUTHENTICATED
        assert from_rpc_error(caught.value).reason == "API_KEY_MISSING"
        metadata = (("authorization", "Bearer key-all"),)
        assert (await stub.ListEndpoints(pb.ListEndpointsRequest(), timeout=5, metadata=metadata)).items


TABLE = described()
SCOPES = ("read", "infer", "write", "*")
FILLED = {"{name}": "late", "{model}": "echo", "{version}": "1", "{id}": "a"}


async def test_every_path_lets_in_its_scope_and_no_other(tmp_path: Path) -> None:
    """The authorisation matrix: every row of the table with every scope, without a key, and with a key of nobody's."""
    write_keys(tmp_path / "keys")
    secret = bytes.fromhex((tmp_path / "keys/service.secret").read_text().strip())
    path = tmp_path / "api-keys"
    path.write_text("".join(f"key{n}:acme:{scope}:{key_hash(secret, scope)}\n" for n, scope in enumerate(SCOPES)))
    async with (
        gateway_rig(tmp_path, settings={"api_keys_file": path}) as rig,
        httpx2.AsyncClient(base_url=rig.url) as http,
    ):

        async def asked(row: Row, key: str | None) -> httpx2.Response:
            target = row.template
            for name, value in FILLED.items():
                target = target.replace(name, "handbook" if name == "{name}" and "collections" in target else value)
            headers = {"content-type": "application/json", **({"x-api-key": key} if key else {})}
            content = b"{}" if row.method == "POST" else None
            return await http.request(row.method, target, headers=headers, content=content)

        for row in TABLE:
            place = f"{row.method} {row.template}"
            if row.scope is None:
                assert (await asked(row, None)).status_code == 200, place
                continue
            for key in (None, "nobody's"):
                assert (await asked(row, key)).status_code == 401, place
            for scope in SCOPES:
                answer = await asked(row, scope)
                allowed = scope in (row.scope, "*")
                assert (answer.status_code == 403) != allowed, (place, scope, answer.text)
                assert answer.status_code != 401, place
                if not allowed:
                    assert "scope" in answer.text
        shown = await http.get("/openapi.json")
        assert "For late" not in shown.text, "which endpoints there are is told to keys only"
        unread = await http.get("/openapi.json", headers={"x-api-key": "infer"})
        assert "For late" not in unread.text, "and to such with scope read only"
        assert "For late" in (await http.get("/openapi.json", headers={"x-api-key": "read"})).text


PATHS = [
    "/v1/endpoints/late:predict", "/v1/features:read", "/v2/models/echo/infer", "/v1/labels",
    "/v1/collections/handbook:search", "/v1/collections/handbook:ask", "/v1/collections/handbook/documents",
]  # fmt: skip
values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=12) | st.sampled_from(["N1", "late", "plane:seats", "x", "FP32", "BYTES"]),
    lambda inner: st.lists(inner, max_size=4)
    | st.dictionaries(
        st.sampled_from(
            ["entities", "inputs", "options", "tailnum", "distance", "features", "name", "shape", "datatype", "data", "labels",
             "query", "question", "documents", "id", "text", "top_k", "mode", "stream", "as_of", "outputs", "parameters"]
        ),
        inner,
        max_size=5,
    ),
    max_leaves=25,
)  # fmt: skip


async def test_nothing_on_the_wire_is_a_5xx(tmp_path: Path) -> None:
    import asyncio

    found: list[tuple[str, bytes]] = []

    @settings(max_examples=400, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(st.sampled_from(PATHS), st.binary(max_size=60) | values.map(_json))
    def collect(path: str, body: bytes) -> None:
        found.append((path, body))

    collect()
    async with gateway_rig(tmp_path) as rig, httpx2.AsyncClient(base_url=rig.url) as http:
        for start in range(0, len(found), 8):
            part = found[start : start + 8]
            answers = await asyncio.gather(*(http.post(path, content=body, headers=JSON) for path, body in part))
            for (path, body), answer in zip(part, answers, strict=True):
                assert answer.status_code < 500, (path, body, answer.text)
        assert (await http.post(PATHS[0], json=BODY)).status_code == 200


def _json(value: object) -> bytes:
    import json

    return json.dumps(value).encode()


async def test_no_grpc_message_is_an_internal_error(tmp_path: Path) -> None:
    messages: list[pb.PredictRequest] = []
    column = st.builds(
        values_pb2.Values,
        dtype=st.integers(0, 9),
        width=st.integers(0, 3),
        raw=st.none() | st.binary(max_size=12),
        nulls=st.binary(max_size=3),
    ) | st.lists(st.text(max_size=4), max_size=3).map(
        lambda texts: values_pb2.Values(strings=values_pb2.Strings(values=texts))
    )

    @settings(max_examples=200, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(
        st.dictionaries(st.sampled_from(["tailnum", "x"]), column, max_size=2),
        st.dictionaries(st.sampled_from(["distance", "x"]), column, max_size=2),
    )
    def collect(entities: dict[str, Any], inputs: dict[str, Any]) -> None:
        messages.append(pb.PredictRequest(endpoint="late", entities=entities, inputs=inputs))

    collect()
    async with gateway_rig(tmp_path) as rig, aio.insecure_channel(rig.target) as channel:
        stub: Any = gateway_pb2_grpc.EndpointServiceStub(channel)
        for message in messages:
            try:
                await stub.Predict(message, timeout=5)
            except aio.AioRpcError as error:
                assert error.code() is grpc.StatusCode.INVALID_ARGUMENT, (message, error)
