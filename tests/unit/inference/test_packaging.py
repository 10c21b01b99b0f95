"""Model packages: sealed, verified, published once; what is never served."""

import hashlib
import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import onnx
import pytest

from chassis.errors import DataLoss, InvalidArgument, NotFound
from inference import packaging
from tests.unit.inference.onnx_models import doubling


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return doubling(tmp_path / "package")


def test_a_sealed_package_verifies(root: Path) -> None:
    sealed = packaging.seal(root)
    assert packaging.verify(root) == sealed == packaging.read_manifest(root)
    assert packaging.digest(root) == sealed.digest
    content = (root / "doubling/1/model.onnx").read_bytes()
    assert sealed.version == hashlib.sha256(content).hexdigest()[:12]
    assert sorted(sealed.files) == ["doubling/1/model.onnx", "doubling/config.pbtxt"]


def test_the_digest_is_what_sha256sum_says(root: Path) -> None:
    (root / "doubling/package").mkdir()
    (root / "doubling/package/card.md").write_text("# Doubling\n")
    sealed = packaging.seal(root)
    command = (packaging.__doc__ or "").split("::")[1].strip()
    done = subprocess.run(command, shell=True, cwd=root, capture_output=True, text=True, check=True)
    assert done.stdout[:16] == sealed.digest


def test_publishing_is_immutable_and_idempotent(root: Path, tmp_path: Path) -> None:
    sealed = packaging.seal(root)
    models = tmp_path / "models"
    published = packaging.publish(root, models, "twice")
    assert published == models / "twice" / sealed.digest
    before = {path: path.stat().st_mtime_ns for path in published.rglob("*")}
    assert packaging.publish(root, models, "twice") == published
    assert {path: path.stat().st_mtime_ns for path in published.rglob("*")} == before
    assert all(path.stat().st_mode & 0o222 == 0 for path in published.rglob("*") if path.is_file())
    assert [path.name for path in published.parent.iterdir()] == [sealed.digest], "nothing half-made is left"


def test_an_unsealed_package_is_not_published(root: Path, tmp_path: Path) -> None:
    with pytest.raises(NotFound, match=r"manifest\.json is missing"):
        packaging.publish(root, tmp_path / "models")
    assert not (tmp_path / "models").exists()


def test_a_damaged_publication_is_noticed(root: Path, tmp_path: Path) -> None:
    packaging.seal(root)
    published = packaging.publish(root, tmp_path / "models")
    config = published / "doubling/config.pbtxt"
    config.chmod(0o644)
    config.write_text(config.read_text() + "\n")
    with pytest.raises(DataLoss, match=r"doubling/config\.pbtxt"):
        packaging.publish(root, tmp_path / "models")


def _edit_manifest(root: Path, **changes: object) -> None:
    path = root / "doubling/package/manifest.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


@pytest.mark.parametrize(
    "damage",
    [
        lambda root: (root / "doubling/config.pbtxt").write_text(
            (root / "doubling/config.pbtxt").read_text() + "# more\n"
        ),
        lambda root: (root / "doubling/package/more.json").write_text("{}"),
        lambda root: _edit_manifest(root, digest="0" * 16),
        lambda root: _edit_manifest(root, version="0" * 12),
        lambda root: _edit_manifest(root, files={}),
    ],
)
def test_any_difference_from_the_manifest_is_refused(root: Path, damage: Callable[[Path], object]) -> None:
    packaging.seal(root)
    damage(root)
    with pytest.raises(DataLoss) as caught:
        packaging.verify(root)
    assert caught.value.reason == "DIGEST_MISMATCH"


def _symlink(root: Path) -> None:
    (root / "doubling/1/extra.txt").symlink_to("/etc/passwd")


def _linked_model(root: Path) -> None:
    (root / "doubling").rename(root.parent / "elsewhere")
    (root / "doubling").symlink_to(root.parent / "elsewhere")


def _outside_data(location: str) -> Callable[[Path], None]:
    def damage(root: Path) -> None:
        path = root / "doubling/1/model.onnx"
        model = onnx.load(str(path))
        weight = model.graph.initializer.add(name="w", data_type=1, dims=[1], data_location=1)
        weight.external_data.add(key="location", value=location)
        path.write_bytes(model.SerializeToString())

    return damage


def _written(name: str, content: bytes) -> Callable[[Path], object]:
    return lambda root: (root / "doubling/1" / name).write_bytes(content)


def _config(old: str, new: str) -> Callable[[Path], object]:
    def damage(root: Path) -> None:
        path = root / "doubling/config.pbtxt"
        path.write_text(path.read_text().replace(old, new))

    return damage


@pytest.mark.parametrize(
    "damage",
    [
        _symlink,
        _linked_model,
        _outside_data("../../../secret"),
        _outside_data("/etc/passwd"),
        _written("model.pkl", b"\x80\x04."),
        _written("weights.pt", b"PK"),
        _written("model.py", b"import os\n"),
        _written("libcustom.so", b"\x7fELF"),
        _written(".hidden.json", b"{}"),
        _written("a b.json", b"{}"),
        _written("model.onnx", b"\x80\x04 a pickle, no graph"),
        _written("model.onnx", b""),
        _config('backend: "onnxruntime"', 'backend: "python"'),
        _config('backend: "onnxruntime"', 'platform: "pytorch_libtorch"'),
        _config('backend: "onnxruntime"', ""),
        _config('name: "doubling"', 'name: "other"'),
        _config("max_batch_size", 'parameters { key: "mizzen.version" value { string_value: "0" } }\nmax_batch_size'),
        lambda root: (root / "doubling").rename(root / "Doubling"),
        lambda root: (root / "doubling").rename(root / ("d" * 129)),
        lambda root: shutil.copytree(root / "doubling", root / "second"),
        lambda root: (root / "doubling/config.pbtxt").unlink(),
    ],
)
def test_what_is_never_served_is_refused_sealed_or_not(root: Path, damage: Callable[[Path], object]) -> None:
    packaging.seal(root)
    damage(root)
    with pytest.raises(InvalidArgument):
        packaging.verify(root)
    with pytest.raises(InvalidArgument):
        packaging.seal(root)


@pytest.mark.parametrize("name", ["", ".", "..", "../up", "/abs", "a/b", "A", "-a", "a\x00", "a" * 129, "ü", "a\n"])
def test_names_out_of_the_allow_list_are_refused(root: Path, tmp_path: Path, name: str) -> None:
    packaging.seal(root)
    with pytest.raises(InvalidArgument):
        packaging.publish(root, tmp_path / "models", name or "-")
    assert not (tmp_path / "models").exists()


def test_the_platform_of_older_configurations_is_understood(root: Path) -> None:
    _config('backend: "onnxruntime"', 'platform: "onnxruntime_onnx"')(root)
    assert packaging.seal(root).backend == "onnxruntime"


def test_a_repository_of_several_models_is_checked_without_a_manifest(root: Path) -> None:
    doubling(root, "another")
    assert packaging.check_repository(root) == ("another", "doubling")
    (root / "another/1/model.py").write_text("import os\n")
    with pytest.raises(InvalidArgument, match=r"another/1/model\.py"):
        packaging.check_repository(root)
