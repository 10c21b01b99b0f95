"""OpenAPI of the table of paths, which FastAPI makes."""

import copy
import inspect
import re
from collections.abc import Mapping, Sequence
from typing import Any

from fastapi import FastAPI
from pydantic import BaseModel

from chassis.public.problem import PROBLEM
from gateway.api.http import schema as http_schema
from gateway.api.http.dialects import MIZZEN
from gateway.api.http.examples import example
from gateway.api.http.page import page
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
    """What /docs and /openapi.json show of a table."""

    def __init__(self, paths: Sequence[Path]) -> None:
        self._paths = paths
        app = documents(paths)
        self.page = page(app.title).encode()
        self._document: dict[str, Any] = app.openapi()

    def openapi(self, *, told: bool) -> Mapping[str, Any]:
        """The document; see gateway.api.http.paths.Documents."""
        if not told:
            return self._document
        shown = copy.deepcopy(self._document)
        for path in self._paths:
            examples = path.examples() if path.examples is not None else {}
            if examples:
                _illustrate(shown["paths"][path.template][path.method.lower()], examples)
        return shown


def _illustrate(operation: dict[str, Any], examples: Mapping[str, Any]) -> None:
    content = operation["requestBody"]["content"]["application/json"]
    content.pop("example", None)
    content["examples"] = {name: {"summary": f"For {name}", "value": body} for name, body in examples.items()}
    first = next(each for each in operation["parameters"] if each["in"] == "path")
    first["example"] = next(iter(examples))


def documents(paths: Sequence[Path]) -> FastAPI:
    """The table as a FastAPI app, which makes the OpenAPI document and serves no request."""
    app = FastAPI(title="Mizzen", version="0.1.0", description=_DESCRIPTION, docs_url=None, redoc_url=None)
    for path in paths:
        wrong: type[BaseModel] = http_schema.Problem if path.dialect is MIZZEN else http_schema.OipError
        app.add_api_route(
            path.template,
            _described(path, path.body),
            methods=[path.method],
            summary=path.summary,
            response_model=path.answer,
            responses={**{status: {"model": wrong} for status in _ERRORS}, "default": {"model": wrong}},
            tags=[path.template.split("/")[2].split(":")[0] if path.template.count("/") > 1 else "v2"],
            operation_id=re.sub(r"\W+", "_", f"{path.method} {path.template}").strip("_").lower(),
            openapi_extra={"parameters": _parameters(path)},
        )
    app.openapi_schema = _finished(app.openapi())
    return app


def _finished(document: dict[str, Any]) -> dict[str, Any]:
    """With a body to begin with for each operation, errors as the media type that they have, and how callers prove who they are."""
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


def _described(path: Path, request: type[BaseModel] | None) -> Any:
    async def described(**_: Any) -> None:
        return None  # never called: the table of paths answers before

    keyword = inspect.Parameter.KEYWORD_ONLY
    parameters = [inspect.Parameter(name, keyword, annotation=str) for name in re.findall(r"\{(\w+)\}", path.template)]
    if request is not None:
        parameters.append(inspect.Parameter("body", keyword, annotation=request))
    described.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    return described


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
