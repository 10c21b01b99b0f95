"""inference.GRPCInferenceService: the core of the Open Inference Protocol. Admin methods stay closed (UNIMPLEMENTED)."""

from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Any

from tritonclient.grpc import service_pb2, service_pb2_grpc

from chassis.errors import MizzenError
from gateway.api.edge import INFER
from gateway.api.grpc.calls import Calls
from gateway.api.oip.messages import infer_request, infer_response
from gateway.domain.infer import Inferrer
from gateway.domain.inference import InferRequest

oip: Any = service_pb2


class InferenceServicer(service_pb2_grpc.GRPCInferenceServiceServicer):
    """Passes inference on to Triton."""

    def __init__(self, calls: Calls, inferrer: Inferrer) -> None:
        self._calls = calls
        self._inferrer = inferrer

    async def ServerLive(self, request: Any, context: Any) -> Any:
        """This process is there."""
        return oip.ServerLiveResponse(live=True)

    async def ServerReady(self, request: Any, context: Any) -> Any:
        """Inference servers answer."""
        with self._calls.open(context, "GRPCInferenceService/ServerReady") as call:
            return oip.ServerReadyResponse(ready=await self._inferrer.server_ready(call))

    async def ModelReady(self, request: Any, context: Any) -> Any:
        """A model answers."""
        with self._calls.open(context, "GRPCInferenceService/ModelReady") as call:
            return oip.ModelReadyResponse(ready=await self._inferrer.ready(call, request.name, request.version))

    async def ServerMetadata(self, request: Any, context: Any) -> Any:
        """Who serves."""
        with self._calls.open(context, "GRPCInferenceService/ServerMetadata"):
            return oip.ServerMetadataResponse(name="mizzen", version="0.1.0", extensions=["binary_tensor_data"])

    async def ModelMetadata(self, request: Any, context: Any) -> Any:
        """What a model declares."""
        with self._calls.open(context, "GRPCInferenceService/ModelMetadata") as call:
            info = await self._inferrer.model(call, request.name, request.version)
            kind = oip.ModelMetadataResponse.TensorMetadata
            return oip.ModelMetadataResponse(
                name=info.name,
                versions=info.versions,
                platform=info.platform,
                inputs=[kind(name=t.name, datatype=t.datatype, shape=t.shape) for t in info.inputs],
                outputs=[kind(name=t.name, datatype=t.datatype, shape=t.shape) for t in info.outputs],
            )

    async def ModelInfer(self, request: Any, context: Any) -> Any:
        """One inference."""
        with self._calls.open(context, "GRPCInferenceService/ModelInfer", model=request.model_name) as call:
            return infer_response(await self._inferrer.infer(call, infer_request(request)))

    async def ModelStreamInfer(self, request_iterator: AsyncIterator[Any], context: Any) -> AsyncIterator[Any]:
        """A stream of inferences of one model, on one replica."""
        with self._calls.open_stream(context, INFER) as call:
            call.leave()  # an open stream is no work: its model's bulkhead counts it

            async def requests() -> AsyncIterator[InferRequest | MizzenError]:
                async for message in request_iterator:
                    try:
                        yield infer_request(message)
                    except MizzenError as error:
                        yield error

            async with aclosing(self._inferrer.stream(call, requests())) as answers:
                async for answer in answers:
                    if answer.answer is None:
                        yield oip.ModelStreamInferResponse(error_message=answer.error)
                    else:
                        yield oip.ModelStreamInferResponse(infer_response=infer_response(answer.answer))
