"""Vectors from Triton: `text` BYTES [-1, 1] in, `embedding` FP32 [-1, dimensions] out."""

import asyncio
import struct
from collections.abc import Callable, Sequence
from typing import Any, Protocol

import numpy as np
from tritonclient.grpc import service_pb2

from chassis.errors import Code, DeadlineExceeded, Internal, MizzenError, Unavailable
from retrieval.domain.model import EmbeddingModel, Vector

pb: Any = service_pb2  # its messages are made at run time: not seen by type checkers
METHOD = "/inference.GRPCInferenceService/ModelInfer"
RETRY_AFTER_S = 2.0


class UnaryChannel(Protocol):
    """The part of chassis.rpc.channel.Channel that is used here."""

    async def unary(self, method: str, request: object, response_type: type[Any], timeout_s: float) -> Any:
        """One call; raises MizzenError only."""


class TritonEmbedder:
    """Embedder over one channel per InferenceService, made at first use."""

    def __init__(
        self, connect: Callable[[str], UnaryChannel], *, batch: int = 16, in_flight: int = 32, bulk_in_flight: int = 2
    ) -> None:
        """`connect` opens the channel of an InferenceService; `batch` texts travel in a call.

        At most `in_flight` calls wait for questions at once, and `bulk_in_flight` for texts of more than one batch: a
        large upsert never stands before a search.
        """
        self._connect = connect
        self._channels: dict[str, UnaryChannel] = {}
        self._batch = batch
        self._free = asyncio.Semaphore(in_flight)
        self._bulk_free = asyncio.Semaphore(bulk_in_flight)

    async def embed(self, model: EmbeddingModel, texts: Sequence[str], timeout_s: float) -> Vector:
        if timeout_s <= 0:
            raise DeadlineExceeded("the deadline is over")
        if not texts:
            return np.empty((0, model.dimensions), dtype=np.float32)
        batches = [texts[start : start + self._batch] for start in range(0, len(texts), self._batch)]
        lane = self._free if len(batches) == 1 else self._bulk_free
        try:
            async with asyncio.timeout(timeout_s), asyncio.TaskGroup() as group:
                tasks = [group.create_task(self._infer(model, batch, timeout_s, lane)) for batch in batches]
        except TimeoutError as error:
            raise DeadlineExceeded("the embedder was late", reason="EMBEDDER_TIMEOUT") from error
        except ExceptionGroup as errors:
            raise _first(errors) from errors
        return np.concatenate([task.result() for task in tasks])

    async def _infer(
        self, model: EmbeddingModel, texts: Sequence[str], timeout_s: float, lane: asyncio.Semaphore
    ) -> Vector:
        async with lane:
            try:
                answer = await self._channel(model).unary(
                    METHOD, _request(model, texts), pb.ModelInferResponse, timeout_s
                )
            except MizzenError as error:
                raise _declared(error) from error
        return _vectors(answer, model, len(texts))

    def _channel(self, model: EmbeddingModel) -> UnaryChannel:
        name = model.inference_service
        if name not in self._channels:
            self._channels[name] = self._connect(name)
        return self._channels[name]


def _request(model: EmbeddingModel, texts: Sequence[str]) -> Any:
    encoded = [text.encode() for text in texts]
    request = pb.ModelInferRequest(model_name=model.model)
    request.inputs.add(name="text", datatype="BYTES", shape=[len(texts), 1])
    request.outputs.add(name="embedding")
    request.raw_input_contents.append(b"".join(struct.pack("<I", len(item)) + item for item in encoded))
    return request


def _vectors(answer: Any, model: EmbeddingModel, rows: int) -> Vector:
    """The answer's vectors, made unit length; Internal where the model is not what the definition says."""
    raw = b"".join(answer.raw_output_contents[:1])
    if len(raw) != rows * model.dimensions * 4:
        raise Internal(f"model {model.model} does not give {model.dimensions} floats a text", reason="EMBEDDING_SHAPE")
    vectors = np.frombuffer(raw, dtype="<f4").reshape(rows, model.dimensions)
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    if not np.isfinite(lengths).all():
        raise Internal(f"model {model.model} gave numbers that are not finite", reason="EMBEDDING_NOT_FINITE")
    return np.asarray(vectors / np.maximum(lengths, 1e-12), dtype=np.float32)


def _declared(error: MizzenError) -> MizzenError:
    """What a failing call means here: a model that is not loaded (yet) is an embedder that is down."""
    if error.code in (Code.DEADLINE_EXCEEDED, Code.CANCELLED):
        return DeadlineExceeded("the embedder was late", reason="EMBEDDER_TIMEOUT")
    return Unavailable(
        "the embedder is not available",
        reason="EMBEDDER_UNAVAILABLE",
        retry_after_s=error.retry_after_s or RETRY_AFTER_S,
    )


def _first(errors: ExceptionGroup[Exception]) -> Exception:
    return next((error for error in errors.exceptions if isinstance(error, MizzenError)), errors.exceptions[0])
