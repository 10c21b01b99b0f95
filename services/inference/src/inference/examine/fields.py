"""Which fields of Triton's ModelConfig a package may set, and to what: the allow-list that ``config`` goes by."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from typing import Any

# The backends that run data and never code of the package. A TensorRT plan is machine code, so nobody can read it.
BACKENDS = ("onnxruntime", "sentence_embedding")
PLATFORMS: Mapping[str, str] = {"onnxruntime_onnx": "onnxruntime"}
MAX_VERSIONS = 16
MAX_BATCH = 65_536
MAX_INSTANCES = 32
MAX_ELEMENTS = 2**31 - 1
_HOUR_US = 3_600_000_000

Check = Callable[[Any], str]  # what has to hold where it doesn't, else an empty text


def anything(_: Any) -> str:
    return ""


def between(low: int, high: int) -> Check:
    return lambda value: "" if low <= value <= high else f"it has to lie between {low} and {high}"


def one_of(*names: str) -> Check:
    return lambda value: "" if value in names else f"it has to be {' or '.join(names)}"


def matching(pattern: str, what: str) -> Check:
    compiled = re.compile(pattern)
    return lambda value: "" if compiled.fullmatch(value) else f"it has to be {what}"


def json_object(value: str) -> str:
    try:
        content = json.loads(value)
    except (ValueError, RecursionError):
        return "it has to be a JSON object"
    return "" if isinstance(content, dict) else "it has to be a JSON object"


_tensor_name = matching(
    r"[^\x00-\x1f\x7f/\\]{1,256}", "a name of at most 256 characters, without / and control characters"
)
_plain_name = matching(r"[A-Za-z0-9_][A-Za-z0-9._ -]{0,127}", "a plain name of at most 128 characters")
_datatype = between(1, 14)
# Triton runs some names, such as its stub's, where it finds them: labels are told from these by their suffix.
_label_file = matching(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,123}\.txt", "the name of a .txt file in its folder, no path")


def _dim(value: int) -> str:
    return "" if value == -1 or 1 <= value <= MAX_ELEMENTS else f"a size is -1 or lies between 1 and {MAX_ELEMENTS}"


def _tensor(side: str) -> dict[str, Check]:
    return {
        f"{side}.name": _tensor_name,
        f"{side}.data_type": _datatype,
        f"{side}.dims": _dim,
        f"{side}.reshape": anything,
        f"{side}.reshape.shape": _dim,
        f"{side}.is_shape_tensor": anything,
    }


def _queue_policy(place: str) -> dict[str, Check]:
    return {
        place: anything,
        f"{place}.timeout_action": between(0, 1),
        f"{place}.default_timeout_microseconds": between(0, _HOUR_US),
        f"{place}.allow_timeout_override": anything,
        f"{place}.max_queue_size": between(0, 1_000_000),
    }


FIELDS: Mapping[str, Check] = {
    "name": anything,  # compared with the folder's name
    "platform": one_of(*PLATFORMS),
    "backend": one_of(*BACKENDS),
    "version_policy": anything,
    "version_policy.latest": anything,
    "version_policy.latest.num_versions": between(1, MAX_VERSIONS),
    "version_policy.all": anything,
    "version_policy.specific": anything,
    "version_policy.specific.versions": between(1, 999_999_999),
    "max_batch_size": between(0, MAX_BATCH),
    "input": anything,
    **_tensor("input"),
    "input.format": between(0, 2),
    "input.allow_ragged_batch": anything,
    "input.optional": anything,
    "output": anything,
    **_tensor("output"),
    "output.label_filename": _label_file,
    "optimization": anything,
    "optimization.graph": anything,
    "optimization.graph.level": between(-1, 99),
    "optimization.priority": between(0, 2),
    "optimization.cuda": anything,
    "optimization.cuda.graphs": anything,
    "optimization.cuda.busy_wait_events": anything,
    "optimization.cuda.output_copy_stream": anything,
    "optimization.input_pinned_memory": anything,
    "optimization.input_pinned_memory.enable": anything,
    "optimization.output_pinned_memory": anything,
    "optimization.output_pinned_memory.enable": anything,
    "optimization.gather_kernel_buffer_threshold": between(0, 2**20),
    "optimization.eager_batching": anything,
    "dynamic_batching": anything,
    "dynamic_batching.preferred_batch_size": between(1, MAX_BATCH),
    "dynamic_batching.max_queue_delay_microseconds": between(0, 10_000_000),
    "dynamic_batching.preserve_ordering": anything,
    "dynamic_batching.priority_levels": between(0, 16),
    "dynamic_batching.default_priority_level": between(0, 16),
    **_queue_policy("dynamic_batching.default_queue_policy"),
    **_queue_policy("dynamic_batching.priority_queue_policy"),
    "instance_group": anything,
    "instance_group.name": _plain_name,
    "instance_group.kind": between(0, 3),
    "instance_group.count": between(1, 16),
    "instance_group.gpus": between(0, 63),
    "default_model_filename": matching(
        r"[A-Za-z0-9_][A-Za-z0-9._-]{0,120}\.onnx", "the name of an .onnx file, no path"
    ),
    "parameters": anything,  # their keys: PARAMETERS
    "model_warmup": anything,
    "model_warmup.name": _plain_name,
    "model_warmup.batch_size": between(0, MAX_BATCH),
    "model_warmup.count": between(0, 100),
    "model_warmup.inputs": anything,
    "model_warmup.inputs.data_type": _datatype,
    "model_warmup.inputs.dims": between(1, MAX_ELEMENTS),
    "model_warmup.inputs.zero_data": anything,
    "model_warmup.inputs.random_data": anything,
    "model_transaction_policy": anything,
    "model_transaction_policy.decoupled": anything,
}
# How often a repeated field or a map may occur at one place; 64 where nothing is said.
MOST: Mapping[str, int] = {
    "input": 1024,
    "output": 1024,
    "input.dims": 16,
    "output.dims": 16,
    "input.reshape.shape": 16,
    "output.reshape.shape": 16,
    "version_policy.specific.versions": MAX_VERSIONS,
    "instance_group": 16,
    "model_warmup": 16,
    "model_warmup.inputs": 1024,
    "model_warmup.inputs.dims": 16,
    "dynamic_batching.priority_queue_policy": 16,
}
# Why a field that people do set isn't there.
REASONS: Mapping[str, str] = {
    "model_operations": "it names libraries that Triton loads into its process",
    "cc_model_filenames": "it names files by path; the file is model.onnx or default_model_filename",
    "runtime": "it names a library that Triton loads into its process",
    "model_repository_agents": "it names libraries that Triton loads into its process",
    "ensemble_scheduling": "an ensemble calls other models by name, which only this server's operator knows",
    "sequence_batching": "models with a state between requests aren't served",
    "metric_tags": "a package doesn't name labels of this server's metrics",
    "model_metrics": "a package doesn't shape this server's metrics",
    "response_cache": "answers aren't cached: a cache's content would outlive a version",
    "model_warmup.inputs.input_data_file": "it reads a file; zero_data and random_data warm up too",
    "optimization.execution_accelerators": "its parameters name libraries and files by path",
    "instance_group.host_policy": "it names a policy of this server's command line",
}

_flag = matching("[01]", "0 or 1")
_threads = matching(r"[0-9]{1,2}|1[0-9]{2}|2[0-4][0-9]|25[0-6]", "a number up to 256")
_PLATFORM_KEYS: Mapping[str, Check] = {
    "mizzen.schema_hash": matching(r"[A-Za-z0-9._-]{0,64}", "a schema hash"),
    "mizzen.version": matching(r"[0-9a-f]{1,64}", "hex digits of the model's sha256"),
    "mizzen.baseline": json_object,
}
# Keys of `parameters`, by backend. No backend of ours and none of Triton's takes a file or a library by one of these.
PARAMETERS: Mapping[str, Mapping[str, Check]] = {
    "onnxruntime": {
        **_PLATFORM_KEYS,
        "intra_op_thread_count": _threads,
        "inter_op_thread_count": _threads,
        "execution_mode": _flag,
        "enable_mem_arena": _flag,
        "enable_mem_pattern": _flag,
        "gpu_mem_limit": matching(r"[0-9]{1,15}", "a number of bytes"),
        "arena_extend_strategy": _flag,
        "cudnn_conv_algo_search": matching("[012]", "0, 1 or 2"),
        "cudnn_conv_use_max_workspace": _flag,
        "do_copy_in_default_stream": _flag,
    },
    "sentence_embedding": {
        **_PLATFORM_KEYS,
        "intra_op_thread_count": _threads,
        "max_tokens": matching(r"[1-9][0-9]{0,5}", "a number between 1 and 999999"),
    },
}
