"""The model as an ONNX graph: vocabulary, imputation, scaling, network and calibration, so that a server needs nothing else."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
from network import CLIP, Network
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

OPSET, ML_OPSET, IR_VERSION = 17, 3, 8


class _Graph:
    """Collects nodes and constants; each method gives the name of its result."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []

    def constant(self, name: str, value: NDArray[np.generic] | np.float32) -> str:
        # Not ascontiguousarray: it makes a list of one out of a number, and a Gather by a list keeps the axis.
        self.constants.append(numpy_helper.from_array(np.array(value, order="C"), name))
        return name

    def node(self, operator: str, inputs: Sequence[str], output: str, domain: str = "", **attributes: Any) -> str:
        self.nodes.append(helper.make_node(operator, list(inputs), [output], output, domain=domain, **attributes))
        return output


def to_onnx(network: Network, vocabulary: Sequence[Sequence[str]], slope: float, offset: float) -> bytes:
    """The graph: `numeric` FP32 [rows, features] and `categorical` STRING [rows, words] → `probability` FP32 [rows, 1].

    `vocabulary` gives each word's values, code 1 first; anything else is code 0. The answer is sigmoid(slope * logit + offset).
    """
    graph = _Graph()
    parts = [*_numbers(graph, network), *_words(graph, network, vocabulary)]
    hidden = graph.node("Concat", parts, "prepared", axis=1)
    for name, layer in (("first", network.first), ("second", network.second), ("last", network.last)):
        weight, bias = layer.weight.detach().numpy(), layer.bias.detach().numpy()
        if name == "last":  # calibration is one more straight line behind the last one
            weight, bias = weight * np.float32(slope), bias * np.float32(slope) + np.float32(offset)
        constants = [graph.constant(f"{name}_weight", weight), graph.constant(f"{name}_bias", bias)]
        hidden = graph.node("Gemm", [hidden, *constants], f"{name}_sum", transB=1)
        hidden = (
            graph.node("Sigmoid", [hidden], "probability")
            if name == "last"
            else graph.node("Relu", [hidden], f"{name}_out")
        )
    model = helper.make_model(
        helper.make_graph(
            graph.nodes,
            "flight-delay",
            [
                helper.make_tensor_value_info("numeric", TensorProto.FLOAT, ["rows", len(network.median)]),
                helper.make_tensor_value_info("categorical", TensorProto.STRING, ["rows", len(vocabulary)]),
            ],
            [helper.make_tensor_value_info("probability", TensorProto.FLOAT, ["rows", 1])],
            graph.constants,
        ),
        opset_imports=[helper.make_opsetid("", OPSET), helper.make_opsetid("ai.onnx.ml", ML_OPSET)],
        ir_version=IR_VERSION,
        producer_name="mizzen",
    )
    onnx.checker.check_model(model, full_check=True)
    return bytes(model.SerializeToString(deterministic=True))


def _numbers(graph: _Graph, network: Network) -> list[str]:
    missing = graph.node("IsNaN", ["numeric"], "missing")
    filled = graph.node("Where", [missing, graph.constant("median", network.median.numpy()), "numeric"], "filled")
    wide = graph.node("Unsqueeze", [filled, graph.constant("bin_axis", np.array([2], np.int64))], "filled_wide")
    above = graph.node("Sub", [wide, graph.constant("low", network.low.numpy())], "above_low")
    share = graph.node("Div", [above, graph.constant("width", network.width.numpy())], "bin_share")
    limits = [graph.constant("zero", np.float32(0)), graph.constant("one", np.float32(1))]
    bins = graph.node("Flatten", [graph.node("Clip", [share, *limits], "bins")], "bins_flat", axis=1)
    centred = graph.node("Sub", [filled, graph.constant("mean", network.mean.numpy())], "centred")
    scaled = graph.node("Div", [centred, graph.constant("deviation", network.deviation.numpy())], "scaled")
    ends = [graph.constant("lowest", np.float32(-CLIP)), graph.constant("highest", np.float32(CLIP))]
    return [
        bins,
        graph.node("Clip", [scaled, *ends], "clipped"),
        graph.node("Cast", [missing], "flags", to=TensorProto.FLOAT),
    ]


def _words(graph: _Graph, network: Network, vocabulary: Sequence[Sequence[str]]) -> list[str]:
    parts = []
    for place, values in enumerate(vocabulary):
        column = graph.constant(f"place_{place}", np.array(place, np.int64))
        word = graph.node("Gather", ["categorical", column], f"word_{place}", axis=1)
        code = graph.node(
            "LabelEncoder",
            [word],
            f"code_{place}",
            domain="ai.onnx.ml",
            keys_strings=list(values),
            values_int64s=list(range(1, len(values) + 1)),
            default_int64=0,
        )
        table = graph.constant(f"embedding_{place}", network.embeddings[place].weight.detach().numpy())
        parts.append(graph.node("Gather", [table, code], f"embedded_{place}", axis=0))
    return parts
