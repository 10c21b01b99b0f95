"""A model's description and its ``config.pbtxt``: one text that CPU and GPU Triton both take.

No ``instance_group`` is written, so Triton puts the model where the machine allows.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field

from chassis.errors import InvalidArgument

# OIP's datatype names -> config.pbtxt's; they differ in BYTES alone.
DATATYPES: Mapping[str, str] = {
    "BYTES": "TYPE_STRING",
    **{
        name: f"TYPE_{name}"
        for name in (
            *("BOOL", "UINT8", "UINT16", "UINT32", "UINT64", "INT8", "INT16", "INT32", "INT64"),
            *("FP16", "FP32", "FP64", "BF16"),
        )
    },
}


@dataclass(frozen=True, slots=True)
class Tensor:
    """One input or output. ``dims`` are those of one row (without the batch dimension); -1 is any size."""

    name: str
    datatype: str
    dims: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class ModelConfig:
    """What config.pbtxt says. ``parameters`` are the platform's (``mizzen.schema_hash`` …) and the backend's own strings.

    ``max_queue_delay_us`` is how long Triton may wait for more requests to batch; 0 batches only what is queued already.
    ``priorities`` > 0 lets a request's ``priority`` parameter (1 is first) pass those queued; without it a request is last.
    """

    name: str
    backend: str
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    max_batch_size: int = 1024
    max_queue_delay_us: int = 0
    priorities: int = 0
    parameters: Mapping[str, str] = field(default_factory=dict)


def config_text(config: ModelConfig) -> str:
    """The text of config.pbtxt. Raises InvalidArgument for an unknown datatype or an empty description."""
    if not config.inputs or not config.outputs:
        raise InvalidArgument("A model needs at least one input and one output.", field="inputs")
    lines = [
        f"name: {_quoted(config.name)}",
        f"backend: {_quoted(config.backend)}",
        f"max_batch_size: {config.max_batch_size}",
    ]
    for side, tensors in (("input", config.inputs), ("output", config.outputs)):
        lines += [f"{side} [", ",\n".join(_tensor_text(tensor) for tensor in tensors), "]"]
    if config.max_batch_size > 0:
        lines.append(_batching_text(config))
    for key, value in sorted(config.parameters.items()):
        lines.append(f"parameters {{ key: {_quoted(key)} value {{ string_value: {_quoted(value)} }} }}")
    return "\n".join(lines) + "\n"


def _batching_text(config: ModelConfig) -> str:
    options = []
    if config.max_queue_delay_us:
        options.append(f"max_queue_delay_microseconds: {config.max_queue_delay_us}")
    if config.priorities:
        options.append(f"priority_levels: {config.priorities} default_priority_level: {config.priorities}")
    return f"dynamic_batching {{ {' '.join(options)} }}" if options else "dynamic_batching {}"


def _tensor_text(tensor: Tensor) -> str:
    if tensor.datatype not in DATATYPES:
        raise InvalidArgument(f"Tensor {tensor.name} has the unknown datatype {tensor.datatype}.", field=tensor.name)
    dims = ", ".join(str(size) for size in tensor.dims)
    return f"  {{ name: {_quoted(tensor.name)} data_type: {DATATYPES[tensor.datatype]} dims: [ {dims} ] }}"


def _quoted(text: str) -> str:
    """A text-format string; JSON's escapes are a subset of it except ``\\/``, which json never writes."""
    return json.dumps(text, ensure_ascii=False)
