"""config.pbtxt, written from a typed description and read back by Triton's own message."""

from pathlib import Path

import pytest

from chassis.errors import InvalidArgument
from inference.config import ModelConfig, Tensor, config_text
from inference.examine import read_config


def test_triton_reads_what_was_written(tmp_path: Path) -> None:
    awkward = '{"route_history:delay": -1.5, "text": "a \\"b\\" \\\\ ü\\n"}'
    config = ModelConfig(
        name="flight-delay",
        backend="onnxruntime",
        inputs=(Tensor("numeric", "FP32", (24,)), Tensor("categorical", "BYTES", (4,))),
        outputs=(Tensor("probability", "FP32", (1,)),),
        max_batch_size=4096,
        max_queue_delay_us=500,
        priorities=2,
        parameters={"mizzen.schema_hash": "00ff", "mizzen.baseline": awkward},
    )
    path = tmp_path / "config.pbtxt"
    path.write_text(config_text(config))
    read = read_config(path)
    assert (read.name, read.backend, read.max_batch_size) == ("flight-delay", "onnxruntime", 4096)
    assert [(each.name, each.data_type, list(each.dims)) for each in read.input] == [
        ("numeric", 11, [24]),
        ("categorical", 13, [4]),
    ]
    assert [each.name for each in read.output] == ["probability"]
    assert read.dynamic_batching.max_queue_delay_microseconds == 500
    assert (read.dynamic_batching.priority_levels, read.dynamic_batching.default_priority_level) == (2, 2)
    assert read.parameters["mizzen.baseline"].string_value == awkward
    assert not read.instance_group, "the model goes where the machine allows, CPU or GPU"


def test_without_batching_there_is_no_dynamic_batching(tmp_path: Path) -> None:
    path = tmp_path / "config.pbtxt"
    path.write_text(
        config_text(ModelConfig("m", "onnxruntime", (Tensor("a", "INT64", (-1,)),), (Tensor("b", "BOOL", (1,)),), 0))
    )
    assert not read_config(path).HasField("dynamic_batching")


@pytest.mark.parametrize(
    ("inputs", "outputs"),
    [((), (Tensor("b", "FP32", (1,)),)), ((Tensor("a", "FLOAT", (1,)),), (Tensor("b", "FP32", (1,)),))],
)
def test_a_wrong_description_is_refused(inputs: tuple[Tensor, ...], outputs: tuple[Tensor, ...]) -> None:
    with pytest.raises(InvalidArgument):
        config_text(ModelConfig("m", "onnxruntime", inputs, outputs))


def test_a_text_that_is_no_configuration_is_refused_with_its_line(tmp_path: Path) -> None:
    path = tmp_path / "config.pbtxt"
    path.write_text('name: "m"\nbakend: "onnxruntime"\n')
    with pytest.raises(InvalidArgument, match=r"2:1 .*bakend"):
        read_config(path)
