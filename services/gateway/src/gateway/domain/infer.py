"""Bare inference by the Open Inference Protocol: a model by name, tensors in, tensors out."""

import asyncio
import math
from collections.abc import AsyncIterator

from chassis.errors import InvalidArgument, MizzenError, NotFound
from gateway.domain.endpoints import Endpoints
from gateway.domain.inference import InferAnswer, InferRequest, ModelInfo, StreamAnswer, Tensor
from gateway.domain.limits import Bulkhead, remaining_s
from gateway.domain.model import Call
from gateway.domain.ports import Clock, Inference, Recorder
from gateway.domain.record import Record, RecordKind
from gateway.domain.tensors import SIZES, text_count

MAX_ELEMENTS = 2**31


def checked(tensor: Tensor, index: int) -> None:
    """InvalidArgument unless datatype, shape and bytes agree: what Triton would answer with a 500 stops here."""
    field = f"inputs[{index}]"
    if not all(isinstance(size, int) and 0 <= size < MAX_ELEMENTS for size in tensor.shape):
        raise InvalidArgument(
            f"{field}.shape must hold whole numbers ≥ 0", reason="INVALID_SHAPE", field=f"{field}.shape"
        )
    elements = math.prod(tensor.shape)
    if elements >= MAX_ELEMENTS or len(tensor.shape) > 32:
        raise InvalidArgument(f"{field}.shape has too many elements", reason="INVALID_SHAPE", field=f"{field}.shape")
    if tensor.datatype == "BYTES":
        # Counted here: laid end to end with others, a wrong count would shift their rows.
        if text_count(tensor.raw) != elements:
            message = f"{field} ({tensor.name}) does not hold {elements} length-prefixed elements, as its shape says"
            raise InvalidArgument(message, reason="INVALID_SHAPE", field=f"{field}.data")
        return
    size = SIZES.get(tensor.datatype)
    if size is None:
        message = f"{field}.datatype must be BYTES or one of {', '.join(SIZES)}"
        raise InvalidArgument(message, reason="INVALID_DATATYPE", field=f"{field}.datatype")
    if elements * size != len(tensor.raw):
        message = (
            f"{field} ({tensor.name}) holds {len(tensor.raw)} bytes; {tensor.datatype} of shape {list(tensor.shape)}"
            f" needs {elements * size}"
        )
        raise InvalidArgument(message, reason="INVALID_SHAPE", field=f"{field}.data")


class Inferrer:
    """Finds the model's InferenceService, bounds what is in flight, leaves a record."""

    def __init__(
        self, endpoints: Endpoints, inference: Inference, recorder: Recorder, clock: Clock, *, max_in_flight: int = 256
    ) -> None:
        """`max_in_flight`: requests of one model at once."""
        self._endpoints = endpoints
        self._inference = inference
        self._recorder = recorder
        self._clock = clock
        self._max_in_flight = max_in_flight
        self._bulkheads: dict[str, Bulkhead] = {}

    async def infer(self, call: Call, request: InferRequest) -> InferAnswer:
        """Raises MizzenError; leaves one record either way."""
        request.service = self._endpoints.service_of(request.model)
        for index, tensor in enumerate(request.inputs):
            checked(tensor, index)
        shape = request.inputs[0].shape if request.inputs else ()
        record = Record(
            call, RecordKind.INFER, request.model, call.received_at_us, shape[0] if shape else 1,
            routes=(request.service,), tensors_in=request.inputs,
        )  # fmt: skip
        try:
            with self._bulkhead(request.model):
                remaining_s(self._clock, call.deadline_s)
                answer = await self._inference.infer(request, call.deadline_s)
            record.tensors_out = answer.outputs
            record.model_versions = (answer.package_version or answer.model_version,)
            record.timings_ms = {"total": round((self._clock.now_us() - call.received_at_us) / 1e3, 3)}
        except MizzenError as error:
            record.error_code, record.error_reason = error.code.value, error.reason
            raise
        except asyncio.CancelledError:
            record.error_code, record.error_reason = "CANCELLED", "CLIENT_GONE"
            raise
        else:
            return answer
        finally:
            self._recorder.offer(record)

    async def stream(self, call: Call, requests: AsyncIterator[InferRequest]) -> AsyncIterator[StreamAnswer]:
        """A stream goes to the model of its first request, and there to one replica; a record an answer."""
        first = await anext(requests, None)
        if first is None:
            return
        first.service = self._endpoints.service_of(first.model)
        with self._bulkhead(first.model):
            async for message in self._inference.stream(_same_model(requests, first), first):
                answer = message.answer
                outputs = [] if answer is None else answer.outputs
                self._recorder.offer(
                    Record(
                        call, RecordKind.INFER, first.model, call.received_at_us,
                        outputs[0].shape[0] if outputs and outputs[0].shape else 1, routes=(first.service,),
                        tensors_out=outputs, error_code="UNKNOWN" if message.error else "",
                        model_versions=() if answer is None else (answer.model_version,),
                    )
                )  # fmt: skip
                yield message

    async def model(self, call: Call, name: str, version: str) -> ModelInfo:
        """What a model declares. NotFound for a name that no definition has."""
        service = self._endpoints.service_of(name)
        return await self._inference.model(service, name, version, call.deadline_s)

    async def ready(self, call: Call, name: str, version: str) -> bool:
        """Whether a model answers; False for an unknown one."""
        try:
            service = self._endpoints.service_of(name)
        except NotFound:
            return False
        return await self._inference.ready(service, name, version, call.deadline_s)

    async def server_ready(self, call: Call) -> bool:
        """Whether inference servers answer."""
        return await self._inference.server_ready(call.deadline_s)

    def models(self) -> list[str]:
        """Names of the models that can be inferred."""
        return self._endpoints.models()

    def _bulkhead(self, model: str) -> Bulkhead:
        bulkhead = self._bulkheads.get(model)
        if bulkhead is None:
            bulkhead = self._bulkheads[model] = Bulkhead(f"model {model}", self._max_in_flight)
        return bulkhead


async def _same_model(requests: AsyncIterator[InferRequest], first: InferRequest) -> AsyncIterator[InferRequest]:
    async for request in requests:
        if request.model != first.model:
            message = f"a stream keeps to one model: it began with {first.model} and asks {request.model}"
            raise InvalidArgument(message, reason="MODEL_CHANGED", field="model_name")
        yield request
