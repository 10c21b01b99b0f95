"""Packages: what is written, what is refused before anything is replaced, and the texts that equal runs share."""

import json
import subprocess
import sys
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import TensorProto, helper

import training
from chassis.errors import InvalidArgument
from inference.examine import read_config
from inference.packaging import verify
from tests.unit.training.test_endpoint_columns import endpoint
from training.packages import _as_float32

WINDOW = (datetime(2013, 1, 1, tzinfo=UTC), datetime(2013, 2, 1, tzinfo=UTC))


def graph(width: int = 2, rows: Any = "rows", name: str = "t") -> bytes:
    """t FP32 [rows, width] → y FP32 [rows, width], the sum with a constant."""
    one = helper.make_tensor("one", TensorProto.FLOAT, [], [1.0])
    made = helper.make_graph(
        [helper.make_node("Add", [name, "one"], ["y"])],
        "more",
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, [rows, width])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [rows, width])],
        [one],
    )
    opsets = [helper.make_opsetid("", 17)]
    return bytes(helper.make_model(made, opset_imports=opsets, ir_version=9).SerializeToString(deterministic=True))


def package(onnx_file: bytes = b"") -> training.Package:
    columns = {"view:a": np.array([1.0, np.nan, 4.0, 2.5], np.float32), "view:b": np.array([7.0, 7.0, 1.0, 0.1])}
    return training.Package(
        endpoint=endpoint("FP32", *columns),
        schema_hash="0123456789abcdef",
        onnx=onnx_file or graph(),
        columns=columns,
        outputs={"y": np.array([0.1, 0.2, 0.3, 0.123456789])},
        window=WINDOW,
        label_rate=0.25,
        evaluation={"models": {"line": {"test": {"rows": 4, "roc_auc": 0.123456789}}}},
        card="# Card\n",
        documents={"plots/roc.svg": '<svg xmlns="http://www.w3.org/2000/svg"></svg>\n'},
    )


def test_a_package_is_sealed_and_says_what_the_graph_takes_and_gives(tmp_path: Path) -> None:
    digest = training.write_package(tmp_path / "model", package())
    manifest = verify(tmp_path / "model")
    assert (manifest.digest, manifest.model, manifest.schema_hash) == (digest, "asked", "0123456789abcdef")
    config = read_config(tmp_path / "model" / "asked" / "config.pbtxt")
    assert [(each.name, list(each.dims)) for each in (*config.input, *config.output)] == [("t", [2]), ("y", [2])]
    assert json.loads(config.parameters["mizzen.baseline"].string_value) == {"view:a": 2.5, "view:b": 4.0}
    folder = tmp_path / "model" / "asked" / "package"
    assert (folder / "plots" / "roc.svg").read_text().startswith("<svg")
    assert training.evaluation_of(tmp_path / "model", "asked")["models"]["line"]["test"]["roc_auc"] == 0.12346
    profile = json.loads((folder / "profile.json").read_text())
    assert (profile["rows"], profile["label_rate"], set(profile["outputs"])) == (4, 0.25, {"y"})
    assert profile["window"]["to"] == "2013-02-01T00:00:00+00:00"


def test_the_same_training_gives_the_same_digest(tmp_path: Path) -> None:
    digests = {training.write_package(tmp_path / name, package()) for name in ("once", "again", "once")}
    assert len(digests) == 1


@pytest.mark.parametrize(
    ("onnx_file", "reason"),
    [
        (graph(width=3), "The graph takes .*Endpoint asked gives"),
        (graph(name="other"), "The graph takes .*Endpoint asked gives"),
        (graph(rows=1), r"not \[rows, …\]"),
        (b"\x80\x04not onnx", "not an ONNX file"),
    ],
)
def test_a_graph_that_the_endpoint_could_not_ask_replaces_nothing(
    tmp_path: Path, onnx_file: bytes, reason: str
) -> None:
    before = training.write_package(tmp_path / "model", package())
    with pytest.raises(InvalidArgument, match=reason):
        training.write_package(tmp_path / "model", package(onnx_file))
    assert verify(tmp_path / "model").digest == before
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


def test_a_column_without_any_value_is_named(tmp_path: Path) -> None:
    columns = {"view:a": np.full(4, np.nan), "view:b": np.zeros(4)}
    with pytest.raises(InvalidArgument, match="view:a has no value"):
        training.write_package(tmp_path / "model", replace(package(), columns=columns))


def test_a_digest_is_written_into_every_address_of_its_model_alone(tmp_path: Path) -> None:
    old, new, other = "0" * 16, "1" * 16, "2" * 16
    (tmp_path / "helm").mkdir()
    (tmp_path / "service.yaml").write_text(f"a: pvc://models/bikes/{old}\nb: pvc://models/bikes-2/{other}\n")
    (tmp_path / "helm" / "own.values").write_text(f"uri: pvc://models/bikes/{old}\n")
    training.point_to(tmp_path, "bikes", new)
    assert (tmp_path / "service.yaml").read_text() == f"a: pvc://models/bikes/{new}\nb: pvc://models/bikes-2/{other}\n"
    assert (tmp_path / "helm" / "own.values").read_text() == f"uri: pvc://models/bikes/{new}\n"


def test_shortest_texts_are_the_same_float32() -> None:
    value = float(np.sin(0.7))
    assert np.float32(_as_float32({"a": [value]})["a"][0]) == np.float32(value)


def test_metrics_alone_load_numpy_alone() -> None:
    """A service that measures has no use for what reads tables and writes packages."""
    code = (
        "import sys; from training import metrics, profile; "
        "sys.exit(' '.join(sorted({'onnx', 'duckdb', 'pyarrow', 'catalog', 'inference', 'pydantic'} & set(sys.modules))) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert set(training.__all__) == set(training._HOME)
    assert all(getattr(training, name) for name in training.__all__)
