"""Open Inference Protocol messages ↔ domain. Pure."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from tritonclient.grpc import service_pb2

from chassis.errors import InvalidArgument
from gateway.domain.inference import InferAnswer, InferRequest, Tensor, WantedOutput
from gateway.domain.model import Scalar
from gateway.domain.tensors import TENSOR_NUMPY, joined_texts

oip: Any = service_pb2
_CONTENTS = {
    "BOOL": "bool_contents",
    "INT8": "int_contents",
    "INT16": "int_contents",
    "INT32": "int_contents",
    "INT64": "int64_contents",
    "UINT8": "uint_contents",
    "UINT16": "uint_contents",
    "UINT32": "uint_contents",
    "UINT64": "uint64_contents",
    "FP32": "fp32_contents",
    "FP64": "fp64_contents",
    "BYTES": "bytes_contents",
}
_CLOSED = ("shared_memory_region", "shared_memory_byte_size", "shared_memory_offset")


def _parameters(source: Any, field: str) -> dict[str, Scalar] | None:
    if not source:
        return None
    found: dict[str, Scalar] = {}
    for name, value in source.items():
        if name in _CLOSED:
            message = f"{field}.{name}: shared memory is not offered here"
            raise InvalidArgument(message, reason="NOT_OFFERED", field=f"{field}.{name}")
        kind = value.WhichOneof("parameter_choice")
        if kind is not None:
            found[name] = getattr(value, kind)
    return found


def infer_request(message: Any) -> InferRequest:
    """ModelInferRequest → domain; typed contents become raw bytes. InvalidArgument names the input."""
    raws = message.raw_input_contents
    if raws and len(raws) != len(message.inputs):
        text = f"raw_input_contents has {len(raws)} entries for {len(message.inputs)} inputs"
        raise InvalidArgument(text, reason="INVALID_VALUE", field="raw_input_contents")
    inputs = []
    for index, given in enumerate(message.inputs):
        field = f"inputs[{index}]"
        raw = raws[index] if raws else _packed(given, field)
        parameters = _parameters(given.parameters, f"{field}.parameters")
        inputs.append(Tensor(given.name, given.datatype, tuple(given.shape), raw, parameters))
    if not inputs:
        raise InvalidArgument("inputs must hold a tensor", reason="INVALID_VALUE", field="inputs")
    outputs = [WantedOutput(o.name, _parameters(o.parameters, "outputs.parameters")) for o in message.outputs]
    return InferRequest(
        message.model_name,
        inputs,
        message.model_version,
        message.id,
        outputs,
        _parameters(message.parameters, "parameters"),
    )


def _packed(given: Any, field: str) -> bytes:
    name = _CONTENTS.get(given.datatype)
    if name is None:
        text = f"{field}.datatype {given.datatype[:16]!r} has no typed contents; send raw_input_contents"
        raise InvalidArgument(text, reason="INVALID_DATATYPE", field=f"{field}.datatype")
    elements = getattr(given.contents, name)
    if given.datatype == "BYTES":
        return joined_texts(elements)
    try:
        return np.array(elements, TENSOR_NUMPY[given.datatype]).tobytes()
    except (OverflowError, ValueError):
        text = f"{field}.contents has a number outside the range of {given.datatype}"
        raise InvalidArgument(text, reason="INVALID_VALUE", field=f"{field}.contents") from None


def infer_response(answer: InferAnswer) -> Any:
    """Domain → ModelInferResponse with raw contents."""
    message = oip.ModelInferResponse(
        model_name=answer.model,
        model_version=answer.model_version,
        id=answer.id,
        raw_output_contents=[tensor.raw for tensor in answer.outputs],
    )
    if answer.parameters:
        _write(answer.parameters, message.parameters)
    for tensor in answer.outputs:
        output = message.outputs.add(name=tensor.name, datatype=tensor.datatype, shape=tensor.shape)
        if tensor.parameters:
            _write(tensor.parameters, output.parameters)
    return message


def _write(parameters: Mapping[str, Scalar], target: Any) -> None:
    for name, value in parameters.items():
        if isinstance(value, bool):
            target[name].bool_param = value
        elif isinstance(value, int):
            target[name].int64_param = value
        elif isinstance(value, float):
            target[name].double_param = value
        else:
            target[name].string_param = value
