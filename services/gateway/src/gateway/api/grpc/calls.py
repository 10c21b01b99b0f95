"""Opening a gRPC call: metadata → Call, errors with their request id."""

from collections.abc import Callable, Iterable
from types import TracebackType
from typing import Any

from chassis.api_keys import bearer
from chassis.errors import MizzenError
from gateway.api.edge import Edge
from gateway.api.http.path import Path
from gateway.domain.model import Call

_STREAM_S = 3600.0


class Calls:
    """Opens the calls of all servicers, each by its row in the table of paths: scope, deadline and admission are those of REST."""

    def __init__(self, edge: Edge, table: Iterable[Path]) -> None:
        self._edge = edge
        self._rows = {row.grpc.rpartition(".")[2]: row for row in table if row.scope is not None}

    def open(self, context: Any, rpc: str, **params: str) -> "Opened":
        """Gives the call when entered (see Edge.open); what is raised inside leaves with the request id among its ids.

        rpc: `EndpointService/Predict`; params: those of the row's path that its deadline or place is made of.
        """
        row = self._rows[rpc]
        assert row.scope is not None  # noqa: S101 - such rows are left out
        return Opened(self._edge, context, row.scope, row.seconds(params), row.place_of(params))

    def open_stream(self, context: Any, scope: str) -> "Opened":
        """The same for a stream, which no path has."""
        return Opened(self._edge, context, scope, _STREAM_S, None)


def admitting(edge: Edge) -> Callable[[Any], None]:
    """What raises Unauthenticated for a caller without a key that holds, told before the body is read."""

    def admit(context: Any) -> None:
        metadata: dict[str, Any] = dict(context.invocation_metadata() or ())
        try:
            edge.known(_credential(metadata))
        except MizzenError as error:
            error.ids = {**error.ids, "request_id": edge.new_id()}
            raise

    return admit


class Opened:
    """A call's surroundings, for `with`: a generator would cost as much as all that it does."""

    __slots__ = ("_call", "_context", "_default_s", "_edge", "_endpoint", "_request_id", "_scope")

    def __init__(self, edge: Edge, context: Any, scope: str, default_s: float, endpoint: str | None) -> None:
        self._edge = edge
        self._context = context
        self._scope = scope
        self._default_s = default_s
        self._endpoint = endpoint
        self._call: Call | None = None
        self._request_id = edge.new_id()

    def __enter__(self) -> Call:
        context, request_id = self._context, self._request_id
        metadata: dict[str, Any] = dict(context.invocation_metadata() or ())
        context.set_trailing_metadata((("x-request-id", request_id),))
        try:
            self._call = self._edge.open(
                request_id,
                _credential(metadata),
                self._scope,
                _timeout_s(context, self._default_s),
                client_request_id=_text(metadata, "x-request-id"),
                traceparent=_text(metadata, "traceparent")[:64],
                endpoint=self._endpoint,
            )
            return self._call
        except MizzenError as error:
            self._name(error)
            raise

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._call is not None:
            self._call.leave(ok=error is None)
        if isinstance(error, MizzenError):
            self._name(error)

    def _name(self, error: MizzenError) -> None:
        error.ids = {**error.ids, "request_id": self._request_id}


def _credential(metadata: dict[str, Any]) -> str | None:
    return bearer(_text(metadata, "authorization"), _text(metadata, "x-api-key"))


def _text(metadata: dict[str, Any], key: str) -> str:
    value = metadata.get(key, "")
    return value if isinstance(value, str) else ""


def _timeout_s(context: Any, default_s: float) -> float:
    left: float | None = context.time_remaining()
    # Without a deadline grpc answers none, or one that lies years ahead.
    return default_s if left is None or left > 3600 else left
