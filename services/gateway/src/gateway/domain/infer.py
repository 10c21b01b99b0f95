"""Bare inference by the Open Inference Protocol: a model by name, tensors in, tensors out."""

import asyncio
import math
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing

from chassis.errors import InvalidArgument, MizzenError, NotFound
from gateway.domain.endpoints import Endpoints
from gateway.domain.inference import InferAnswer, InferRequest, ModelInfo, StreamAnswer, Tensor
from gateway.domain.limits import Bulkhead, remaining_s
from gateway.domain.model import Call
from gateway.domain.ports import Clock, Inference, Recorder
from gateway.domain.record import Record, RecordKind
from gateway.domain.tensors import SIZES, text_count

MAX_ELEMENTS = 2**31
_LARGE_TEXTS = 128 * 1024
_STREAM_AHEAD = 16


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


def _check(tensors: list[Tensor]) -> None:
    for index, tensor in enumerate(tensors):
        checked(tensor, index)


class Inferrer:
    """Finds the model's InferenceService, bounds what is in flight, leaves a record."""

    def __init__(
        self, endpoints: Endpoints, inference: Inference, recorder: Recorder, clock: Clock, max_in_flight: int = 256
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
        large = any(tensor.datatype == "BYTES" and len(tensor.raw) > _LARGE_TEXTS for tensor in request.inputs)
        # Texts are counted one by one: many of them in a thread, so that others get their turns meanwhile.
        await asyncio.to_thread(_check, request.inputs) if large else _check(request.inputs)
        shape = request.inputs[0].shape if request.inputs else ()
        record = Record(
            call, RecordKind.INFER, request.model, call.received_at_us, shape[0] if shape else 1,
            routes=(request.service,), tensors_in=request.inputs,
        )  # fmt: skip
        try:
            with self._bulkhead(request.model):
                remaining_s(self._clock, call.deadline_s)
                info = await self._inference.model(request.service, request.model, request.version, call.deadline_s)
                answer = await self._inference.infer(request, info, call.deadline_s)
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

    async def stream(
        self, call: Call, requests: AsyncIterator[InferRequest | MizzenError]
    ) -> AsyncGenerator[StreamAnswer]:
        """A stream goes to the model of its first request that can be asked, and there to one replica; a record an answer.

        A request that is refused, or that could not be read and comes as its error, is answered by a sentence; the stream goes on.
        """
        async for request in requests:
            refused = self._refused(request, None)
            if refused is None and isinstance(request, InferRequest):
                break
            yield StreamAnswer(None, refused or "")
        else:
            return
        with self._bulkhead(request.model):
            async with aclosing(self._conversation(requests, request)) as answers:
                async for message in answers:
                    self._recorder.offer(_stream_record(call, request, message))
                    yield message

    async def _conversation(
        self, requests: AsyncIterator[InferRequest | MizzenError], first: InferRequest
    ) -> AsyncGenerator[StreamAnswer]:
        """The model's answers and ours, as they come; few wait for a client that does not read."""
        answers: asyncio.Queue[StreamAnswer | None] = asyncio.Queue(_STREAM_AHEAD)

        async def accepted() -> AsyncIterator[InferRequest]:
            async for request in requests:
                refused = self._refused(request, first)
                if refused is None and isinstance(request, InferRequest):
                    yield request
                else:
                    await answers.put(StreamAnswer(None, refused or ""))

        async def ask() -> None:
            try:
                async for message in self._inference.stream(accepted(), first):
                    await answers.put(message)
            except MizzenError as error:
                failed.append(error)
            await answers.put(None)

        failed: list[MizzenError] = []
        asking = asyncio.create_task(ask())
        try:
            while (message := await answers.get()) is not None:
                yield message
            for error in failed:
                raise error
        finally:
            asking.cancel()
            await asyncio.gather(asking, return_exceptions=True)

    def _refused(self, request: InferRequest | MizzenError, first: InferRequest | None) -> str | None:
        """Why a request of a stream is not passed on; None when it is, and then it knows its InferenceService."""
        if isinstance(request, MizzenError):
            return request.message
        try:
            if first is not None and request.model != first.model:
                return f"a stream keeps to one model: it began with {first.model} and asks {request.model}"
            request.service = self._endpoints.service_of(request.model)
            for index, tensor in enumerate(request.inputs):
                checked(tensor, index)
        except MizzenError as error:
            return error.message
        return None

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

    def known(self, name: str) -> None:
        """NotFound for a model that no definition names."""
        self._endpoints.service_of(name)

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


def _stream_record(call: Call, first: InferRequest, message: StreamAnswer) -> Record:
    outputs = [] if message.answer is None else message.answer.outputs
    return Record(
        call, RecordKind.INFER, first.model, call.received_at_us,
        outputs[0].shape[0] if outputs and outputs[0].shape else 1, routes=(first.service,),
        tensors_out=outputs, error_code="UNKNOWN" if message.error else "",
        model_versions=() if message.answer is None else (message.answer.model_version,),
    )  # fmt: skip
