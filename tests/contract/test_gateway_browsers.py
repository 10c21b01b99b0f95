"""What a web page may make a browser do here, with API keys and without."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
from pydantic import ValidationError

from gateway.settings import Settings
from tests.contract.test_gateway_access import write_api_keys
from tests.fakes.gateway_rig import Rig, gateway_rig

PREDICT, DOCUMENTS, LABELS = "/v1/endpoints/late:predict", "/v1/collections/handbook/documents", "/v1/labels"
BODY: dict[str, Any] = {"entities": {"tailnum": ["N1"]}, "inputs": {"distance": [1.0]}}
PAGE = "https://evil.example"
PREFLIGHT = {"access-control-request-method": "POST", "access-control-request-headers": "content-type"}


@pytest.fixture
async def rig(tmp_path: Path) -> AsyncIterator[Rig]:
    async with gateway_rig(tmp_path) as made:
        yield made


async def test_without_keys_only_loopback_names_are_served(rig: Rig) -> None:
    port = rig.url.rpartition(":")[2]
    async with httpx2.AsyncClient(base_url=rig.url) as http:
        for name in (
            "localhost",
            f"localhost:{port}",
            "LOCALHOST",
            "127.0.0.1:1",
            "127.0.0.2",
            "[::1]",
            f"[::1]:{port}",
        ):
            for path in ("/v1/models", "/docs", "/openapi.json"):
                assert (await http.get(path, headers={"host": name})).status_code == 200, (name, path)
        for name in (
            "evil.example", f"evil.example:{port}", "localhost.evil.example", "evil-localhost", "127.0.0.1.nip.io", "0.0.0.0",
            "127.1", "127.0.0.1.2", "127.999.0.1", "localhost:x", "localhost:8080:1", "[::2]", "localhost.", "a@localhost",
        ):  # fmt: skip
            for path in ("/v1/models", "/docs", "/openapi.json", "/docs/start.js", "/v2/health/live", "/nothing"):
                refused = await http.get(path, headers={"host": name})
                assert refused.status_code in (400, 421), (name, path)
            told = await http.post(PREDICT, json=BODY, headers={"host": name})
            assert told.status_code in (400, 421)
            if told.status_code == 421:
                assert (told.json()["reason"], told.json()["field"]) == ("HOST_REFUSED", "Host")
                assert "MIZZEN_GATEWAY_API_KEYS_FILE" in told.json()["detail"]
                assert told.headers["content-type"] == "application/problem+json"
    assert not rig.features.items


async def test_without_keys_no_page_of_elsewhere_is_served(rig: Rig) -> None:
    document = {"documents": [{"id": "d", "text": "t"}]}
    async with httpx2.AsyncClient(base_url=rig.url) as http:
        for origin in (
            PAGE,
            "null",
            "http://localhost:1",
            "http://127.0.0.1",
            "http://localhost.evil.example",
            rig.url.replace("http", "foo"),
        ):
            for path, body in ((PREDICT, BODY), (DOCUMENTS, document), (LABELS, {"labels": []})):
                refused = await http.post(path, json=body, headers={"origin": origin})
                assert (refused.status_code, refused.json()["reason"]) == (403, "ORIGIN_REFUSED"), origin
                assert "access-control-allow-origin" not in refused.headers
                assert refused.headers["vary"] == "Origin"
            assert (await http.get("/openapi.json", headers={"origin": origin})).status_code == 403
            preflight = await http.request("OPTIONS", DOCUMENTS, headers={"origin": origin, **PREFLIGHT})
            assert preflight.status_code == 403
        # The page of /docs asks its own origin.
        own = await http.post(PREDICT, json=BODY, headers={"origin": rig.url})
        assert own.status_code == 200
    assert not rig.retrieval.documents
    assert not rig.monitoring.labels


@pytest.mark.parametrize("given", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", None,
                                   "application/jsonp", "text/plain; application/json"])  # fmt: skip
async def test_a_body_says_that_it_is_json(rig: Rig, given: str | None) -> None:
    headers = {} if given is None else {"content-type": given}
    async with httpx2.AsyncClient(base_url=rig.url) as http:
        for path in (PREDICT, DOCUMENTS, LABELS, "/v1/features:read", "/v1/collections/handbook:search"):
            refused = await http.post(path, content=b'{"documents":[{"id":"d","text":"t"}]}', headers=headers)
            problem = refused.json()
            assert (refused.status_code, problem["field"]) == (415, "Content-Type"), path
            assert "application/json" in problem["detail"]
        tensors = await http.post("/v2/models/echo/infer", content=b"{}", headers=headers)
        assert tensors.status_code == (400 if given is None else 415)
        stored = await http.post(
            DOCUMENTS,
            content=b'{"documents":[{"id":"d","text":"t"}]}',
            headers={"content-type": "Application/JSON; charset=utf-8"},
        )
        assert stored.status_code == 200
    assert len(rig.retrieval.documents) == 1


async def test_with_keys_origins_see_answers_only_where_configured(tmp_path: Path) -> None:
    keys, app = write_api_keys(tmp_path), "https://app.example"
    more = {"api_keys_file": keys, "cors_origins": f"{app}, http://localhost:3000"}
    async with gateway_rig(tmp_path, settings=more) as rig, httpx2.AsyncClient(base_url=rig.url) as http:
        asked = await http.request("OPTIONS", PREDICT, headers={"origin": app, **PREFLIGHT})
        assert (asked.status_code, asked.content) == (204, b"")
        assert asked.headers["access-control-allow-origin"] == app
        assert asked.headers["access-control-allow-methods"] == asked.headers["allow"] == "OPTIONS, POST"
        assert {"authorization", "x-api-key", "content-type", "idempotency-key"} <= set(
            asked.headers["access-control-allow-headers"].split(", ")
        )
        assert "access-control-allow-credentials" not in asked.headers
        for key, status in (({"x-api-key": "key-all"}, 200), ({}, 401)):
            answer = await http.post(PREDICT, json=BODY, headers={"origin": app, **key})
            assert (answer.status_code, answer.headers["access-control-allow-origin"]) == (status, app)
            assert answer.headers["vary"] == "Origin"
            assert "x-request-id" in answer.headers["access-control-expose-headers"]
        foreign = await http.request("OPTIONS", PREDICT, headers={"origin": PAGE, **PREFLIGHT})
        assert foreign.status_code == 204
        served = await http.post(
            PREDICT, json=BODY, headers={"origin": PAGE, "x-api-key": "key-all", "host": "api.example"}
        )
        assert served.status_code == 200
        for answer in (foreign, served):
            assert not [name for name in answer.headers if name.startswith("access-control")]
            assert answer.headers["vary"] == "Origin"


async def test_without_keys_a_configured_page_is_served(tmp_path: Path) -> None:
    page = "http://localhost:3000"
    async with (
        gateway_rig(tmp_path, settings={"cors_origins": page}) as rig,
        httpx2.AsyncClient(base_url=rig.url) as http,
    ):
        answer = await http.post(PREDICT, json=BODY, headers={"origin": page})
        assert (answer.status_code, answer.headers["access-control-allow-origin"]) == (200, page)
        assert (await http.post(PREDICT, json=BODY, headers={"origin": PAGE})).status_code == 403


@pytest.mark.parametrize(
    "origins", ["app.example", "https://app.example/", "https://app.example/x", "https://*.example", "*"]
)
def test_origins_that_are_none_are_refused(tmp_path: Path, origins: str) -> None:
    with pytest.raises(ValidationError, match="MIZZEN_GATEWAY_CORS_ORIGINS"):
        Settings(state=tmp_path, cors_origins=origins)
    if origins == "*":
        Settings(state=tmp_path, cors_origins=origins, api_keys_file=tmp_path / "keys")
