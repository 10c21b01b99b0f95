"""config.pbtxt, read as Triton's own message and held against the allow-list of ``fields``."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from google.protobuf import text_format
from tritonclient.grpc import model_config_pb2

from chassis.errors import InvalidArgument
from inference.examine.fields import BACKENDS, FIELDS, MAX_ELEMENTS, MAX_INSTANCES, MOST, PARAMETERS, PLATFORMS, REASONS
from inference.examine.refusal import refusal

MAX_CONFIG_BYTES = 2**20
MAX_WARMUP_ELEMENTS = 2**26


def read_config(path: Path) -> Any:
    """The parsed config.pbtxt, as Triton's own message. Raises InvalidArgument with the line when it is not one."""
    content = path.read_bytes() if path.stat().st_size <= MAX_CONFIG_BYTES else b""
    if not content:
        raise _invalid(path, f"it is empty or larger than {MAX_CONFIG_BYTES} bytes")
    return parse_config(content, path)


def parse_config(content: bytes, path: Path) -> Any:
    """As :func:`read_config`, of ``content``."""
    empty = model_config_pb2.ModelConfig()  # type: ignore[attr-defined]  # built by protobuf at import
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # Python reads an escape that Triton refuses, and warns
            return text_format.Parse(content.decode(), empty)
    except (text_format.ParseError, ValueError, RecursionError, Warning) as error:
        raise _invalid(path, f"{type(error).__name__}: {str(error)[:300]}") from None


def check_config(config: Any, path: str, name: str) -> str:
    """Checks every field that ``config`` sets and returns its backend. ``path`` is for the refusal, ``name`` the folder's.

    Raises InvalidArgument with the field's full path, such as ``instance_group[0].count``.
    """
    if config.name not in ("", name):
        raise refusal(path, f"it names the model {config.name!r}, and its folder is {name}", field="name")
    _check_fields(config, path, "", "")
    backend = str(config.backend) or PLATFORMS.get(config.platform, "")
    if not backend or PLATFORMS.get(config.platform, backend) != backend:
        raise refusal(
            path, "no backend of these is named", field="backend", mend=f"Set backend to {' or '.join(BACKENDS)}"
        )
    _check_parameters(config, path, backend)
    _check_together(config, path)
    return backend


def _check_fields(message: Any, path: str, place: str, shown: str) -> None:
    """Walks what is set; ``place`` is the table's name of ``message``, ``shown`` the same with indices and keys."""
    for descriptor, value in message.ListFields():
        name = f"{place}{descriptor.name}"
        if name not in FIELDS:
            why = REASONS.get(name, "no package needs it")
            raise refusal(
                path, f"a package may not set it ({why})", field=f"{shown}{descriptor.name}", mend="Remove it"
            )
        items = list(_items(descriptor, value))
        most = MOST.get(name, 64)
        if len(items) > most:
            raise refusal(path, f"{len(items)} are more than {most}", field=f"{shown}{descriptor.name}")
        for suffix, item in items:
            where = f"{shown}{descriptor.name}{suffix}"
            if name == "parameters":
                continue
            if hasattr(item, "ListFields"):
                _check_fields(item, path, f"{name}.", f"{where}.")
            elif problem := FIELDS[name](item):
                raise refusal(path, f"{_short(item)}: {problem}", field=where)


def _items(descriptor: Any, value: Any) -> Iterator[tuple[str, Any]]:
    """(suffix of the place, value) of each value of one field."""
    if descriptor.message_type is not None and descriptor.message_type.GetOptions().map_entry:
        for key in sorted(value):
            yield f"[{_short(key)}]", value[key]
    elif descriptor.is_repeated:
        for index, item in enumerate(value):
            yield f"[{index}]", item
    else:
        yield "", value


def _check_parameters(config: Any, path: str, backend: str) -> None:
    allowed = PARAMETERS[backend]
    for key in sorted(config.parameters):
        field = f"parameters[{_short(key)}]"
        if key not in allowed:
            raise refusal(
                path,
                "no parameter of this name may be set",
                field=field,
                mend=f"Remove it; backend {backend} takes {', '.join(sorted(allowed))}",
            )
        if problem := allowed[key](config.parameters[key].string_value):
            raise refusal(path, problem, field=field)


def _check_together(config: Any, path: str) -> None:
    """What several fields say together."""
    for side, tensors in (("input", config.input), ("output", config.output)):
        names = [tensor.name for tensor in tensors]
        for index, tensor in enumerate(tensors):
            if names.index(tensor.name) != index:
                raise refusal(path, f"{tensor.name!r} is there twice", field=f"{side}[{index}].name")
            _check_elements(path, f"{side}[{index}].dims", tensor.dims, MAX_ELEMENTS)
            _check_elements(path, f"{side}[{index}].reshape.shape", tensor.reshape.shape, MAX_ELEMENTS)
    total = sum(group.count or 1 for group in config.instance_group)
    if total > MAX_INSTANCES:
        raise refusal(path, f"{total} instances are more than {MAX_INSTANCES}", field="instance_group")
    batching = config.dynamic_batching
    if batching.default_priority_level > batching.priority_levels:
        raise refusal(
            path,
            f"it is beyond priority_levels ({batching.priority_levels})",
            field="dynamic_batching.default_priority_level",
        )
    for index, sample in enumerate(config.model_warmup):
        for key in sorted(sample.inputs):
            field = f"model_warmup[{index}].inputs[{_short(key)}].dims"
            _check_elements(path, field, [*sample.inputs[key].dims, sample.batch_size or 1], MAX_WARMUP_ELEMENTS)


def _check_elements(path: str, field: str, sizes: Any, most: int) -> None:
    if math.prod(size for size in sizes if size > 0) > most:
        raise refusal(path, f"its sizes multiply to more than {most}", field=field)


def _short(value: Any) -> str:
    text = str(value) if not isinstance(value, str) else value
    return ascii(text)[1:-1][:80]


def _invalid(path: Path, what: str) -> InvalidArgument:
    return refusal(
        f"{path.parent.name}/{path.name}",
        f"it is not a model configuration ({what})",
        reason="CONFIG_INVALID",
        mend="Triton's text format of ModelConfig is read here, and no field beside it",
    )
