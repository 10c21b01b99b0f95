"""mizzen.features.v1.FeaturesService."""

from typing import Any

import grpc

from chassis.clock import Clock
from chassis.errors import MizzenError
from chassis.rpc.envelope import Call, open_envelope
from chassis.rpc.identity import Verifier
from chassis.telemetry.logs import logger
from features.api.convert import read_response, to_feature_view, to_query, to_rows, to_write_response
from features.domain.model import Answer, Query, Rows, Written
from features.domain.read import Reader
from features.domain.write import Writer
from mizzen.features.v1 import features_pb2 as pb

NAME = "mizzen.features.v1.FeaturesService"
_LOG = logger("features.api")


class FeaturesServicer:
    """Opens each item's envelope, asks the domain, answers item by item."""

    def __init__(self, reader: Reader, writer: Writer, verifier: Verifier, clock: Clock) -> None:
        self._reader = reader
        self._writer = writer
        self._verifier = verifier
        self._clock = clock

    async def Read(self, request: pb.ReadRequest, _context: Any) -> bytes:
        """A serialized ReadResponse with one result an item."""
        outcomes: list[Answer | Exception | None] = []
        queries: list[Query] = []
        deadline = 0.0
        now_us = self._clock.now_us()
        for item in request.items:
            try:
                call = open_envelope(item.envelope, self._verifier, self._clock)
                queries.append(to_query(item, call.identity.tenant, now_us))
            except MizzenError as error:
                outcomes.append(error)
                continue
            deadline = max(deadline, call.deadline)
            outcomes.append(None)
        answers = iter(await self._reader.read(queries, deadline - self._clock.monotonic_s()))
        found = [next(answers) if outcome is None else outcome for outcome in outcomes]
        if any(not isinstance(one, Answer) for one in found):
            _log_unexpected(found, [item.envelope.request_id for item in request.items])
        return read_response(found, request.items)

    async def Write(self, request: pb.WriteRequest, _context: Any) -> pb.WriteResponse:
        """One outcome an item."""
        outcomes = [await self._write(item) for item in request.items]
        request_ids = [item.envelope.request_id for item in request.items]
        _log_unexpected(outcomes, request_ids)
        return to_write_response(outcomes, request_ids)

    async def _write(self, item: pb.WriteItem) -> Written | Exception:
        try:
            call: Call = open_envelope(item.envelope, self._verifier, self._clock)
            rows: Rows = to_rows(item, call.identity.tenant)
        except MizzenError as error:
            return error
        return await self._writer.write(rows, call.remaining_s(self._clock))

    async def ListFeatureViews(self, request: pb.ListFeatureViewsRequest, _context: Any) -> pb.ListFeatureViewsResponse:
        """Views by name."""
        open_envelope(request.envelope, self._verifier, self._clock)
        views = self._reader.definitions.views
        return pb.ListFeatureViewsResponse(views=[to_feature_view(views[name]) for name in sorted(views)])


def _log_unexpected(outcomes: list[Any], request_ids: list[str]) -> None:
    for outcome, request_id in zip(outcomes, request_ids, strict=True):
        if isinstance(outcome, Exception) and not isinstance(outcome, MizzenError):
            _LOG.error("unexpected error", request_id=request_id, exc_info=outcome)


def add_features(servicer: FeaturesServicer, server: Any) -> None:
    """Registers the service as the generated function would, but for Read, whose answer is bytes already."""
    unary: Any = grpc.unary_unary_rpc_method_handler
    server.add_registered_method_handlers(
        NAME,
        {
            "Read": unary(servicer.Read, pb.ReadRequest.FromString, bytes),
            "Write": unary(servicer.Write, pb.WriteRequest.FromString, pb.WriteResponse.SerializeToString),
            "ListFeatureViews": unary(
                servicer.ListFeatureViews,
                pb.ListFeatureViewsRequest.FromString,
                pb.ListFeatureViewsResponse.SerializeToString,
            ),
        },
    )
