"""The admin API as one FastAPI app behind its guard."""

from importlib.metadata import version
from typing import Any

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from fastapi_offline import FastAPIOffline
from starlette.exceptions import HTTPException

from chassis.clock import RequestIds
from chassis.errors import MizzenError
from chassis.public.browsers import Browsers
from control.api.admin import audit, definitions, keys
from control.api.admin.guard import Guard
from control.api.admin.problems import answered
from control.api.admin.schema import Problem
from control.domain.access import Access
from control.domain.definitions import Editing
from control.domain.keys import KeyRing
from control.domain.ports import AuditLog

_ERRORS: dict[int | str, dict[str, Any]] = {
    status: {
        "description": words,
        "content": {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}},
    }
    for status, words in (
        (400, "The request is wrong"),
        (401, "No key, or one that is not known here"),
        (403, "The key lacks the scope admin"),
        (404, "There is no such thing"),
        (409, "Not possible in the present state"),
        (413, "The body is too large"),
        (415, "A body of another type"),
        (503, "A dependency cannot be reached now"),
    )
}


def admin_app(
    ring: KeyRing,
    editing: Editing,
    log: AuditLog,
    access: Access,
    browsers: Browsers,
    ids: RequestIds,
    max_body_bytes: int,
) -> Guard:
    """All paths of the admin API."""
    app: FastAPI = FastAPIOffline(
        title="Mizzen admin API",
        version=version("mizzen-control"),
        description="API keys, definitions and the audit log. Every path under /admin/ asks for a key with the scope `admin`.",
        redoc_url=None,
        responses=_ERRORS,
        separate_input_output_schemas=False,
    )
    for routes in (keys.routes(ring), definitions.routes(editing), audit.routes(log)):
        app.include_router(routes)
    for kind in (MizzenError, RequestValidationError, HTTPException, Exception):
        app.add_exception_handler(kind, answered)
    _with_problem(app)
    return Guard(app, access, browsers, ids, max_body_bytes)


def _with_problem(app: FastAPI) -> None:
    """The document as FastAPI makes it, with the form of every error and how to show a key; FastAPI's own form of errors goes."""
    made = app.openapi()
    schemas = made["components"]["schemas"]
    for unused in ("HTTPValidationError", "ValidationError"):
        schemas.pop(unused, None)
    problem = Problem.model_json_schema(ref_template="#/components/schemas/{model}")
    schemas.update(problem.pop("$defs", {}))
    schemas["Problem"] = problem
    made["components"]["securitySchemes"] = {"key": {"type": "http", "scheme": "bearer"}}
    made["security"] = [{"key": []}]
    for path in made["paths"].values():
        for operation in path.values():
            operation["responses"].pop("422", None)
