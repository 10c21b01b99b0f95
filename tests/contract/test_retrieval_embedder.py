"""What every embedder does: the fake, the Triton adapter over a wire, and MiniLM on the real tritonserver."""

import asyncio
import time
from collections.abc import AsyncIterator

import numpy as np
import pytest

from chassis.errors import DeadlineExceeded, Internal, Unavailable
from chassis.rpc.channel import Channel, StaticAddresses
from retrieval.adapters.triton_embedder import TritonEmbedder
from retrieval.domain.model import EmbeddingModel
from retrieval.domain.ports import Embedder
from tests.engines import RunningTriton
from tests.fakes.retrieval import FakeEmbedder
from tests.fakes.triton import FakeTriton, serving

MODEL = EmbeddingModel()


def connected(address: str, **limits: int) -> tuple[TritonEmbedder, Channel]:
    channel = Channel("minilm", StaticAddresses(address))
    return TritonEmbedder(lambda name: channel, **limits), channel


@pytest.fixture(params=["fake", "wire", pytest.param("triton", marks=pytest.mark.engines)])
async def embedder(request: pytest.FixtureRequest) -> AsyncIterator[Embedder]:
    if request.param == "fake":
        yield FakeEmbedder()
    elif request.param == "wire":
        async with serving(FakeTriton()) as fake:
            adapter, channel = connected(f"127.0.0.1:{fake.port}")
            yield adapter
            await channel.close()
    else:
        engine: RunningTriton = request.getfixturevalue("triton")
        adapter, channel = connected(engine.grpc_address)
        yield adapter
        await channel.close()


async def test_texts_become_unit_vectors_in_order(embedder: Embedder) -> None:
    texts = ["how to drain a node", "the weather in spring", "draining a node"]
    vectors = await embedder.embed(MODEL, texts, 10.0)
    assert vectors.shape == (3, 384)
    assert vectors.dtype == np.float32
    assert np.linalg.norm(vectors, axis=1) == pytest.approx(1.0, abs=1e-5)
    assert vectors[0] @ vectors[2] > vectors[0] @ vectors[1]


async def test_equal_texts_have_equal_vectors_in_any_batch(embedder: Embedder) -> None:
    texts = [f"text number {i}" for i in range(40)]
    vectors = await embedder.embed(MODEL, texts, 20.0)
    alone = await embedder.embed(MODEL, [texts[33]], 10.0)
    assert float(alone[0] @ vectors[33]) == pytest.approx(1.0, abs=1e-3)


@pytest.mark.parametrize("text", ["", " ", "x" * 100_000, "日本語 – größe 😀", "line\nline"])
async def test_any_text_has_a_vector(embedder: Embedder, text: str) -> None:
    vectors = await embedder.embed(MODEL, [text], 20.0)
    assert np.isfinite(vectors).all()


async def test_no_text_is_no_vector(embedder: Embedder) -> None:
    assert (await embedder.embed(MODEL, [], 10.0)).shape == (0, 384)


async def test_an_expired_deadline_is_refused(embedder: Embedder) -> None:
    with pytest.raises(DeadlineExceeded):
        await embedder.embed(MODEL, ["text"], 0.0)


async def test_batches_are_bounded() -> None:
    async with serving(FakeTriton()) as fake:
        adapter, channel = connected(f"127.0.0.1:{fake.port}", batch=8, bulk_in_flight=2)
        await adapter.embed(MODEL, [str(i) for i in range(20)], 5.0)
        await channel.close()
    assert sorted(fake.batches) == [4, 8, 8]


async def test_a_slow_model_is_late() -> None:
    async with serving(FakeTriton()) as fake:
        fake.delay_s = 5.0
        adapter, channel = connected(f"127.0.0.1:{fake.port}")
        started = time.monotonic()
        with pytest.raises(DeadlineExceeded):
            await adapter.embed(MODEL, ["a"] * 40, 0.2)
        assert time.monotonic() - started < 0.6
        await channel.close()


async def test_a_dead_or_empty_server_is_unavailable_and_used_again_when_back() -> None:
    fake = FakeTriton()
    async with serving(fake):
        adapter, channel = connected(f"127.0.0.1:{fake.port}")
        with pytest.raises(Unavailable) as caught:
            await adapter.embed(EmbeddingModel(model="absent"), ["a"], 2.0)
        assert caught.value.retry_after_s
        await adapter.embed(MODEL, ["a"], 2.0)
    for _ in range(3):
        with pytest.raises((Unavailable, DeadlineExceeded)):
            await adapter.embed(MODEL, ["a"], 1.0)
    await channel.close()


async def test_a_model_of_another_size_is_our_fault() -> None:
    async with serving(FakeTriton()) as fake:
        fake.dimensions = 100
        adapter, channel = connected(f"127.0.0.1:{fake.port}")
        with pytest.raises(Internal):
            await adapter.embed(MODEL, ["a"], 2.0)
        await channel.close()


async def test_a_cancelled_caller_frees_its_place() -> None:
    async with serving(FakeTriton()) as fake:
        adapter, channel = connected(f"127.0.0.1:{fake.port}", in_flight=1)
        fake.delay_s = 5.0
        task = asyncio.create_task(adapter.embed(MODEL, ["a"], 5.0))
        await asyncio.sleep(0.05)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        fake.delay_s = 0.0
        assert (await adapter.embed(MODEL, ["b"], 2.0)).shape == (1, 384)
        await channel.close()


async def test_a_large_upsert_does_not_stand_before_a_question() -> None:
    async with serving(FakeTriton()) as fake:
        fake.delay_s = 0.1
        adapter, channel = connected(f"127.0.0.1:{fake.port}", batch=4, bulk_in_flight=1)
        bulk = asyncio.create_task(adapter.embed(MODEL, [str(i) for i in range(100)], 30.0))
        await asyncio.sleep(0.05)
        await adapter.embed(MODEL, ["question"], 5.0)
        assert len(fake.batches) < 15
        bulk.cancel()
        await asyncio.gather(bulk, return_exceptions=True)
        await channel.close()
