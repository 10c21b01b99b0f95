"""A Triton that embeds like FakeEmbedder, on a real port."""

import asyncio
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import grpc
from tritonclient.grpc import service_pb2, service_pb2_grpc

from retrieval.domain.model import EmbeddingModel
from tests.fakes.retrieval import FakeEmbedder

pb: Any = service_pb2


class FakeTriton(service_pb2_grpc.GRPCInferenceServiceServicer):
    """Serves the model `minilm`. `delay_s` is waited before each answer; `dimensions` may be wrong on purpose."""

    def __init__(self) -> None:
        self.delay_s = 0.0
        self.dimensions = 384
        self.batches: list[int] = []
        self.port = 0

    async def ModelInfer(self, request: Any, context: Any) -> Any:
        if request.model_name != "minilm":
            await context.abort(grpc.StatusCode.NOT_FOUND, f"Request for unknown model: '{request.model_name}'")
        await asyncio.sleep(self.delay_s)
        texts = _texts(request.raw_input_contents[0])
        assert list(request.inputs[0].shape) == [len(texts), 1]
        self.batches.append(len(texts))
        vectors = await FakeEmbedder().embed(EmbeddingModel(dimensions=self.dimensions), texts, 1.0)
        answer = pb.ModelInferResponse(model_name=request.model_name, raw_output_contents=[vectors.tobytes()])
        answer.outputs.add(name="embedding", datatype="FP32", shape=vectors.shape)
        return answer


def _texts(raw: bytes) -> list[str]:
    found: list[str] = []
    while raw:
        (length,) = struct.unpack_from("<I", raw)
        found.append(raw[4 : 4 + length].decode())
        raw = raw[4 + length :]
    return found


@asynccontextmanager
async def serving(fake: FakeTriton) -> AsyncIterator[FakeTriton]:
    """The fake on a free port of loopback."""
    server = grpc.aio.server()
    service_pb2_grpc.add_GRPCInferenceServiceServicer_to_server(fake, server)
    fake.port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        yield fake
    finally:
        await server.stop(0)
