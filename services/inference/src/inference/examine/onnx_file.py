"""An ONNX file, parsed: known operators only, and external data only in plain files beside it that hold nothing else."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import onnx
from google.protobuf.message import DecodeError

from inference.examine.external_data import Span, check_filled, span_of
from inference.examine.operators import MICROSOFT, MICROSOFT_OPERATORS, STANDARD
from inference.examine.refusal import refusal

MAX_ONNX_BYTES = 2**31 - 1  # protobuf's own limit
MAX_MESSAGES = 5_000_000
# How the domains of operators begin that runtimes bring: their own code would run in place of a function of such a name.
_RESERVED = ("ai.", "com.", "org.", "trt.")


def read_onnx(root: Path, path: str, sizes: Mapping[str, int], doubt: str = "") -> set[str]:
    """Checks the file at ``root / path`` and returns the paths of the files that its external data lies in.

    ``sizes`` are the package's files; ``doubt`` follows where the parser fails without saying why. Raises InvalidArgument for what
    is no ONNX graph, for an operator that the standard and ONNX Runtime don't have, and for external data that lies anywhere but
    in a file beside this one, or among bytes that are no tensor's.
    """
    if sizes[path] > MAX_ONNX_BYTES:
        raise refusal(path, f"it is larger than {MAX_ONNX_BYTES} bytes", mend="Keep its weights as external data")
    try:
        model = onnx.ModelProto.FromString((root / path).read_bytes())
    except (DecodeError, ValueError, RecursionError):
        raise refusal(path, f"it is not an ONNX file{doubt}") from None
    if not model.graph.node:
        raise refusal(path, "it is not an ONNX file: it has no graph")
    functions = {(function.domain, function.name, function.overload) for function in model.functions}
    own = {domain for domain, _, _ in functions}
    for domain in sorted(own):
        _check_own(path, domain)
    _check_domains(path, model, own)
    for function in model.functions:
        _check_domains(path, function, own, f"function {function.name!a}, ")
    spans: list[Span] = []
    for message in _messages(path, model):
        if isinstance(message, onnx.NodeProto):
            _check_operator(path, message, functions)
        elif isinstance(message, onnx.TensorProto) and (message.external_data or message.data_location):
            spans.append(span_of(path, message, sizes))
    check_filled(root, spans, sizes)
    return {span.file for span in spans}


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


def _check_own(path: str, domain: str) -> None:
    if domain in STANDARD or domain.lower().startswith(_RESERVED):
        raise refusal(
            path,
            f"{domain!a} is a domain of a runtime's operators, and no function of the graph may be called like these",
            field="functions",
            mend="Give the functions a domain of their own, such as local",
        )


def _check_domains(path: str, importing: Any, own: set[str], where: str = "") -> None:
    """importing: the model, or one of its functions, named by `where`."""
    for index, opset in enumerate(importing.opset_import):
        if opset.domain not in STANDARD | {MICROSOFT} | own:
            raise refusal(
                path,
                f"{opset.domain!a} is a domain of custom operators, which a library would have to bring",
                field=f"{where}opset_import[{index}].domain",
                mend="Export the model with standard operators",
            )


def _check_operator(path: str, node: Any, functions: set[tuple[str, str, str]]) -> None:
    if node.domain in STANDARD or (node.domain, node.op_type, node.overload) in functions:
        return
    if node.domain == MICROSOFT and node.op_type in MICROSOFT_OPERATORS:
        return
    raise refusal(
        path,
        f"{node.domain!a} has no operator {node.op_type!a} that is served",
        field=f"graph.node {node.name!a}",
        mend="Export the model with standard operators",
    )
