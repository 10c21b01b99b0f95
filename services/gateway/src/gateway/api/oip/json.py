"""Open Inference Protocol bodies, JSON and binary, ↔ domain. Pure."""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import orjson

from chassis.errors import InvalidArgument
from gateway.api.http.request import parse_object, refuse_unknown
from gateway.domain.inference import InferAnswer, InferRequest, Tensor, WantedOutput
from gateway.domain.model import Scalar
from gateway.domain.tensors import SIZES, TENSOR_NUMPY, joined_texts, split_texts

_BODY = frozenset({"id", "parameters", "inputs", "outputs"})
_INPUT = frozenset({"name", "shape", "datatype", "parameters", "data"})
_OUTPUT = frozenset({"name", "parameters"})
# What the gateway itself understands of parameters; Triton gets the rest.
_BINARY = frozenset({"binary_data", "binary_data_size", "binary_data_output"})
_CLOSED = ("shared_memory_region", "shared_memory_byte_size", "shared_memory_offset")
MAX_INPUTS = 256


def infer_request(body: bytes, model: str, version: str, header_length: int | None) -> tuple[InferRequest, "Binary"]:
    """The request, and which outputs are wanted as bytes. `header_length`: where the JSON ends and tensors begin."""
    if header_length is None:
        head, tail = parse_object(body), memoryview(b"")
    elif header_length > len(body):
        message = "Inference-Header-Content-Length is larger than the body"
        raise InvalidArgument(message, reason="INVALID_VALUE", field="Inference-Header-Content-Length")
    else:
        head, tail = parse_object(body[:header_length]), memoryview(body)[header_length:]
    refuse_unknown(head, _BODY)
    inputs_in = head.get("inputs")
    if type(inputs_in) is not list or not 1 <= len(inputs_in) <= MAX_INPUTS:
        raise InvalidArgument("inputs must be a list of tensors", reason="INVALID_VALUE", field="inputs")
    inputs, offset = [], 0
    for index, given in enumerate(inputs_in):
        tensor, used = _input(given, f"inputs[{index}]", tail[offset:])
        inputs.append(tensor)
        offset += used
    if offset != len(tail):
        message = f"the body has {len(tail)} bytes of tensors; binary_data_size says {offset}"
        raise InvalidArgument(message, reason="INVALID_VALUE", field="inputs")
    parameters = _parameters(head.get("parameters"), "parameters")
    outputs, wanted = _outputs(head.get("outputs"))
    binary = Binary(all_outputs=parameters.pop("binary_data_output", False) is True, by_name=wanted)
    return InferRequest(model, inputs, version, _text(head, "id"), outputs, parameters or None), binary


class Binary:
    """Which outputs are answered as bytes after the JSON."""

    __slots__ = ("all_outputs", "by_name")

    def __init__(self, *, all_outputs: bool, by_name: Mapping[str, bool]) -> None:
        self.all_outputs = all_outputs
        self.by_name = by_name

    def wants(self, name: str) -> bool:
        """An output's own word counts, else the request's."""
        return self.by_name.get(name, self.all_outputs)


def _text(value: Mapping[str, Any], name: str, where: str = "") -> str:
    found = value.get(name, "")
    if type(found) is not str or len(found) > 1024:
        field = f"{where}.{name}" if where else name
        raise InvalidArgument(
            f"{field} must be a string of at most 1024 characters", reason="INVALID_VALUE", field=field
        )
    return found


def _input(given: object, field: str, tail: memoryview) -> tuple[Tensor, int]:
    if type(given) is not dict:
        raise InvalidArgument(f"{field} must be an object", reason="INVALID_VALUE", field=field)
    refuse_unknown(given, _INPUT, field)
    name, datatype = _text(given, "name", field), _text(given, "datatype", field)
    if datatype not in SIZES and datatype != "BYTES":
        message = f"{field}.datatype must be BYTES or one of {', '.join(SIZES)}"
        raise InvalidArgument(message, reason="INVALID_DATATYPE", field=f"{field}.datatype")
    shape = given.get("shape")
    if type(shape) is not list or len(shape) > 32 or not all(type(s) is int and 0 <= s < 2**31 for s in shape):
        message = f"{field}.shape must be a list of whole numbers ≥ 0"
        raise InvalidArgument(message, reason="INVALID_SHAPE", field=f"{field}.shape")
    parameters = _parameters(given.get("parameters"), f"{field}.parameters")
    size = parameters.pop("binary_data_size", None)
    if size is None:
        return Tensor(name, datatype, tuple(shape), _packed(given, datatype, shape, field), parameters or None), 0
    if type(size) is not int or not 0 <= size <= len(tail) or "data" in given:
        message = f"{field}.parameters.binary_data_size must be the number of this tensor's bytes after the JSON"
        raise InvalidArgument(message, reason="INVALID_VALUE", field=f"{field}.parameters.binary_data_size")
    return Tensor(name, datatype, tuple(shape), bytes(tail[:size]), parameters or None), size


def _packed(given: Mapping[str, Any], datatype: str, shape: list[int], field: str) -> bytes:
    data = given.get("data")
    place = f"{field}.data"
    if type(data) is not list:
        raise InvalidArgument(f"{place} must be a list", reason="INVALID_VALUE", field=place)
    if datatype == "BF16":
        message = f"{field}.datatype BF16 has no JSON form; send it as binary data"
        raise InvalidArgument(message, reason="INVALID_DATATYPE", field=f"{field}.datatype")
    flat = _flat(data, place)
    if len(flat) != math.prod(shape):
        message = f"{place} has {len(flat)} elements; shape {shape} needs {math.prod(shape)}"
        raise InvalidArgument(message, reason="INVALID_SHAPE", field=place)
    if datatype == "BYTES":
        return joined_texts([_bytes(item, f"{place}[{index}]") for index, item in enumerate(flat)])
    return _numbers(flat, datatype, place)


def _flat(data: list[Any], place: str) -> list[Any]:
    """Row-major elements of nested lists; flat lists pass as they are."""
    while data and type(data[0]) is list:
        if not all(type(item) is list for item in data):
            raise InvalidArgument(f"{place} mixes lists and values", reason="INVALID_VALUE", field=place)
        data = [item for row in data for item in row]
    return data


def _bytes(item: object, place: str) -> bytes:
    if type(item) is not str:
        raise InvalidArgument(f"{place} must be a string", reason="INVALID_VALUE", field=place)
    return item.encode()


def _numbers(flat: list[Any], datatype: str, place: str) -> bytes:
    dtype = TENSOR_NUMPY[datatype]
    kinds = {type(item) for item in flat}
    allowed = {"b": {bool, int}, "f": {int, float}}.get(dtype.kind, {int})
    if not kinds <= allowed:
        index = next(i for i, item in enumerate(flat) if type(item) not in allowed)
        message = f"{place}[{index}] is no {datatype}"
        raise InvalidArgument(message, reason="INVALID_VALUE", field=f"{place}[{index}]")
    try:
        if dtype.kind == "f":
            with np.errstate(over="ignore"):
                array = np.array(flat, np.float64).astype(dtype)
            if flat and not np.isfinite(array).all():
                raise OverflowError
            return array.tobytes()
        return np.array(flat, dtype).tobytes()
    except (OverflowError, ValueError):
        message = f"{place} has a number outside the range of {datatype}"
        raise InvalidArgument(message, reason="INVALID_VALUE", field=place) from None


def _parameters(given: object, field: str) -> dict[str, Scalar]:
    if given is None:
        return {}
    if type(given) is not dict or len(given) > 64:
        raise InvalidArgument(f"{field} must be an object", reason="INVALID_VALUE", field=field)
    for name, value in given.items():
        if name in _CLOSED:
            message = f"{field}.{name}: shared memory is not offered here"
            raise InvalidArgument(message, reason="NOT_OFFERED", field=f"{field}.{name}")
        whole = type(value) is int and -(2**63) <= value < 2**63
        if not whole and type(value) not in (bool, float, str):
            place = f"{field}.{name[:64]}"
            raise InvalidArgument(f"{place} must be a string, number or boolean", reason="INVALID_VALUE", field=place)
    return dict(given)


def _outputs(given: object) -> tuple[list[WantedOutput], dict[str, bool]]:
    if given is None:
        return [], {}
    if type(given) is not list or len(given) > MAX_INPUTS:
        raise InvalidArgument("outputs must be a list", reason="INVALID_VALUE", field="outputs")
    outputs: list[WantedOutput] = []
    binary: dict[str, bool] = {}
    for index, item in enumerate(given):
        field = f"outputs[{index}]"
        if type(item) is not dict:
            raise InvalidArgument(f"{field} must be an object", reason="INVALID_VALUE", field=field)
        refuse_unknown(item, _OUTPUT, field)
        name = _text(item, "name", field)
        parameters = _parameters(item.get("parameters"), f"{field}.parameters")
        if "binary_data" in parameters:
            binary[name] = parameters.pop("binary_data") is True
        outputs.append(WantedOutput(name, parameters or None))
    return outputs, binary


def infer_body(answer: InferAnswer, binary: Binary) -> tuple[bytes, int | None]:
    """The answer's body, and the length of its JSON when bytes follow."""
    outputs: list[dict[str, object]] = []
    tail: list[bytes] = []
    for tensor in answer.outputs:
        output: dict[str, object] = {"name": tensor.name, "datatype": tensor.datatype, "shape": tensor.shape}
        if tensor.parameters:
            output["parameters"] = tensor.parameters
        if binary.wants(tensor.name):
            output["parameters"] = {**(tensor.parameters or {}), "binary_data_size": len(tensor.raw)}
            tail.append(tensor.raw)
        else:
            output["data"] = _data(tensor)
        outputs.append(output)
    body: dict[str, object] = {"model_name": answer.model, "model_version": answer.model_version, "outputs": outputs}
    if answer.id:
        body["id"] = answer.id
    if answer.parameters:
        body["parameters"] = answer.parameters
    head = orjson.dumps(body)
    return (b"".join([head, *tail]), len(head)) if tail else (head, None)


def _data(tensor: Tensor) -> list[Any]:
    if tensor.datatype == "BYTES":
        return [text.decode(errors="replace") for text in split_texts(tensor.raw)]
    if tensor.datatype == "BF16":
        message = f"output {tensor.name} is BF16, which has no JSON form; ask for binary_data"
        raise InvalidArgument(message, reason="INVALID_DATATYPE", field="outputs")
    values: list[Any] = np.frombuffer(tensor.raw, TENSOR_NUMPY[tensor.datatype]).tolist()
    return values
