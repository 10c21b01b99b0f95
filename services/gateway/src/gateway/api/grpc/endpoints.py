"""mizzen.gateway.v1.EndpointService and FeatureService."""

import asyncio
from typing import Any

import grpc

from chassis.clock import Clock
from gateway.api.edge import DEFAULT_S, INFER, READ
from gateway.api.grpc.calls import Calls
from gateway.api.grpc.convert import columns, endpoint_message, predict_request, predict_response
from gateway.api.grpc.feature_bytes import read_response
from gateway.api.grpc.feature_request import FeatureRequests, ReadFeatures
from gateway.domain.endpoints import Endpoints
from gateway.domain.ports import Inference
from gateway.domain.predict import Predictor, endpoint_ready
from gateway.domain.read import Reader
from mizzen.gateway.v1 import gateway_pb2 as pb
from mizzen.gateway.v1 import gateway_pb2_grpc


class EndpointServicer(gateway_pb2_grpc.EndpointServiceServicer):
    """What can be predicted, and predict."""

    def __init__(
        self, calls: Calls, endpoints: Endpoints, predictor: Predictor, inference: Inference, clock: Clock
    ) -> None:
        self._calls = calls
        self._endpoints = endpoints
        self._predictor = predictor
        self._inference = inference
        self._clock = clock

    async def Predict(self, request: pb.PredictRequest, context: Any) -> pb.PredictResponse:
        """Entities → features → model → outputs."""
        deadline_s = self._endpoints.deadline_s(request.endpoint, DEFAULT_S)
        with self._calls.open(context, INFER, deadline_s, f"endpoint/{request.endpoint}") as call:
            plan = self._endpoints.get(request.endpoint)
            answer = await self._predictor.predict(call, predict_request(request, plan))
            return predict_response(answer, raw=request.options.encoding == pb.ENCODING_RAW)

    async def ListEndpoints(self, request: pb.ListEndpointsRequest, context: Any) -> pb.ListEndpointsResponse:
        """A page of endpoints."""
        with self._calls.open(context, READ, DEFAULT_S) as call:
            plans, token = self._endpoints.page(request.page_size, request.page_token)
            ready = await asyncio.gather(*(endpoint_ready(self._inference, self._clock, call, p) for p in plans))
            items = [endpoint_message(plan, ready=is_ready) for plan, is_ready in zip(plans, ready, strict=True)]
            return pb.ListEndpointsResponse(items=items, next_page_token=token)

    async def GetEndpoint(self, request: pb.GetEndpointRequest, context: Any) -> pb.Endpoint:
        """One endpoint."""
        with self._calls.open(context, READ, DEFAULT_S) as call:
            plan = self._endpoints.get(request.name)
            return endpoint_message(plan, ready=await endpoint_ready(self._inference, self._clock, call, plan))


class FeatureServicer(gateway_pb2_grpc.FeatureServiceServicer):
    """Feature reads."""

    def __init__(self, calls: Calls, endpoints: Endpoints, reader: Reader) -> None:
        self._calls = calls
        self._endpoints = endpoints
        self._reader = reader

    async def ReadFeatures(self, request: ReadFeatures, context: Any) -> bytes:  # type: ignore[override]
        """Feature rows of entities, serialized."""
        with self._calls.open(context, INFER, DEFAULT_S, "features") as call:
            references, message = request.references, request.message
            entity_fields, input_fields = self._endpoints.fields_of(references)
            entities, rows = columns(message.entities, entity_fields, "entities", None)
            inputs, _ = columns(message.inputs, input_fields, "inputs", rows, nullable=True)
            answer = await self._reader.read(call, references, entities, inputs)
            return read_response(answer, raw=message.encoding == pb.ENCODING_RAW)


def add_features(servicer: FeatureServicer, server: Any) -> None:
    """Registers the service as the generated function would, but for its request and its answer, which is bytes already."""
    read: Any = grpc.unary_unary_rpc_method_handler(servicer.ReadFeatures, FeatureRequests().parse, bytes)
    server.add_registered_method_handlers("mizzen.gateway.v1.FeatureService", {"ReadFeatures": read})
