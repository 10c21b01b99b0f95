"""Opening a gRPC call: metadata → Call, errors with their request id."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from chassis.errors import MizzenError
from gateway.api.edge import Edge, bearer
from gateway.domain.model import Call


class Calls:
    """Shared by all servicers."""

    def __init__(self, edge: Edge) -> None:
        self._edge = edge

    @contextmanager
    def open(self, context: Any, scope: str, default_s: float) -> Iterator[Call]:
        """The call; what is raised inside leaves with the request id among its ids."""
        request_id = self._edge.new_id()
        metadata: dict[str, Any] = dict(context.invocation_metadata() or ())
        context.set_trailing_metadata((("x-request-id", request_id),))
        try:
            yield self._edge.open(
                request_id,
                bearer(_text(metadata, "authorization"), _text(metadata, "x-api-key")),
                scope,
                _timeout_s(context, default_s),
                client_request_id=_text(metadata, "x-request-id"),
                traceparent=_text(metadata, "traceparent")[:64],
            )
        except MizzenError as error:
            error.ids = {**error.ids, "request_id": request_id}
            raise


def _text(metadata: dict[str, Any], key: str) -> str:
    value = metadata.get(key, "")
    return value if isinstance(value, str) else ""


def _timeout_s(context: Any, default_s: float) -> float:
    left: float | None = context.time_remaining()
    # Without a deadline grpc answers none, or one that lies years ahead.
    return default_s if left is None or left > 3600 else left
