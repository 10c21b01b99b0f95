"""Small ONNX models for the tests, built here."""

from pathlib import Path

import onnx
from onnx import TensorProto, helper

from inference.config import ModelConfig, Tensor, config_text


def write_model(root: Path, config: ModelConfig, graph: onnx.GraphProto) -> Path:
    """Writes `<root>/<model>/{config.pbtxt,1/model.onnx}`; returns root."""
    version = root / config.name / "1"
    version.mkdir(parents=True)
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("ai.onnx.ml", 3)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=9)
    onnx.checker.check_model(model)
    onnx.save(model, str(version / "model.onnx"))
    (version.parent / "config.pbtxt").write_text(config_text(config))
    return root


def endless(root: Path, name: str = "endless") -> Path:
    """x FP32 [rows, 2] -> y = x after 2^63 - 1 rounds of a loop, warmed up."""
    rows = [None, 2]
    info = helper.make_tensor_value_info
    body = helper.make_graph(
        [helper.make_node("Identity", ["go_on"], ["goes_on"]), helper.make_node("Add", ["v", "v"], ["w"])],
        "round",
        [info("round", TensorProto.INT64, []), info("go_on", TensorProto.BOOL, []), info("v", TensorProto.FLOAT, rows)],
        [info("goes_on", TensorProto.BOOL, []), info("w", TensorProto.FLOAT, rows)],
    )
    rounds = helper.make_tensor("rounds", TensorProto.INT64, [], [2**63 - 1])
    graph = helper.make_graph(
        [helper.make_node("Loop", ["rounds", "", "x"], ["y"], body=body)],
        "endless",
        [info("x", TensorProto.FLOAT, rows)],
        [info("y", TensorProto.FLOAT, rows)],
        [rounds],
    )
    config = ModelConfig(name, "onnxruntime", (Tensor("x", "FP32", (2,)),), (Tensor("y", "FP32", (2,)),))
    write_model(root, config, graph)
    with (root / name / "config.pbtxt").open("a") as file:
        file.write(
            'model_warmup { name: "once" batch_size: 1 inputs '
            '{ key: "x" value { data_type: TYPE_FP32 dims: 2 zero_data: true } } }\n'
        )
    return root


def doubling(root: Path, name: str = "doubling") -> Path:
    """x FP32 [rows, 2] -> y = 2x."""
    graph = helper.make_graph(
        [helper.make_node("Add", ["x", "x"], ["y"])],
        "doubling",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [None, 2])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [None, 2])],
    )
    return write_model(
        root, ModelConfig(name, "onnxruntime", (Tensor("x", "FP32", (2,)),), (Tensor("y", "FP32", (2,)),)), graph
    )
