"""The page of /docs stands alone, and shows everything that the document says."""

from html.parser import HTMLParser
from typing import Any

import httpx2
import pytest
from pydantic import BaseModel

from gateway.api.rest.docs import BODIES, documents
from gateway.api.rest.http import Http
from gateway.api.rest.page import example, page
from gateway.api.rest.routes import Path


async def serves(http: Http) -> None:
    """Says <b>something</b>."""


@pytest.fixture(scope="module")
def app() -> Any:
    return documents([Path(method, template, serves, "") for method, template in BODIES])


class References(HTMLParser):
    """Everything that a page points to, and its anchors."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.targets: list[str] = []
        self.anchors: set[str] = set()
        self.tags: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        for name, value in attrs:
            if name in ("href", "src", "action", "data", "srcset", "content") and value != "width=device-width":
                self.targets.append(value or "")
            if name == "id":
                self.anchors.add(value or "")


async def test_the_page_refers_to_nothing_outside(app: Any) -> None:
    async with httpx2.AsyncClient(transport=httpx2.ASGITransport(app), base_url="http://mizzen") as http:
        answer = await http.get("/docs")
    found = References(answer.text)
    assert set(found.targets) - {"openapi.json"} <= {f"#{anchor}" for anchor in found.anchors}
    assert not found.tags & {"script", "link", "img", "iframe", "object"}
    assert "//" not in answer.text
    assert "url(" not in answer.text
    assert answer.headers["content-security-policy"].startswith("default-src 'none'")


def test_every_operation_and_schema_is_shown(app: Any) -> None:
    document = app.openapi()
    text = page(document)
    for operation in (each for methods in document["paths"].values() for each in methods.values()):
        assert f'id="{operation["operationId"]}"' in text
    for name in document["components"]["schemas"]:
        assert f'id="schema-{name}"' in text
    assert "Says &lt;b&gt;something" in text
    assert "Never called" not in text
    assert "HTTPValidationError" not in text  # a wrong body is answered with 400 and a problem document


@pytest.mark.parametrize(
    "body", dict.fromkeys(body for body, _ in BODIES.values() if body), ids=lambda body: body.__name__
)
def test_each_example_is_a_body(app: Any, body: type[BaseModel]) -> None:
    schemas = app.openapi()["components"]["schemas"]
    body.model_validate(example(schemas[body.__name__], schemas))
