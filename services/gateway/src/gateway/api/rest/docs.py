"""OpenAPI of the table of paths. FastAPI makes the document; it serves no other request than that and its page."""

import inspect
import re
from collections.abc import Mapping, Sequence
from typing import Any

from fastapi import FastAPI
from fastapi.responses import HTMLResponse
from pydantic import BaseModel

from gateway.api.rest import schema, schema_collections
from gateway.api.rest.examples import example
from gateway.api.rest.page import POLICY, page
from gateway.api.rest.routes import Path

# Template → (request body, answer).
BODIES: Mapping[tuple[str, str], tuple[type[BaseModel] | None, type[BaseModel]]] = {
    ("GET", "/v1/endpoints"): (None, schema.EndpointList),
    ("GET", "/v1/endpoints/{name}"): (None, schema.Endpoint),
    ("POST", "/v1/endpoints/{name}:predict"): (schema.PredictRequest, schema.PredictResponse),
    ("GET", "/v1/endpoints/{name}/report"): (None, schema.Report),
    ("POST", "/v1/features:read"): (schema.ReadFeaturesRequest, schema.ReadFeaturesResponse),
    ("GET", "/v1/models"): (None, schema.Models),
    ("GET", "/v1/models/{model}"): (None, schema.ModelReady),
    ("GET", "/v1/collections"): (None, schema_collections.CollectionList),
    ("POST", "/v1/collections/{name}:search"): (schema_collections.SearchRequest, schema_collections.SearchResponse),
    ("POST", "/v1/collections/{name}:ask"): (schema_collections.AskRequest, schema_collections.AskResponse),
    ("POST", "/v1/collections/{name}/documents"): (schema_collections.UpsertRequest, schema_collections.UpsertResponse),
    ("GET", "/v1/collections/{name}/documents"): (None, schema_collections.DocumentList),
    ("GET", "/v1/collections/{name}/documents/{id}"): (None, schema_collections.Document),
    ("DELETE", "/v1/collections/{name}/documents/{id}"): (None, schema_collections.DeleteResponse),
    ("POST", "/v1/labels"): (schema.LabelsRequest, schema.LabelsResponse),
    ("GET", "/v2"): (None, schema.ServerMetadata),
    ("GET", "/v2/health/live"): (None, schema.Live),
    ("GET", "/v2/health/ready"): (None, schema.Ready),
    ("GET", "/v2/models"): (None, schema.ModelNames),
    ("GET", "/v2/models/{model}"): (None, schema.ModelMetadata),
    ("GET", "/v2/models/{model}/versions/{version}"): (None, schema.ModelMetadata),
    ("GET", "/v2/models/{model}/ready"): (None, schema.ModelReady),
    ("GET", "/v2/models/{model}/versions/{version}/ready"): (None, schema.ModelReady),
    ("POST", "/v2/models/{model}/infer"): (schema.InferRequest, schema.InferResponse),
    ("POST", "/v2/models/{model}/versions/{version}/infer"): (schema.InferRequest, schema.InferResponse),
}
_QUERIES: Mapping[str, Sequence[str]] = {
    "/v1/endpoints": ("page_size", "page_token"),
    "/v1/collections": ("page_size", "page_token"),
    "/v1/collections/{name}/documents": ("page_size", "page_token"),
    "/v1/endpoints/{name}/report": ("format", "from", "to"),
}
_DESCRIPTION = (
    "Online features, inference, retrieval and monitoring behind one door. Errors are RFC 9457 problem documents;"
    " lists answer `items` and `next_page_token`; writes take `Idempotency-Key`."
)
_HEADERS = (
    ("x-request-timeout-ms", "Deadline, milliseconds; each hop inside gets what is left."),
    ("x-request-id", "Kept beside the server's own id, which the answer carries in the same header."),
)
_ERRORS = (400, 401, 403, 404, 409, 429, 503, 504)


def documents(paths: Sequence[Path]) -> FastAPI:
    """The app of /docs and /openapi.json."""
    app = FastAPI(
        title="Mizzen",
        version="0.1.0",
        description=_DESCRIPTION,
        docs_url=None,
        redoc_url=None,
    )
    for path in paths:
        request, answer = BODIES[path.method, path.template]
        wrong: type[BaseModel] = schema.OipError if path.template.startswith("/v2") else schema.Problem
        app.add_api_route(
            path.template,
            _described(path, request),
            methods=[path.method],
            summary=(path.handler.__doc__ or "").strip().splitlines()[0],
            response_model=answer,
            responses={**{status: {"model": wrong} for status in _ERRORS}, "default": {"model": wrong}},
            tags=[path.template.split("/")[2].split(":")[0] if path.template.count("/") > 1 else "v2"],
            operation_id=re.sub(r"\W+", "_", f"{path.method} {path.template}").strip("_").lower(),
            openapi_extra={"parameters": _parameters(path)},
        )

    # Not FastAPI's own page: that one loads its scripts from elsewhere.
    @app.get("/docs", include_in_schema=False)
    async def shown() -> HTMLResponse:
        return HTMLResponse(page(app.title), headers={"content-security-policy": POLICY})

    app.openapi_schema = _finished(app.openapi())
    return app


def _finished(document: dict[str, Any]) -> dict[str, Any]:
    """With a body to begin with for each operation, and how callers prove who they are."""
    components = document.setdefault("components", {})
    schemas = components.get("schemas", {})
    for operation in (each for methods in document["paths"].values() for each in methods.values()):
        for content in operation.get("requestBody", {}).get("content", {}).values():
            content["example"] = example(content["schema"], schemas)
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
    names = _QUERIES.get(path.template, ()) if path.method == "GET" else ()
    found: list[dict[str, Any]] = [
        {"name": name, "in": "query", "required": False, "schema": {"type": "string"}} for name in names
    ]
    for name, description in _HEADERS:
        found.append(
            {"name": name, "in": "header", "required": False, "schema": {"type": "string"}, "description": description}
        )
    if (
        path.method in ("POST", "DELETE") and path.owner == "mizzen" and "labels" in path.template + path.grpc.lower()
    ) or ("documents" in path.template and path.method != "GET"):
        found.append(_KEY)
    return found


_KEY = {
    "name": "Idempotency-Key",
    "in": "header",
    "required": False,
    "schema": {"type": "string", "maxLength": 200},
    "description": "The same key and body within 24 h get the first answer again; another body gets 409.",
}
