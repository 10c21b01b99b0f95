"""The page of /docs stands alone, and offers bodies that work."""

from html.parser import HTMLParser
from typing import Any

import httpx2
import pytest
from pydantic import BaseModel

from gateway.api.rest.docs import BODIES, documents
from gateway.api.rest.examples import example
from gateway.api.rest.http import Http
from gateway.api.rest.page import PATHS, asset
from gateway.api.rest.routes import Path


async def serves(http: Http) -> None:
    """Says <b>something</b>."""


@pytest.fixture(scope="module")
def app() -> Any:
    return documents([Path(method, template, serves, "", "read") for method, template in BODIES])


class References(HTMLParser):
    """Everything that a page points to."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.targets: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.targets += [value or "" for name, value in attrs if name in ("href", "src", "action", "data", "srcset")]


async def test_the_page_refers_to_what_is_served_here_and_nothing_else(app: Any) -> None:
    async with httpx2.AsyncClient(transport=httpx2.ASGITransport(app), base_url="http://mizzen") as http:
        answer = await http.get("/docs")
        targets = References(answer.text).targets
        assert {f"/{target}" for target in targets} == PATHS - {"/docs", "/openapi.json"}
    for target in targets:
        content, media_type = asset(f"/{target}")
        assert len(content) > 100, target
        assert "html" not in media_type, target
    # The validator's badge would be asked for elsewhere.
    assert b"validatorUrl: null" in asset("/docs/start.js")[0]
    assert "//" not in answer.text
    policy = answer.headers["content-security-policy"]
    assert policy.startswith("default-src 'none'; script-src 'self';")
    assert "connect-src 'self'" in policy


def test_the_document_is_whole(app: Any) -> None:
    document = app.openapi()
    assert not set(document["paths"]) & PATHS
    for operation in (each for methods in document["paths"].values() for each in methods.values()):
        assert operation["summary"] == "Says <b>something</b>."
        for content in operation.get("requestBody", {}).get("content", {}).values():
            assert content["example"]
    # A wrong body is answered with 400 and a problem document.
    assert "HTTPValidationError" not in document["components"]["schemas"]
    assert document["security"] == [{"key": []}, {}]


@pytest.mark.parametrize(
    "body", dict.fromkeys(body for body, _ in BODIES.values() if body), ids=lambda body: body.__name__
)
def test_each_example_is_a_body(app: Any, body: type[BaseModel]) -> None:
    schemas = app.openapi()["components"]["schemas"]
    body.model_validate(example(schemas[body.__name__], schemas))
