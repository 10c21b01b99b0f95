"""mizzen.gateway.v1.FeatureService."""

from typing import Any

import grpc

from gateway.api.grpc.calls import Calls
from gateway.api.grpc.columns import columns
from gateway.api.mizzen.features.answer_bytes import read_response
from gateway.api.mizzen.features.request_bytes import FeatureRequests, ReadFeatures
from gateway.domain.endpoints import Endpoints
from gateway.domain.read import MAX_ROWS, Reader
from gateway.domain.rows import Rows
from mizzen.gateway.v1 import gateway_pb2 as pb
from mizzen.gateway.v1 import gateway_pb2_grpc


class FeatureServicer(gateway_pb2_grpc.FeatureServiceServicer):
    """Feature reads."""

    def __init__(self, calls: Calls, endpoints: Endpoints, reader: Reader) -> None:
        self._calls = calls
        self._endpoints = endpoints
        self._reader = reader

    async def ReadFeatures(self, request: ReadFeatures, context: Any) -> bytes:  # type: ignore[override]
        """Feature rows of entities, serialized."""
        with self._calls.open(context, "FeatureService/ReadFeatures") as call:
            references, message = request.references, request.message
            entity_fields, input_fields = self._endpoints.fields_of(references)
            rows = Rows(MAX_ROWS)
            entities = columns(message.entities, entity_fields, "entities", rows)
            inputs = columns(message.inputs, input_fields, "inputs", rows, nullable=True)
            answer = await self._reader.read(call, references, entities, inputs, rows)
            return read_response(answer, raw=message.encoding == pb.ENCODING_RAW)


def add_features(servicer: FeatureServicer, server: Any) -> None:
    """Registers the service as the generated function would, but for its request and its answer, which is bytes already."""
    read: Any = grpc.unary_unary_rpc_method_handler(servicer.ReadFeatures, FeatureRequests().parse, bytes)
    server.add_registered_method_handlers("mizzen.gateway.v1.FeatureService", {"ReadFeatures": read})
