"""Errors on HTTP: their status, and RFC 9457 problem JSON, the form that our own APIs give them."""

from collections.abc import Mapping
from functools import lru_cache

import orjson

from chassis.errors import BY_CODE, Code, MizzenError

STATUS: Mapping[Code, int] = {
    Code.OK: 200,
    Code.CANCELLED: 499,
    Code.INVALID_ARGUMENT: 400,
    Code.DEADLINE_EXCEEDED: 504,
    Code.NOT_FOUND: 404,
    Code.ALREADY_EXISTS: 409,
    Code.PERMISSION_DENIED: 403,
    Code.RESOURCE_EXHAUSTED: 429,
    Code.FAILED_PRECONDITION: 409,
    Code.ABORTED: 409,
    Code.OUT_OF_RANGE: 400,
    Code.UNIMPLEMENTED: 501,
    Code.INTERNAL: 500,
    Code.UNAVAILABLE: 503,
    Code.DATA_LOSS: 500,
    Code.UNAUTHENTICATED: 401,
}
# Faults of HTTP itself, which gRPC does not have.
BY_REASON: Mapping[str, int] = {
    "METHOD_NOT_ALLOWED": 405,
    "HEAD_TIMEOUT": 408,
    "BODY_TIMEOUT": 408,
    "BODY_TOO_LARGE": 413,
    "UNSUPPORTED_MEDIA_TYPE": 415,
    "HOST_REFUSED": 421,
    "HEADERS_TOO_LARGE": 431,
}
TITLE: Mapping[Code, str] = {
    Code.CANCELLED: "The caller went away",
    Code.INVALID_ARGUMENT: "The request is wrong",
    Code.DEADLINE_EXCEEDED: "Not done in time",
    Code.NOT_FOUND: "There is no such thing",
    Code.ALREADY_EXISTS: "It exists already",
    Code.PERMISSION_DENIED: "Not allowed",
    Code.RESOURCE_EXHAUSTED: "Too much at once",
    Code.FAILED_PRECONDITION: "Not possible in the present state",
    Code.ABORTED: "Another change won",
    Code.OUT_OF_RANGE: "Out of range",
    Code.UNIMPLEMENTED: "Not offered",
    Code.INTERNAL: "Internal error",
    Code.UNAVAILABLE: "Not reachable now",
    Code.DATA_LOSS: "Data is lost",
    Code.UNAUTHENTICATED: "Who are you?",
}
INTERNAL_TEXT = "internal error; the request id finds it in the logs"
PROBLEM = b"application/problem+json"


def status_of(error: MizzenError) -> int:
    """The HTTP status of an error."""
    return BY_REASON.get(error.reason) or STATUS[error.code]


def problem(error: MizzenError, request_id: str) -> bytes:
    """The problem document. An internal error shows no text."""
    if error.reason == "OVERLOADED":
        before, after = _around_request_id(error.code, error.message)
        return before + request_id.encode() + after
    return _rendered(error, request_id)


@lru_cache(maxsize=256)
def _around_request_id(code: Code, message: str) -> tuple[bytes, bytes]:
    """What stands before and after the request id in the document of a refusal, of which there can be thousands a second."""
    before, _, after = _rendered(BY_CODE[code](message, reason="OVERLOADED"), "REQUEST-ID").rpartition(b"REQUEST-ID")
    return before, after


def _rendered(error: MizzenError, request_id: str) -> bytes:
    detail = INTERNAL_TEXT if error.code is Code.INTERNAL else error.message
    body: dict[str, object] = {
        "type": f"https://mizzen.dev/errors#{error.code.value.lower()}",
        "title": TITLE[error.code],
        "status": status_of(error),
        "detail": detail,
        "code": error.code.value,
        "reason": error.reason,
        "request_id": request_id,
    }
    if error.field:
        body["field"] = error.field
    if error.ids:
        body["ids"] = dict(error.ids)
    return orjson.dumps(body)


def headers_of(error: MizzenError) -> list[tuple[bytes, bytes]]:
    """Headers of what the error says beside its text: Retry-After, whole seconds and at least one, where it knows when to come
    back; and what to show of a caller who is not known, as RFC 9110 (15.5.2) demands."""
    told = []
    if error.told_after_s is not None:
        told.append((b"retry-after", str(max(1, round(error.told_after_s))).encode()))
    if error.code is Code.UNAUTHENTICATED:
        told.append((b"www-authenticate", b"Bearer"))
    return told
