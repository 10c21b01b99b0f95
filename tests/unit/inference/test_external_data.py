"""External data as exporters write it passes, whatever the layout; what else lies in a file of it is refused (`poisons.py`)."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, external_data_helper, helper, numpy_helper

from chassis.errors import InvalidArgument
from inference.examine import bounded
from inference.examine.bounded import read_onnx
from inference.examine.external_data import MAX_GAP

NAME = "model.onnx"


def model_of(*tensors: onnx.TensorProto) -> onnx.ModelProto:
    outputs = [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)]
    graph = helper.make_graph([helper.make_node("Identity", ["a"], ["y"])], "weights", [], outputs, tensors)
    return helper.make_model(graph)


def weight(name: str, *shape: int) -> onnx.TensorProto:
    return numpy_helper.from_array(np.ones(shape, np.float32), name)


def packed(name: str, kind: int, size: int) -> onnx.TensorProto:
    return helper.make_tensor(name, kind, [size], [1] * size)


def read(folder: Path) -> set[str]:
    sizes = {f"m/1/{file.name}": file.stat().st_size for file in (folder / "m/1").iterdir()}
    found = read_onnx(folder, f"m/1/{NAME}", sizes)
    assert found == read_onnx(folder, f"m/1/{NAME}", sizes, bounded.Bounds.of(sizes[f"m/1/{NAME}"]))
    return {path.rpartition("/")[2] for path in found}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "m/1").mkdir(parents=True)
    return tmp_path


@pytest.mark.parametrize("one", [True, False])
def test_onnx_own_external_data_passes(folder: Path, one: bool) -> None:
    """With a tensor of more than a MiB, which is aligned where `onnx` aligns; of no size; and of packed elements."""
    kinds = (TensorProto.INT4, TensorProto.UINT4, TensorProto.FLOAT4E2M1, TensorProto.FLOAT8E4M3FN)
    tensors = [packed(f"p{kind}", kind, 3) for kind in kinds]
    model = model_of(weight("a", 3), weight("b", 600, 600), weight("empty", 0, 3), weight("scalar"), *tensors)
    where = "weights.data" if one else None
    path = str(folder / "m/1" / NAME)
    onnx.save(model, path, save_as_external_data=True, all_tensors_to_one_file=one, location=where, size_threshold=0)
    external = [
        tensor for tensor in onnx.load(path, load_external_data=False).graph.initializer if tensor.external_data
    ]
    assert len(external) >= 4
    assert read(folder) == ({"weights.data"} if one else {tensor.external_data[0].value for tensor in external})


def lay_out(folder: Path, places: dict[str, tuple[onnx.TensorProto, int]], size: int, *keys: str) -> None:
    """Writes the tensors of `places` (name -> tensor, offset) into `model.onnx.data` of `size` bytes, and names them by `keys`."""
    content = bytearray(size)
    tensors = []
    for name, (tensor, offset) in places.items():
        raw = tensor.raw_data
        content[offset : offset + len(raw)] = raw
        external_data_helper.set_external_data(tensor, "model.onnx.data")
        tensor.name = name
        for key, value in {"offset": offset, "length": len(raw)}.items():
            if key in keys:
                tensor.external_data.add(key=key, value=str(value))
        tensor.ClearField("raw_data")
        tensors.append(tensor)
    (folder / "m/1/model.onnx.data").write_bytes(content)
    (folder / "m/1" / NAME).write_bytes(model_of(*tensors).SerializeToString())


def test_torch_layouts_pass(folder: Path) -> None:
    """torch.onnx.export puts a large tensor to the next 64 KiB; a tensor of no size may begin where the file ends."""
    large = weight("large", 2**18 + 1)
    end = MAX_GAP + len(large.raw_data)
    lay_out(
        folder,
        {"a": (weight("a"), 0), "large": (large, MAX_GAP), "none": (weight("", 0), end)},
        end,
        "offset",
        "length",
    )
    assert read(folder) == {"model.onnx.data"}


def test_data_without_a_length_reaches_to_the_end(folder: Path) -> None:
    """The older exporter of torch names files alone."""
    lay_out(folder, {"a": (weight("a", 5), 0)}, 20)
    assert read(folder) == {"model.onnx.data"}
    lay_out(folder, {"a": (weight("a", 5), 0), "b": (weight("b", 5), 20)}, 40, "offset")
    with pytest.raises(InvalidArgument, match="tensor 'a': it has 40 bytes, and its type and shape need 20"):
        read(folder)


def test_tensors_may_share_bytes_but_not_hide_any(folder: Path) -> None:
    shared = {"a": (weight("a", 8), 0), "b": (weight("b", 2), 8), "c": (weight("c", 6), 16)}
    lay_out(folder, shared, 40, "offset", "length")
    assert read(folder) == {"model.onnx.data"}
    data = folder / "m/1/model.onnx.data"
    data.write_bytes(data.read_bytes() + bytes(MAX_GAP))
    assert read(folder) == {"model.onnx.data"}
    data.write_bytes(data.read_bytes()[:-1] + b"x")
    with pytest.raises(InvalidArgument, match=r"m/1/model\.onnx\.data: 65536 bytes after tensor 'c' \(from 40\)"):
        read(folder)
