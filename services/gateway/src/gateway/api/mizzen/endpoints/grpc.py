"""mizzen.gateway.v1.EndpointService."""

import asyncio
from typing import Any

from gateway.api.grpc.calls import Calls
from gateway.api.mizzen.endpoints.messages import endpoint_message, predict_request, predict_response
from gateway.domain.endpoints import Endpoints
from gateway.domain.predict import Predictor
from mizzen.gateway.v1 import gateway_pb2 as pb
from mizzen.gateway.v1 import gateway_pb2_grpc


class EndpointServicer(gateway_pb2_grpc.EndpointServiceServicer):
    """What can be predicted, and predict."""

    def __init__(self, calls: Calls, endpoints: Endpoints, predictor: Predictor) -> None:
        self._calls = calls
        self._endpoints = endpoints
        self._predictor = predictor

    async def Predict(self, request: pb.PredictRequest, context: Any) -> pb.PredictResponse:
        """Entities → features → model → outputs."""
        with self._calls.open(context, "EndpointService/Predict", name=request.endpoint) as call:
            plan = self._endpoints.runnable(request.endpoint)
            answer = await self._predictor.predict(call, plan, predict_request(request, plan))
            return predict_response(answer, raw=request.options.encoding == pb.ENCODING_RAW)

    async def ListEndpoints(self, request: pb.ListEndpointsRequest, context: Any) -> pb.ListEndpointsResponse:
        """A page of endpoints."""
        with self._calls.open(context, "EndpointService/ListEndpoints") as call:
            plans, token = self._endpoints.page(request.page_size, request.page_token)
            ready = await asyncio.gather(*(self._predictor.ready(call, p) for p in plans))
            items = [endpoint_message(plan, ready=is_ready) for plan, is_ready in zip(plans, ready, strict=True)]
            return pb.ListEndpointsResponse(items=items, next_page_token=token)

    async def GetEndpoint(self, request: pb.GetEndpointRequest, context: Any) -> pb.Endpoint:
        """One endpoint."""
        with self._calls.open(context, "EndpointService/GetEndpoint") as call:
            plan = self._endpoints.get(request.name)
            return endpoint_message(plan, ready=await self._predictor.ready(call, plan))
