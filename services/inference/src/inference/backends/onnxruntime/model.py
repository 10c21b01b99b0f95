"""Triton's ``onnxruntime`` backend, on CPU, written in Python over ONNX Runtime.

The C++ backend is not in the wheel's Triton; with this directory under ``--backend-directory`` an unmodified package with
``backend: "onnxruntime"`` is served. The requests that Triton's dynamic batcher hands over together run as one ONNX
Runtime call wherever their shapes allow. A request's fault is that request's error and never its neighbours'.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import triton_python_backend_utils as pb_utils
from onnxruntime.capi.onnxruntime_pybind11_state import InvalidArgument

# Triton's name -> (ONNX Runtime's name, NumPy dtype). BF16 has no NumPy dtype and is refused at load.
DATATYPES: dict[str, tuple[str, Any]] = {
    "TYPE_BOOL": ("tensor(bool)", np.bool_),
    "TYPE_UINT8": ("tensor(uint8)", np.uint8),
    "TYPE_UINT16": ("tensor(uint16)", np.uint16),
    "TYPE_UINT32": ("tensor(uint32)", np.uint32),
    "TYPE_UINT64": ("tensor(uint64)", np.uint64),
    "TYPE_INT8": ("tensor(int8)", np.int8),
    "TYPE_INT16": ("tensor(int16)", np.int16),
    "TYPE_INT32": ("tensor(int32)", np.int32),
    "TYPE_INT64": ("tensor(int64)", np.int64),
    "TYPE_FP16": ("tensor(float16)", np.float16),
    "TYPE_FP32": ("tensor(float)", np.float32),
    "TYPE_FP64": ("tensor(double)", np.float64),
    "TYPE_STRING": ("tensor(string)", np.object_),
}
Arrays = dict[str, np.ndarray]


class Refusal(Exception):
    """A request's own fault; its text is what the caller reads."""


# ONNX Runtime says INVALID_ARGUMENT for ranks and shapes that its graph doesn't take.
CALLER_FAULTS = (Refusal, InvalidArgument)


class TritonPythonModel:
    """One instance of one model: an ONNX Runtime session and the tensors that its configuration names."""

    def initialize(self, args: Mapping[str, str]) -> None:
        """Loads ``<repository>/<version>/model.onnx`` and checks the configuration's tensors against its graph."""
        config = json.loads(args["model_config"])
        if config.get("model_transaction_policy", {}).get("decoupled") or "sequence_batching" in config:
            raise pb_utils.TritonModelException("the CPU runtime serves neither decoupled models nor sequence batching")
        path = model_file(args["model_repository"], args["model_version"], config.get("default_model_filename", ""))
        self.session = onnxruntime.InferenceSession(
            str(path), session_options(config.get("parameters", {})), providers=["CPUExecutionProvider"]
        )
        self.batched = config.get("max_batch_size", 0) > 0
        self.inputs = {tensor["name"]: tensor for tensor in config.get("input", [])}
        self.outputs = {tensor["name"]: tensor for tensor in config.get("output", [])}
        check_tensors("input", self.inputs, {node.name: node.type for node in self.session.get_inputs()})
        check_tensors("output", self.outputs, {node.name: node.type for node in self.session.get_outputs()})

    def execute(self, requests: Sequence[Any]) -> list[Any]:
        """Answers each request in order, with tensors or with an error of its own."""
        answers: list[Arrays | Exception | None] = [None] * len(requests)
        wanted: list[list[str]] = []
        groups: dict[Any, list[tuple[int, Arrays]]] = {}
        for index, request in enumerate(requests):
            wanted.append([name for name in self.outputs if name in set(request.requested_output_names())])
            try:
                arrays = self._read(request)
            except Exception as error:
                answers[index] = error
                continue
            groups.setdefault(self._shape_key(index, arrays), []).append((index, arrays))
        for members in groups.values():
            names = sorted({name for index, _ in members for name in wanted[index]})
            for index, answer in self._run_together(members, names):
                answers[index] = answer
        return [self._respond(answer, names) for answer, names in zip(answers, wanted, strict=True)]

    def finalize(self) -> None:
        """Frees the session."""
        del self.session

    def _read(self, request: Any) -> Arrays:
        arrays: Arrays = {}
        for name, tensor in self.inputs.items():
            given = pb_utils.get_input_tensor_by_name(request, name)
            if given is not None:
                array = given.as_numpy()
                arrays[name] = decode(name, array) if tensor["data_type"] == "TYPE_STRING" else array
            elif not tensor.get("optional"):
                raise Refusal(f"input '{name}' is missing")
        rows = {array.shape[:1] for array in arrays.values()}
        if self.batched and len(rows) > 1:
            raise Refusal(f"inputs have different numbers of rows: {sorted(row[0] if row else 0 for row in rows)}")
        return arrays

    def _shape_key(self, index: int, arrays: Arrays) -> Any:
        """Requests with equal keys can be concatenated along the rows."""
        if not self.batched:
            return index
        return tuple((name, array.shape[1:]) for name, array in arrays.items())

    def _run_together(
        self, members: list[tuple[int, Arrays]], names: list[str]
    ) -> Iterable[tuple[int, Arrays | Exception]]:
        """One ONNX Runtime call for all members; each alone when that fails, so that only the faulty one is refused."""
        if len(members) > 1:
            together = {name: np.concatenate([arrays[name] for _, arrays in members]) for name in members[0][1]}
            sizes = [next(iter(arrays.values())).shape[0] for _, arrays in members]
            try:
                outputs = dict(zip(names, self.session.run(names, together), strict=True))
                if all(array.shape[:1] == (sum(sizes),) for array in outputs.values()):
                    return zip([index for index, _ in members], split(outputs, sizes), strict=True)
            except Exception as error:  # retried one by one below, where each error is answered
                pb_utils.Logger.log_verbose(f"a batch of {len(members)} requests failed together: {error}")
        return [(index, self._run_alone(arrays, names)) for index, arrays in members]

    def _run_alone(self, arrays: Arrays, names: list[str]) -> Arrays | Exception:
        try:
            return dict(zip(names, self.session.run(names, arrays), strict=True))
        except Exception as error:
            return error

    def _respond(self, answer: Arrays | Exception | None, names: list[str]) -> Any:
        try:
            if isinstance(answer, dict):
                return pb_utils.InferenceResponse([self._tensor(name, answer[name]) for name in names])
            error: Exception = answer or Refusal("the request was not run")
        except Exception as failure:
            error = failure
        code = pb_utils.TritonError.INVALID_ARG if isinstance(error, CALLER_FAULTS) else pb_utils.TritonError.INTERNAL
        text = str(error) or type(error).__name__
        return pb_utils.InferenceResponse(output_tensors=[], error=pb_utils.TritonError(text, code))

    def _tensor(self, name: str, array: np.ndarray) -> Any:
        config = self.outputs[name]
        if "reshape" in config:
            rows = array.shape[:1] if self.batched else ()
            array = array.reshape([*rows, *(int(size) for size in config["dims"])])
        if config["data_type"] == "TYPE_STRING":
            array = encode(array)
        return pb_utils.Tensor(name, np.ascontiguousarray(array))


def model_file(repository: str, version: str, name: str) -> Path:
    """The ONNX file of a model's version; a folder of that name holds it beside its external data."""
    path = Path(repository) / version / (name or "model.onnx")
    if path.resolve().parent != (Path(repository) / version).resolve():
        raise pb_utils.TritonModelException(f"default_model_filename '{name}' leaves the model's version folder")
    return path / "model.onnx" if path.is_dir() else path


def session_options(parameters: Mapping[str, Mapping[str, str]]) -> Any:
    """Session options; ``intra_op_thread_count`` and ``inter_op_thread_count`` are the C++ backend's own parameters.

    By default a model takes half of the cores it may run on, four at most, and waiting threads sleep: several models,
    the server and its callers share the machine.
    """
    options = onnxruntime.SessionOptions()
    default = max(1, min(4, len(os.sched_getaffinity(0)) // 2))
    options.intra_op_num_threads = count(parameters, "intra_op_thread_count") or default
    options.inter_op_num_threads = count(parameters, "inter_op_thread_count") or 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.log_severity_level = 3
    return options


def count(parameters: Mapping[str, Mapping[str, str]], name: str) -> int:
    """A thread count among the configuration's parameters; 0 when absent."""
    text = parameters.get(name, {}).get("string_value", "0")
    if not text.isdecimal():
        raise pb_utils.TritonModelException(f"parameter {name} must be a number, not '{text}'")
    return int(text)


def check_tensors(side: str, configured: Mapping[str, Any], graph: Mapping[str, str]) -> None:
    """Raises when the configuration names a tensor that the graph lacks or gives it another type."""
    if not configured:
        raise pb_utils.TritonModelException(f"config.pbtxt must name its {side}s; the graph has {', '.join(graph)}")
    for name, tensor in configured.items():
        if name not in graph:
            raise pb_utils.TritonModelException(f"the graph has no {side} '{name}'; it has {', '.join(graph)}")
        expected = DATATYPES.get(tensor["data_type"])
        if expected is None or expected[0] != graph[name]:
            raise pb_utils.TritonModelException(
                f"{side} '{name}' is {tensor['data_type']} in config.pbtxt and {graph[name]} in the graph"
            )


def decode(name: str, array: np.ndarray) -> np.ndarray:
    """BYTES as ONNX Runtime wants them: str. Raises Refusal that names the first value that is not UTF-8."""
    decoded = np.empty(array.size, dtype=np.object_)
    for index, value in enumerate(array.ravel()):
        try:
            decoded[index] = value.decode() if isinstance(value, bytes) else str(value)
        except UnicodeDecodeError:
            raise Refusal(f"input '{name}' is not UTF-8 at position {index}") from None
    return decoded.reshape(array.shape)


def encode(array: np.ndarray) -> np.ndarray:
    """str as Triton wants it: bytes."""
    encoded = np.empty(array.size, dtype=np.object_)
    encoded[:] = [value.encode() if isinstance(value, str) else bytes(value) for value in array.ravel()]
    return encoded.reshape(array.shape)


def split(outputs: Arrays, sizes: Sequence[int]) -> list[Arrays]:
    """The rows of each output handed back to the requests they came from."""
    ends = np.cumsum(sizes).tolist()
    starts = [0, *ends[:-1]]
    return [
        {name: array[start:end] for name, array in outputs.items()} for start, end in zip(starts, ends, strict=True)
    ]
