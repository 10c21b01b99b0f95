"""Errors of the admin API: problem documents, whoever finds the fault."""

from dataclasses import asdict
from typing import Any

import orjson
from fastapi import Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException

from chassis.errors import Internal, InvalidArgument, MizzenError, NotFound
from chassis.public.problem import PROBLEM, headers_of, problem, status_of
from chassis.public.validation import refusal
from chassis.telemetry.logs import logger
from control.domain.definitions import DefinitionsRefused

_LOG = logger("control.api.admin")


def answer(error: MizzenError, request_id: str) -> tuple[int, list[tuple[bytes, bytes]], bytes]:
    """Status, headers and body."""
    body = problem(error, request_id)
    if isinstance(error, DefinitionsRefused):
        body = orjson.dumps({**orjson.loads(body), "faults": [asdict(fault) for fault in error.faults]})
    return status_of(error), [(b"content-type", PROBLEM), *headers_of(error)], body


def answered(request: Request, error: Exception) -> Response:
    """The same for FastAPI."""
    found = translated(error)
    if isinstance(found, Internal):
        _LOG.error("unexpected error", request_id=request.state.request_id, path=request.url.path, exc_info=error)
    status, headers, body = answer(found, request.state.request_id)
    response = Response(body, status)
    response.raw_headers[:0] = headers
    return response


def translated(error: Exception) -> MizzenError:
    """What FastAPI and Starlette raise, in our words."""
    if isinstance(error, MizzenError):
        return error
    if isinstance(error, RequestValidationError):
        return _invalid(error.errors()[0])
    if isinstance(error, HTTPException) and error.status_code == 404:
        return NotFound("there is no such path; /openapi.json lists them", reason="PATH_NOT_FOUND")
    if isinstance(error, HTTPException) and error.status_code == 405:
        allow = (error.headers or {}).get("Allow", "")
        message = f"this path takes {allow}" if allow else "this path does not take this method"
        return InvalidArgument(message, reason="METHOD_NOT_ALLOWED", ids={"allow": allow})
    return Internal("unexpected", reason="INTERNAL")


def _invalid(found: Any) -> InvalidArgument:
    if found["type"] == "json_invalid":
        return InvalidArgument(f"the body is no JSON: {found['ctx']['error']}", reason="INVALID_JSON")
    # The first step says where it stands: in the body, the path, the query.
    return refusal(found, found["loc"][1:])
