"""Triton by gRPC. Concurrent inferences of one batching model are merged into one: their rows are laid end to end."""

import asyncio
import math
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from grpc import aio

from chassis.clock import Clock
from chassis.errors import DeadlineExceeded, Internal, InvalidArgument, MizzenError, NotFound, Unavailable
from chassis.rpc.channel import Channel
from chassis.rpc.coalesce import Coalescer
from gateway.adapters.triton.merging import joined, merges, split
from gateway.adapters.triton.wire import infer_answer, infer_message, model_info, oip
from gateway.domain.inference import InferAnswer, InferRequest, ModelInfo, StreamAnswer, Tensor
from gateway.domain.limits import Retry, few_at_once, remaining_s
from gateway.domain.tensors import row_slices

_SERVICE = "/inference.GRPCInferenceService/"
_FRESH_S = 5.0
_INFO_S = 2.0
_STREAM_S = 3600.0
_MAX_COALESCERS = 256
_PARTS_AT_ONCE = 8
_Key = tuple[str, str, str]
_Item = tuple[InferRequest, ModelInfo, int, float]


@dataclass(slots=True)
class _Known:
    info: ModelInfo
    read_at_s: float


class TritonInference:
    """See ports.Inference."""

    def __init__(
        self,
        channels: Callable[[str], Channel],
        retry: Retry,
        clock: Clock,
        *,
        observe: Callable[[int], None] | None = None,
    ) -> None:
        """`channels` gives the channel of an InferenceService; `observe` sees the inferences in each message."""
        self._channels = channels
        self._retry = retry
        self._clock = clock
        self._observe = observe
        self._known: dict[_Key, _Known] = {}
        self._reading: dict[_Key, asyncio.Task[ModelInfo]] = {}
        self._coalescers: dict[tuple[Any, ...], Coalescer[_Item, InferAnswer | MizzenError]] = {}

    async def model(self, service: str, model: str, version: str, deadline_s: float) -> ModelInfo:
        key = (service, model, version)
        known = self._known.get(key)
        # After a failure another package may be served: what was known does not count until it is read again.
        if known is not None and known.read_at_s > -math.inf:
            if time.monotonic() - known.read_at_s > _FRESH_S:
                self._read(key)
            return known.info
        reading = self._read(key)
        try:
            async with asyncio.timeout(remaining_s(self._clock, deadline_s)):
                return await asyncio.shield(reading)
        except TimeoutError:
            raise DeadlineExceeded(f"model {model} was not described in time", ids={"model": model}) from None

    def _read(self, key: _Key) -> asyncio.Task[ModelInfo]:
        reading = self._reading.get(key)
        if reading is None:
            reading = self._reading[key] = asyncio.get_running_loop().create_task(self._describe(key))
            reading.add_done_callback(lambda task: self._described(key, task))
        return reading

    def _described(self, key: _Key, task: asyncio.Task[ModelInfo]) -> None:
        self._reading.pop(key, None)
        if task.cancelled():
            return
        error = task.exception()
        if error is None:
            if len(self._known) >= 1024:
                self._known.clear()
            self._known[key] = _Known(task.result(), time.monotonic())
        elif isinstance(error, NotFound):
            self._known.pop(key, None)

    async def _describe(self, key: _Key) -> ModelInfo:
        service, model, version = key
        channel = self._channels(service)
        wanted: dict[str, str] = {"name": model, "version": version}
        deadline_s = self._clock.monotonic_s() + _INFO_S
        types = oip.ModelConfigResponse, oip.ModelMetadataResponse
        config, metadata = await asyncio.gather(
            self._tried(channel, "ModelConfig", oip.ModelConfigRequest(**wanted), types[0], model, deadline_s),
            self._tried(channel, "ModelMetadata", oip.ModelMetadataRequest(**wanted), types[1], model, deadline_s),
        )
        return model_info(config.config, metadata)

    async def infer(self, request: InferRequest, info: ModelInfo, deadline_s: float) -> InferAnswer:
        rows = request.inputs[0].shape[0] if request.inputs and request.inputs[0].shape else 0
        if not merges(request, info, rows):
            return await self._alone(request, info, deadline_s)
        if rows > info.max_batch_size:
            return await self._in_parts(request, info, rows, deadline_s)
        coalescer = self._coalescer(request, info)
        if coalescer is None:
            return await self._alone(request, info, deadline_s)
        return await coalescer.submit((request, info, rows, deadline_s), deadline_s)  # type: ignore[return-value]

    def _coalescer(self, request: InferRequest, info: ModelInfo) -> Coalescer[_Item, InferAnswer | MizzenError] | None:
        key = (
            request.service, request.model, request.version, info.max_batch_size,
            *[(t.name, t.datatype, t.shape[1:]) for t in request.inputs], *[o.name for o in request.outputs],
        )  # fmt: skip
        found = self._coalescers.get(key)
        if found is None:
            if len(self._coalescers) >= _MAX_COALESCERS:
                return None
            found = self._coalescers[key] = Coalescer(
                lambda items: self._send(items, info.max_batch_size),
                max_items=64,
                max_wait_s=0.001,
                clock=self._clock,
                observe=self._observe,
            )
        return found

    async def _send(self, items: list[_Item], max_rows: int) -> list[InferAnswer | MizzenError]:
        groups: list[list[_Item]] = []
        total = max_rows + 1
        for item in items:
            rows = item[2]
            total += rows
            if total > max_rows:
                groups.append([])
                total = rows
            groups[-1].append(item)
        if len(groups) == 1:
            return await self._merged(groups[0])
        answers = await asyncio.gather(*(self._merged(group) for group in groups))
        return [answer for group in answers for answer in group]

    async def _merged(self, items: list[_Item]) -> list[InferAnswer | MizzenError]:
        # What the last one knows of the model is the latest.
        first, info = items[0][0], items[-1][1]
        deadline_s = max(item[3] for item in items)
        if len(items) == 1:
            try:
                return [await self._alone(first, info, deadline_s)]
            except MizzenError as error:
                return [error]
        requests, counts = [item[0] for item in items], [item[2] for item in items]
        try:
            answer = await self._alone(first, info, deadline_s, joined(requests, sum(counts)))
            return split(answer, requests, counts)
        except (InvalidArgument, Internal):
            # One of them is to blame: each is asked alone, so that it fails alone.
            answers = await asyncio.gather(
                *(self._alone(request, own, deadline_s) for request, own, _, deadline_s in items),
                return_exceptions=True,
            )
            return [answer if isinstance(answer, InferAnswer | MizzenError) else Internal("") for answer in answers]
        except MizzenError as error:
            return [error] * len(items)

    async def _in_parts(self, request: InferRequest, info: ModelInfo, rows: int, deadline_s: float) -> InferAnswer:
        size = info.max_batch_size
        counts = [min(size, rows - start) for start in range(0, rows, size)]
        columns = [row_slices(tensor, counts) for tensor in request.inputs]

        def part(index: int) -> Awaitable[InferAnswer]:
            tensors = [
                Tensor(tensor.name, tensor.datatype, (counts[index], *tensor.shape[1:]), column[index])
                for tensor, column in zip(request.inputs, columns, strict=True)
            ]
            return self._alone(request, info, deadline_s, tensors)

        answers = await few_at_once(_PARTS_AT_ONCE, range(len(counts)), part)
        whole = answers[0]
        for index, output in enumerate(whole.outputs):
            output.raw = b"".join(answer.outputs[index].raw for answer in answers)
            output.shape = (rows, *output.shape[1:])
        return whole

    async def _alone(
        self, request: InferRequest, info: ModelInfo, deadline_s: float, tensors: list[Tensor] | None = None
    ) -> InferAnswer:
        message = infer_message(request, tensors or request.inputs)
        channel = self._channels(request.service)
        response = await self._tried(
            channel, "ModelInfer", message, oip.ModelInferResponse, request.model, deadline_s,
            once=info.stateful,
        )  # fmt: skip
        return infer_answer(response, info.package_version)

    async def _tried(
        self, channel: Channel, method: str, message: Any, answer: type[Any], model: str, deadline_s: float,
        *, once: bool = False,
    ) -> Any:  # fmt: skip
        def attempt() -> Awaitable[Any]:
            return channel.unary(_SERVICE + method, message, answer, deadline_s - self._clock.monotonic_s())

        try:
            # A stateful model counts every attempt: only the client may decide to send again.
            return await (attempt() if once else self._retry.run(attempt, deadline_s))
        except MizzenError as error:
            if isinstance(error, Unavailable | NotFound):
                self._stale(model)
            raise translated(error, model) from error

    def _stale(self, model: str) -> None:
        for key, known in self._known.items():
            if key[1] == model:
                known.read_at_s = -math.inf

    async def stream(self, requests: AsyncIterator[InferRequest], first: InferRequest) -> AsyncIterator[StreamAnswer]:
        """See ports.Inference. The stream is Triton's own, on one replica; it is never tried again."""

        async def messages() -> AsyncIterator[Any]:
            yield infer_message(first, first.inputs)
            async for request in requests:
                yield infer_message(request, request.inputs)

        types = (oip.ModelInferRequest, oip.ModelStreamInferResponse)
        channel = self._channels(first.service)
        try:
            async for message in channel.stream_stream(_SERVICE + "ModelStreamInfer", messages(), types, _STREAM_S):
                failed = bool(message.error_message)
                yield StreamAnswer(None if failed else infer_answer(message.infer_response), message.error_message)
        except MizzenError as error:
            raise translated(error, first.model) from error

    async def ready(self, service: str, model: str, version: str, deadline_s: float) -> bool:
        request = oip.ModelReadyRequest(name=model, version=version)
        try:
            answer: Any = await self._channels(service).unary(
                _SERVICE + "ModelReady", request, oip.ModelReadyResponse, remaining_s(self._clock, deadline_s)
            )
        except (Unavailable, DeadlineExceeded, NotFound, InvalidArgument):
            return False
        return bool(answer.ready)

    async def server_ready(self, deadline_s: float) -> bool:
        request = oip.ServerReadyRequest()
        try:
            answer: Any = await self._channels("").unary(
                _SERVICE + "ServerReady", request, oip.ServerReadyResponse, remaining_s(self._clock, deadline_s)
            )
        except (Unavailable, DeadlineExceeded):
            return False
        return bool(answer.ready)


def translated(error: MizzenError, model: str) -> MizzenError:
    """Triton's refusals with Triton's own sentence, where that sentence is about the caller's request."""
    ids = {"model": model}
    text = ""
    if isinstance(error.__cause__, aio.AioRpcError):
        text = " ".join((error.__cause__.details() or "").split())[:500]
    if isinstance(error, InvalidArgument):
        return InvalidArgument(text or "the model refused the request", reason="MODEL_REFUSED", ids=ids)
    if isinstance(error, NotFound) or (isinstance(error, Unavailable) and "unknown model" in text):
        return NotFound(f"there is no model {model} or no such version of it", reason="MODEL_NOT_FOUND", ids=ids)
    # Its Python backend says so of a process that shows no life for a second, and asks it the next request all the same.
    if isinstance(error, Unavailable) or (isinstance(error, Internal) and "is not healthy" in text):
        message = f"model {model} cannot be reached now; try again shortly"
        return Unavailable(message, reason="MODEL_UNAVAILABLE", ids=ids, retry_after_s=1)
    return error
