"""What /docs and /openapi.json show: the FastAPI application's own OpenAPI, with examples and errors as they are."""

import asyncio
import copy
import re
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from fastapi import FastAPI, Response
from pydantic import BaseModel

from chassis.public.problem import PROBLEM
from gateway.api.http import schema as http_schema
from gateway.api.http.dialects import MIZZEN
from gateway.api.http.examples import example
from gateway.api.http.given import Told
from gateway.api.http.page import ASSETS, POLICY, asset, page
from gateway.api.http.path import Path

_DESCRIPTION = (
    "Online features, inference, retrieval and monitoring behind one door. Errors are RFC 9457 problem documents;"
    " lists answer `items` and `next_page_token`; writes take `Idempotency-Key`."
)
_HEADERS = (
    ("x-request-timeout-ms", "Deadline, milliseconds; each hop inside gets what is left."),
    ("x-request-id", "Kept beside the server's own id, which the answer carries in the same header."),
)
_ERRORS = (400, 401, 403, 404, 409, 429, 503, 504)


class TableDocuments:
    """What /docs and /openapi.json show of a table, as its FastAPI application knows it."""

    def __init__(self, rows: Sequence[Path], api: FastAPI) -> None:
        self._rows = rows
        self.page = page(api.title).encode()
        self._document = _finished(api.openapi())

    def openapi(self, *, told: bool) -> Mapping[str, Any]:
        """The OpenAPI document; with the deployed endpoints' own examples where the caller may be `told` of them."""
        if not told:
            return self._document
        shown = copy.deepcopy(self._document)
        for row in self._rows:
            examples = row.examples() if row.examples is not None else {}
            if examples:
                _illustrate(shown["paths"][row.template][row.method.lower()], examples)
        return shown


class DocumentPaths:
    """Handlers of /docs and /openapi.json, which are open to all."""

    def __init__(self, make: Callable[[], TableDocuments]) -> None:
        """`make`: half a second of work, done in a thread when somebody first asks."""
        self._make = make
        self._made: TableDocuments | None = None

    def rows(self) -> list[Path]:
        """Beside the table: no documents show these."""
        get = partial(Path, "GET", grpc="–", scope=None)
        pages = [get("/docs", self.page), get("/openapi.json", self.openapi)]
        return [*pages, *(get(path, partial(self.asset, path)) for path in ASSETS)]

    async def page(self) -> Response:
        """The page."""
        policy = {"content-security-policy": POLICY}
        return Response((await self._documents()).page, media_type="text/html", headers=policy)

    async def openapi(self, told: Told) -> Mapping[str, Any]:
        """The document. Which endpoints are deployed is for callers with a key to know."""
        return (await self._documents()).openapi(told=told)

    @staticmethod
    async def asset(path: str) -> Response:
        """What the page loads."""
        content, media_type = asset(path)
        return Response(content, headers={"content-type": media_type, "x-content-type-options": "nosniff"})

    async def _documents(self) -> TableDocuments:
        if self._made is None:
            self._made = await asyncio.to_thread(self._make)
        return self._made


def _illustrate(operation: dict[str, Any], examples: Mapping[str, Any]) -> None:
    content = operation["requestBody"]["content"]["application/json"]
    content.pop("example", None)
    content["examples"] = {name: {"summary": f"For {name}", "value": body} for name, body in examples.items()}
    first = next(each for each in operation["parameters"] if each["in"] == "path")
    first["example"] = next(iter(examples))


def operation(row: Path) -> dict[str, Any]:
    """What FastAPI's `add_api_route` is told for documents."""
    if row.answer is None:
        return {"include_in_schema": False, "response_model": None}
    wrong: type[BaseModel] = http_schema.Problem if row.dialect is MIZZEN else http_schema.OipError
    return {
        "summary": row.summary,
        "response_model": row.answer,
        "responses": {**{status: {"model": wrong} for status in _ERRORS}, "default": {"model": wrong}},
        "tags": [row.template.split("/")[2].split(":")[0] if row.template.count("/") > 1 else "v2"],
        "operation_id": re.sub(r"\W+", "_", f"{row.method} {row.template}").strip("_").lower(),
        "openapi_extra": {"parameters": _parameters(row)},
    }


def _finished(document: dict[str, Any]) -> dict[str, Any]:
    """With a body to begin with for each operation, errors as the media type that they have, and how callers prove who they are."""
    document["info"]["description"] = _DESCRIPTION
    components = document.setdefault("components", {})
    schemas = components.get("schemas", {})
    problem = {"$ref": "#/components/schemas/Problem"}
    for operation in (each for methods in document["paths"].values() for each in methods.values()):
        for content in operation.get("requestBody", {}).get("content", {}).values():
            content["example"] = example(content["schema"], schemas)
        for answer in operation["responses"].values():
            if answer.get("content", {}).get("application/json", {}).get("schema") == problem:
                answer["content"] = {PROBLEM.decode(): {"schema": problem}}
    components["securitySchemes"] = {
        "key": {"type": "http", "scheme": "bearer", "description": "An API key; not needed on a loopback without keys."}
    }
    document["security"] = [{"key": []}, {}]
    return document


def _parameters(path: Path) -> list[dict[str, Any]]:
    query = (path.query or {}).items()
    asked = [("query", name, description) for name, description in query]
    asked += [("header", name, description) for name, description in _HEADERS]
    found: list[dict[str, Any]] = [
        {"name": name, "in": where, "required": False, "schema": {"type": "string"}, "description": description}
        for where, name, description in asked
    ]
    return [*found, _KEY] if path.idempotent else found


_KEY = {
    "name": "Idempotency-Key",
    "in": "header",
    "required": False,
    "schema": {"type": "string", "maxLength": 200},
    "description": "The same key and body within 24 h get the first answer again; another body gets 409.",
}
