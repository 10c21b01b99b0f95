"""Triton's backend ``sentence_embedding``, on CPU: text in, L2-normalised embedding out; the tokenizing happens here.

A package holds data only: ``model.onnx`` (input_ids, attention_mask, token_type_ids -> last_hidden_state) and
``tokenizer.json``. Shapes: BYTES [rows, 1] -> FP32 [rows, n], mean-pooled over the tokens. Parameters: ``max_tokens`` (256),
after which a text is cut, and ``intra_op_thread_count``. The requests of one execute call are embedded together, sorted by
length so that little is spent on padding.
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
# What lies beyond can't be among the first tokens, and megabytes of it would be tokenized for nothing while others wait.
LETTERS_PER_TOKEN = 64


class TritonPythonModel:
    """One instance: a tokenizer and an ONNX Runtime session."""

    def initialize(self, args: Mapping[str, str]) -> None:
        """Loads model.onnx and tokenizer.json from the version's folder."""
        folder = Path(args["model_repository"]) / args["model_version"]
        config = json.loads(args["model_config"])
        if len(config["input"]) != 1 or len(config["output"]) != 1:
            raise pb_utils.TritonModelException("a sentence embedding has one input (text) and one output (embedding)")
        self.input, self.output = config["input"][0]["name"], config["output"][0]["name"]
        self.dimensions = int(config["output"][0]["dims"][-1])
        parameters = config.get("parameters", {})
        options = onnxruntime.SessionOptions()
        # An encoder is all arithmetic: it gets every core it may run on, four at most; waiting threads sleep.
        cores = max(1, min(4, len(os.sched_getaffinity(0))))
        options.intra_op_num_threads = number(parameters, "intra_op_thread_count", cores)
        options.inter_op_num_threads = 1
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        options.log_severity_level = 3
        self.session = onnxruntime.InferenceSession(
            str(folder / "model.onnx"), options, providers=["CPUExecutionProvider"]
        )
        self.tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        self.tokenizer.no_padding()
        max_tokens = number(parameters, "max_tokens", MAX_TOKENS)
        self.tokenizer.enable_truncation(max_tokens)
        self.max_letters = max_tokens * LETTERS_PER_TOKEN

    def execute(self, requests: Sequence[Any]) -> list[Any]:
        """Answers each request in order, with its embeddings or with an error of its own."""
        texts: list[str] = []
        slices: list[slice | Exception] = []
        for request in requests:
            try:
                own = read(request, self.input)
                slices.append(slice(len(texts), len(texts) + len(own)))
                texts += [text[: self.max_letters] for text in own]
            except Exception as error:
                slices.append(error)
        try:
            embeddings = self._embed(texts)
        except Exception as error:
            slices = [error for _ in requests]
            embeddings = np.empty((0, self.dimensions), dtype=np.float32)
        return [respond(part, embeddings, self.output) for part in slices]

    def finalize(self) -> None:
        """Frees the session."""
        del self.session

    def _embed(self, texts: list[str]) -> np.ndarray:
        embeddings = np.empty((len(texts), self.dimensions), dtype=np.float32)
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


def number(parameters: Mapping[str, Mapping[str, str]], name: str, default: int) -> int:
    """A number above zero among the configuration's parameters."""
    text = parameters.get(name, {}).get("string_value", str(default))
    if not text.isdecimal() or int(text) < 1:
        raise pb_utils.TritonModelException(f"parameter {name} must be a number above zero, not '{text}'")
    return int(text)


def read(request: Any, name: str) -> list[str]:
    """The texts of one request. Raises ValueError that names the first one that is not UTF-8."""
    values = pb_utils.get_input_tensor_by_name(request, name).as_numpy().ravel()
    texts = []
    for index, value in enumerate(values):
        try:
            texts.append(value.decode())
        except UnicodeDecodeError:
            raise ValueError(f"input '{name}' is not UTF-8 at position {index}") from None
    return texts


def respond(part: slice | Exception, embeddings: np.ndarray, name: str) -> Any:
    """A request's own rows of the embeddings, or its error."""
    if isinstance(part, Exception):
        code = pb_utils.TritonError.INVALID_ARG if isinstance(part, ValueError) else pb_utils.TritonError.INTERNAL
        return pb_utils.InferenceResponse(output_tensors=[], error=pb_utils.TritonError(str(part), code))
    return pb_utils.InferenceResponse([pb_utils.Tensor(name, np.ascontiguousarray(embeddings[part]))])
