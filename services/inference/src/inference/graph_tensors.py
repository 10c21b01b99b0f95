"""The inputs and outputs of an ONNX graph, as config.pbtxt states them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import onnx
from google.protobuf.message import DecodeError
from onnx import TensorProto, ValueInfoProto

from chassis.errors import InvalidArgument
from inference.config import Tensor

_DATATYPES: Mapping[int, str] = {
    TensorProto.BOOL: "BOOL",
    TensorProto.UINT8: "UINT8",
    TensorProto.UINT16: "UINT16",
    TensorProto.UINT32: "UINT32",
    TensorProto.UINT64: "UINT64",
    TensorProto.INT8: "INT8",
    TensorProto.INT16: "INT16",
    TensorProto.INT32: "INT32",
    TensorProto.INT64: "INT64",
    TensorProto.FLOAT16: "FP16",
    TensorProto.FLOAT: "FP32",
    TensorProto.DOUBLE: "FP64",
    TensorProto.STRING: "BYTES",
    TensorProto.BFLOAT16: "BF16",
}


def graph_tensors(model: bytes) -> tuple[tuple[Tensor, ...], tuple[Tensor, ...]]:
    """(inputs, outputs) of the ONNX file ``model``, in its order, without the dimension of rows; -1 is any size.

    Raises InvalidArgument for what is no ONNX file, and for a tensor that has no first dimension of any size: Triton
    batches by it.
    """
    try:
        graph = onnx.ModelProto.FromString(model).graph
    except (DecodeError, ValueError, RecursionError):
        raise InvalidArgument("The model is not an ONNX file.", field="onnx") from None
    constants = {constant.name for constant in graph.initializer}
    return _tensors(each for each in graph.input if each.name not in constants), _tensors(graph.output)


def _tensors(values: Iterable[ValueInfoProto]) -> tuple[Tensor, ...]:
    return tuple(_tensor(value) for value in values)


def _tensor(value: ValueInfoProto) -> Tensor:
    described = value.type.tensor_type
    dims = [size.dim_value or -1 for size in described.shape.dim]
    if described.elem_type not in _DATATYPES or dims[:1] != [-1]:
        raise InvalidArgument(
            f"Tensor {value.name} of the ONNX graph is not [rows, …] of a datatype that Triton has.", field=value.name
        )
    return Tensor(value.name, _DATATYPES[described.elem_type], tuple(dims[1:]))
