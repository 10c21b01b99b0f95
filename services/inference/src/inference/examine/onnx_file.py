"""An ONNX file, parsed: known operators only, and external data only in plain files beside it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import onnx
from google.protobuf.message import DecodeError

from inference.examine.entries import FILE_NAME
from inference.examine.operators import MICROSOFT, MICROSOFT_OPERATORS, STANDARD
from inference.examine.refusal import refusal

MAX_ONNX_BYTES = 2**31 - 1  # protobuf's own limit
MAX_MESSAGES = 5_000_000
_EXTERNAL_KEYS = frozenset({"location", "offset", "length", "checksum"})
# What exporters call files of weights. Triton looks for libraries and Python in the same folder, by name.
_DATA_SUFFIXES = frozenset({"", ".data", ".bin", ".weights", ".weight", ".bias", ".onnx_data", ".pb"})


def read_onnx(root: Path, path: str, sizes: Mapping[str, int], doubt: str = "") -> set[str]:
    """Checks the file at ``root / path`` and returns the paths of the files that its external data lies in.

    ``sizes`` are the package's files; ``doubt`` follows where the parser fails without saying why. Raises InvalidArgument for what
    is no ONNX graph, for an operator that the standard and ONNX Runtime don't have, and for external data that lies anywhere but
    in a file beside this one.
    """
    if sizes[path] > MAX_ONNX_BYTES:
        raise refusal(path, f"it is larger than {MAX_ONNX_BYTES} bytes", mend="Keep its weights as external data")
    try:
        model = onnx.ModelProto.FromString((root / path).read_bytes())
    except (DecodeError, ValueError, RecursionError):
        raise refusal(path, f"it is not an ONNX file{doubt}") from None
    if not model.graph.node:
        raise refusal(path, "it is not an ONNX file: it has no graph")
    functions = {(function.domain, function.name) for function in model.functions}
    _check_domains(path, model, {domain for domain, _ in functions})
    data: set[str] = set()
    for message in _messages(path, model):
        if isinstance(message, onnx.NodeProto):
            _check_operator(path, message, functions)
        elif isinstance(message, onnx.TensorProto) and (message.external_data or message.data_location):
            data.add(_external(path, message, sizes))
    return data


def _messages(path: str, model: Any) -> Iterator[Any]:
    """Every message under ``model``: those of subgraphs, functions, attributes and training information too."""
    stack = [model]
    count = 0
    while stack:
        message = stack.pop()
        count += 1
        if count > MAX_MESSAGES:
            raise refusal(path, f"its graph has more than {MAX_MESSAGES} parts")
        yield message
        for descriptor, value in message.ListFields():
            if descriptor.message_type is not None:
                stack.extend(value if descriptor.is_repeated else (value,))


def _check_domains(path: str, model: Any, own: set[str]) -> None:
    for index, opset in enumerate(model.opset_import):
        if opset.domain not in STANDARD | {MICROSOFT} | own:
            raise refusal(
                path,
                f"{opset.domain!a} is a domain of custom operators, which a library would have to bring",
                field=f"opset_import[{index}].domain",
                mend="Export the model with standard operators",
            )


def _check_operator(path: str, node: Any, functions: set[tuple[str, str]]) -> None:
    if node.domain in STANDARD or (node.domain, node.op_type) in functions:
        return
    if node.domain == MICROSOFT and node.op_type in MICROSOFT_OPERATORS:
        return
    raise refusal(
        path,
        f"{node.domain!a} has no operator {node.op_type!a} that is served",
        field=f"graph.node {node.name!a}",
        mend="Export the model with standard operators",
    )


def _external(path: str, tensor: Any, sizes: Mapping[str, int]) -> str:
    """The path of the file that ``tensor`` lies in."""
    field = f"external_data of tensor {tensor.name!a}"
    entries = {entry.key: entry.value for entry in tensor.external_data}
    location = entries.get("location", "")
    if len(entries) != len(tensor.external_data) or not entries.keys() <= _EXTERNAL_KEYS:
        raise refusal(path, "its keys are location, offset, length and checksum, each once", field=field)
    if not FILE_NAME.fullmatch(location):
        raise refusal(
            path,
            f"it keeps data at {location!a}, outside of its folder",
            field=field,
            mend="Put the file beside it",
        )
    if Path(location).suffix not in _DATA_SUFFIXES:
        raise refusal(
            path,
            f"{location} is no name for data",
            field=field,
            mend=f"Name it with one of {', '.join(sorted(_DATA_SUFFIXES - {''}))}",
        )
    beside = f"{path.rpartition('/')[0]}/{location}"
    if beside not in sizes or beside == path:
        raise refusal(path, f"{location} is not in the package", field=field, mend="Put the file beside it")
    numbers = [entries.get("offset", "0"), entries.get("length", "0")]
    if not all(number.isascii() and number.isdecimal() and len(number) < 19 for number in numbers):
        raise refusal(path, "offset and length are numbers of bytes", field=field)
    if sum(map(int, numbers)) > sizes[beside]:
        raise refusal(path, f"{location} is shorter than what it says", field=field)
    return beside
