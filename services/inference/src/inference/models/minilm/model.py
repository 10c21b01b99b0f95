"""MiniLM on Triton: text in, L2-normalised sentence embedding out; the tokenizing happens here.

Shapes: ``text`` BYTES [rows, 1] -> ``embedding`` FP32 [rows, 384], mean-pooled over the tokens. Texts are cut at 256 tokens.
The requests of one execute call are embedded together, sorted by length so that little is spent on padding.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import triton_python_backend_utils as pb_utils
from tokenizers import Tokenizer

MAX_TOKENS = 256
ROWS_AT_ONCE = 16
DIMENSIONS = 384


class TritonPythonModel:
    """One instance: a tokenizer and an ONNX Runtime session."""

    def initialize(self, args: Mapping[str, str]) -> None:
        """Loads model.onnx and tokenizer.json from the version's folder."""
        folder = Path(args["model_repository"]) / args["model_version"]
        parameters = json.loads(args["model_config"]).get("parameters", {})
        options = onnxruntime.SessionOptions()
        threads = parameters.get("intra_op_thread_count", {}).get("string_value", "")
        options.intra_op_num_threads = int(threads or max(1, min(4, len(os.sched_getaffinity(0)))))
        options.inter_op_num_threads = 1
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        options.log_severity_level = 3
        self.session = onnxruntime.InferenceSession(
            str(folder / "model.onnx"), options, providers=["CPUExecutionProvider"]
        )
        self.tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        self.tokenizer.no_padding()
        self.tokenizer.enable_truncation(MAX_TOKENS)

    def execute(self, requests: Sequence[Any]) -> list[Any]:
        """Answers each request in order, with its embeddings or with an error of its own."""
        texts: list[str] = []
        slices: list[slice | Exception] = []
        for request in requests:
            try:
                own = read(request)
                slices.append(slice(len(texts), len(texts) + len(own)))
                texts += own
            except Exception as error:
                slices.append(error)
        try:
            embeddings = self._embed(texts)
        except Exception as error:
            slices = [error for _ in requests]
            embeddings = np.empty((0, DIMENSIONS), dtype=np.float32)
        return [respond(part, embeddings) for part in slices]

    def finalize(self) -> None:
        """Frees the session."""
        del self.session

    def _embed(self, texts: list[str]) -> np.ndarray:
        embeddings = np.empty((len(texts), DIMENSIONS), dtype=np.float32)
        tokens = [encoding.ids for encoding in self.tokenizer.encode_batch_fast(texts)] if texts else []
        by_length = sorted(range(len(tokens)), key=lambda index: len(tokens[index]))
        for start in range(0, len(by_length), ROWS_AT_ONCE):
            chosen = by_length[start : start + ROWS_AT_ONCE]
            embeddings[chosen] = self._embed_padded([tokens[index] for index in chosen])
        return embeddings

    def _embed_padded(self, tokens: list[list[int]]) -> np.ndarray:
        longest = max(len(ids) for ids in tokens)
        ids = np.zeros((len(tokens), longest), dtype=np.int64)
        mask = np.zeros_like(ids)
        for row, values in enumerate(tokens):
            ids[row, : len(values)] = values
            mask[row, : len(values)] = 1
        feed = {"input_ids": ids, "attention_mask": mask, "token_type_ids": np.zeros_like(ids)}
        (hidden,) = self.session.run(["last_hidden_state"], feed)
        weights = mask[:, :, None].astype(np.float32)
        pooled = (hidden * weights).sum(axis=1) / weights.sum(axis=1)  # [CLS] and [SEP] are always there: never 0
        norms = np.maximum(np.linalg.norm(pooled, axis=1, keepdims=True), 1e-12)
        return np.asarray(pooled / norms, dtype=np.float32)


def read(request: Any) -> list[str]:
    """The texts of one request. Raises ValueError that names the first one that is not UTF-8."""
    values = pb_utils.get_input_tensor_by_name(request, "text").as_numpy().ravel()
    texts = []
    for index, value in enumerate(values):
        try:
            texts.append(value.decode())
        except UnicodeDecodeError:
            raise ValueError(f"input 'text' is not UTF-8 at position {index}") from None
    return texts


def respond(part: slice | Exception, embeddings: np.ndarray) -> Any:
    """A request's own rows of the embeddings, or its error."""
    if isinstance(part, Exception):
        return pb_utils.InferenceResponse(output_tensors=[], error=pb_utils.TritonError(str(part)))
    return pb_utils.InferenceResponse([pb_utils.Tensor("embedding", np.ascontiguousarray(embeddings[part]))])
