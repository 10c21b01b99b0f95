"""The page of /docs stands alone, and offers bodies that work."""

from collections.abc import Iterator, Mapping
from html.parser import HTMLParser
from typing import Any
from unittest.mock import MagicMock

import pytest
from pydantic import BaseModel

from gateway.api.app import described
from gateway.api.http.docs import TableDocuments
from gateway.api.http.examples import example
from gateway.api.http.page import PATHS, asset
from gateway.api.http.routes import fastapi_of

ENDPOINTS = MagicMock()
ENDPOINTS.examples.return_value = {"late": {"entities": {"tailnum": ["N14228"]}}}
TABLE = described(ENDPOINTS)
BODIES = list(dict.fromkeys(row.body for row in TABLE if row.body is not None))


@pytest.fixture(scope="module")
def shown() -> TableDocuments:
    return TableDocuments(TABLE, fastapi_of(TABLE, MagicMock()))


class References(HTMLParser):
    """Everything that a page points to."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.targets: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.targets += [value or "" for name, value in attrs if name in ("href", "src", "action", "data", "srcset")]


def test_the_page_refers_to_what_is_served_here_and_nothing_else(shown: TableDocuments) -> None:
    text = shown.page.decode()
    targets = References(text).targets
    assert {f"/{target}" for target in targets} == PATHS - {"/docs", "/openapi.json"}
    for target in targets:
        content, media_type = asset(f"/{target}")
        assert len(content) > 100, target
        assert "html" not in media_type, target
    # The validator's badge would be asked for elsewhere.
    assert b"validatorUrl: null" in asset("/docs/start.js")[0]
    assert "//" not in text


def operations(document: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    return (each for methods in document["paths"].values() for each in methods.values())


def test_the_document_is_whole(shown: TableDocuments) -> None:
    document = shown.openapi(told=False)
    assert {(method.upper(), path) for path, methods in document["paths"].items() for method in methods} == {
        (row.method, row.template) for row in TABLE
    }
    for operation in operations(document):
        assert len(operation["summary"]) > 8
        assert "/" not in operation["summary"], "a summary says what a path does"
        for content in operation.get("requestBody", {}).get("content", {}).values():
            assert content["example"]
        for parameter in operation["parameters"]:
            assert parameter.get("description") or parameter["in"] == "path", (operation["summary"], parameter["name"])
    # A wrong body is answered with 400 and a problem document.
    assert "HTTPValidationError" not in document["components"]["schemas"]
    assert document["security"] == [{"key": []}, {}]


def test_errors_have_the_form_of_their_dialect(shown: TableDocuments) -> None:
    document = shown.openapi(told=False)
    for row in TABLE:
        responses = document["paths"][row.template][row.method.lower()]["responses"]
        forms = {media for status, answer in responses.items() if status != "200" for media in answer["content"]}
        assert forms == {row.dialect.error_media.decode()}, row.template


def test_idempotency_and_queries_are_shown_where_the_table_has_them(shown: TableDocuments) -> None:
    document = shown.openapi(told=False)
    for row in TABLE:
        parameters = document["paths"][row.template][row.method.lower()]["parameters"]
        assert {each["name"] for each in parameters if each["in"] == "query"} == set(row.query or ())
        assert ("Idempotency-Key" in {each["name"] for each in parameters}) == row.idempotent


def test_examples_of_deployed_endpoints_are_told_to_who_may_know(shown: TableDocuments) -> None:
    predict = ("paths", "/v1/endpoints/{name}:predict", "post")
    told, untold = shown.openapi(told=True), shown.openapi(told=False)
    for key in predict:
        told, untold = told[key], untold[key]
    examples = told["requestBody"]["content"]["application/json"]["examples"]
    assert examples == {"late": {"summary": "For late", "value": {"entities": {"tailnum": ["N14228"]}}}}
    assert [each["example"] for each in told["parameters"] if each["name"] == "name"] == ["late"]
    assert "late" not in str(untold)


@pytest.mark.parametrize("body", BODIES, ids=lambda body: body.__name__)
def test_each_example_is_a_body(shown: TableDocuments, body: type[BaseModel]) -> None:
    schemas = shown.openapi(told=False)["components"]["schemas"]
    body.model_validate(example(schemas[body.__name__], schemas))
