"""The dialects of the public API: whose protocol a path speaks, and the form that errors have there."""

from collections.abc import Callable
from dataclasses import dataclass

import orjson

from chassis.errors import Code, MizzenError
from chassis.public.http_bounds import Headers
from chassis.public.problem import INTERNAL_TEXT, PROBLEM, headers_of, problem

JSON = b"application/json"


def _oip_error(error: MizzenError, _request_id: str) -> bytes:
    return orjson.dumps({"error": INTERNAL_TEXT if error.code is Code.INTERNAL else error.message})


@dataclass(frozen=True, slots=True)
class Dialect:
    """name: of the protocol's owner, as documents show it; render: an error's body, of media type `error_media`."""

    name: str
    error_media: bytes
    render: Callable[[MizzenError, str], bytes]

    def answer_to(self, error: MizzenError, request_id: str, common: Headers) -> tuple[Headers, bytes]:
        """Headers and body that tell of an error where no handler does; `common` is what every answer carries."""
        told = [
            (b"content-type", self.error_media),
            (b"x-request-id", request_id.encode()),
            *common,
            *headers_of(error),
        ]
        return told, self.render(error, request_id)


MIZZEN = Dialect("mizzen", PROBLEM, problem)
OIP = Dialect("oip", JSON, _oip_error)  # the Open Inference Protocol v2
KSERVE = Dialect("kserve", JSON, _oip_error)  # KServe's additions to it


def dialect_of(raw_path: bytes) -> Dialect:
    """The dialect of a path that the table does not have."""
    return OIP if raw_path.startswith(b"/v2") else MIZZEN
