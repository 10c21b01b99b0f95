"""No poisoned package is sealed, verified, published or served; each refusal names the file, the field and the mend."""

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import onnx
import pytest

from chassis.errors import DataLoss, InvalidArgument, MizzenError
from inference import packaging, staging
from inference.examine import copy_tree
from inference.repository import plan_serving
from tests.unit.inference.onnx_models import doubling
from tests.unit.inference.poisons import MODEL, POISONS, external, file, in_config, instead, safetensors, zipped
from tests.unit.inference.test_serving_plan import service


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return doubling(tmp_path / "package")


@pytest.mark.parametrize("name", POISONS)
def test_a_poisoned_package_goes_nowhere(root: Path, tmp_path: Path, name: str) -> None:
    damage, said = POISONS[name]
    packaging.seal(root)
    damage(root)
    models = tmp_path / "volumes" / "models"
    models.mkdir(parents=True)
    for take in (packaging.seal, packaging.verify, packaging.check_repository):
        with pytest.raises(InvalidArgument) as caught:
            take(root)
        assert all(text in caught.value.message for text in said), caught.value.message
        assert str(tmp_path) not in caught.value.message.replace(str(root), ""), "no path of this machine"
    with pytest.raises(InvalidArgument):
        packaging.publish(root, models)
    assert not list(models.iterdir())
    with pytest.raises(InvalidArgument):
        staging.stage(str(root), tmp_path / "served")
    assert not (tmp_path / "served").exists()
    root.rename(models / "poison")
    plan = plan_serving([service("poison", "pvc://models/poison")], tmp_path / "volumes")
    assert not plan.repositories
    assert [refused.name for refused in plan.refused] == ["poison"]


def test_there_are_enough_of_them() -> None:
    assert len(POISONS) >= 30


@pytest.mark.parametrize(
    "mend",
    [
        in_config("version_policy { latest { num_versions: 1 } } instance_group { count: 2 kind: KIND_CPU }"),
        in_config('parameters { key: "intra_op_thread_count" value { string_value: "2" } }'),
        in_config(
            'model_warmup { batch_size: 1 inputs { key: "x" value { data_type: TYPE_FP32 dims: 2 zero_data: true } } }'
        ),
        instead('backend: "onnxruntime"', 'platform: "onnxruntime_onnx"'),
        external("model.onnx.data", "model.onnx.data", offset="4", length="4"),
        file("1/w.safetensors", safetensors({"w": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}}, bytes(4))),
        file(
            "package/plot.svg",
            b'<?xml version="1.0" encoding="utf-8"?><!DOCTYPE svg PUBLIC "-//W3C//DTD SVG 1.1//EN"\n'
            b'  "http://www.w3.org/Graphics/SVG/1.1/DTD/svg11.dtd"><!-- drawn --><svg xmlns="http://www.w3.org/2000/svg">'
            b'<style>*{stroke-linejoin: round}</style><g id="a" clip-path="url(#b)"/></svg>',
        ),
        file("package/evaluation.json", json.dumps({"auc": 0.75}).encode()),
        file("2/model.onnx"),
    ],
)
def test_what_a_package_may_hold_is_taken(root: Path, mend: Callable[[Path], object]) -> None:
    mend(root)
    if (root / MODEL / "2").exists():
        shutil.copyfile(root / MODEL / "1/model.onnx", root / MODEL / "2/model.onnx")
    sealed = packaging.seal(root)
    assert packaging.verify(root) == sealed


def test_functions_of_the_graph_itself_are_no_custom_operators(root: Path) -> None:
    path = root / MODEL / "1/model.onnx"
    model = onnx.load(str(path))
    function = onnx.helper.make_function(
        "local",
        "Twice",
        ["a"],
        ["b"],
        [onnx.helper.make_node("Add", ["a", "a"], ["b"])],
        [onnx.helper.make_opsetid("", 17)],
    )
    model.functions.append(function)
    model.opset_import.add(domain="local", version=1)
    model.graph.node[0].CopyFrom(onnx.helper.make_node("Twice", ["x"], ["y"], domain="local"))
    path.write_bytes(model.SerializeToString())
    assert packaging.seal(root)
    model.graph.node[0].op_type = "Thrice"
    path.write_bytes(model.SerializeToString())
    with pytest.raises(InvalidArgument, match="'local' has no operator 'Thrice'"):
        packaging.seal(root)


def test_an_operator_lets_a_model_in_by_its_name(root: Path) -> None:
    """A Triton user's repository: a capital in the name, Python in the folder, an environment beside it."""
    (root / MODEL).rename(root / "Ranker_v2")
    folder = root / "Ranker_v2"
    config = folder / "config.pbtxt"
    config.write_text(config.read_text().replace(MODEL, "Ranker_v2").replace('"onnxruntime"', '"python"'))
    (folder / "1/model.py").write_text("import os\n")
    (folder / "1/env.tar.gz").write_bytes(zipped())
    with pytest.raises(InvalidArgument, match=r"allowCode: \[Ranker_v2\].*MIZZEN_INFERENCE_ALLOW_CODE") as caught:
        packaging.check_repository(root)
    assert caught.value.reason == "NAME_INVALID"
    assert packaging.check_repository(root, ["Ranker_v2"]) == ("Ranker_v2",)
    with pytest.raises(InvalidArgument):
        packaging.check_repository(root, ["ranker_v2", "Ranker"])
    (folder / "1/out").symlink_to("/etc")
    with pytest.raises(InvalidArgument, match="symbolic link"):
        packaging.check_repository(root, ["Ranker_v2"])


def test_nothing_in_a_package_lets_itself_in(root: Path) -> None:
    file("allowCode", b"doubling")(root)
    with pytest.raises(InvalidArgument, match="doubling/allowCode"):
        packaging.check_repository(root)


def test_a_hidden_model_beside_the_package_is_refused(root: Path) -> None:
    shutil.copytree(root / MODEL, root / ".hidden")
    with pytest.raises(InvalidArgument):
        packaging.check_repository(root)


def test_an_address_that_says_another_digest_is_refused(root: Path, tmp_path: Path) -> None:
    """Somebody who can write to the volume puts another sealed package into the place of a published one."""
    packaging.seal(root)
    published = packaging.publish(root, tmp_path / "volumes/models")
    other = doubling(tmp_path / "other")
    in_config("instance_group { count: 2 }")(other)
    packaging.seal(other)
    shutil.rmtree(published)
    shutil.copytree(other, published)
    packaging.verify(published)
    uri = f"pvc://{published.relative_to(tmp_path / 'volumes')}"
    (refused,) = plan_serving([service("one", uri)], tmp_path / "volumes").refused
    assert refused.error.reason == "DIGEST_MISMATCH"
    assert published.name in refused.error.message


def test_a_file_that_appears_after_sealing_is_refused(root: Path) -> None:
    packaging.seal(root)
    file("package/more.json")(root)
    with pytest.raises(DataLoss, match=r"doubling/package/more\.json"):
        packaging.verify(root)


@pytest.mark.parametrize("swap", ["link", "pipe", "folder of links"])
def test_a_copy_follows_nothing_that_was_put_in_a_files_place(root: Path, tmp_path: Path, swap: str) -> None:
    victim = root / MODEL / "1/model.onnx"
    victim.unlink()
    if swap == "link":
        victim.symlink_to("/etc/passwd")
    elif swap == "pipe":
        os.mkfifo(victim)
    else:
        shutil.move(root / MODEL / "1", tmp_path / "1")
        (root / MODEL / "1").symlink_to(tmp_path / "1")
    with pytest.raises(MizzenError):
        copy_tree(root, tmp_path / "copy")
    assert not (tmp_path / "copy").exists()


def test_a_package_that_changes_while_it_is_published_is_refused(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    packaging.seal(root)

    def copied_late(source: Path, target: Path) -> None:
        POISONS["Python beside the model"][0](root)
        copy_tree(source, target)

    monkeypatch.setattr(packaging, "copy_tree", copied_late)
    with pytest.raises(InvalidArgument, match=r"doubling/1/model\.py"):
        packaging.publish(root, tmp_path / "models")
    assert not list((tmp_path / "models/doubling").iterdir())
