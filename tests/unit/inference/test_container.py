"""The CPU runtime's command line, and how its embedder gets onto a volume."""

import sys
from pathlib import Path

import pytest

from inference import container, launcher, packaging, publish_embedder, runtime
from tests.unit.inference.onnx_models import doubling


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "triton" / "backends-abc").mkdir(parents=True)
    monkeypatch.setattr(runtime, "site_packages", lambda venv: venv / "site")
    return tmp_path


def test_a_bare_start_serves_the_mounted_models_on_the_pods_address(home: Path) -> None:
    line = container.command([], home)
    assert line[0].endswith("/site/pytriton/tritonserver/bin/tritonserver")
    assert {"--model-repository=/mnt/models", "--grpc-port=9000", "--http-port=8090", "--metrics-port=8002"} <= set(
        line
    )
    assert {f"--{name}-address=0.0.0.0" for name in ("grpc", "http", "metrics")} <= set(line)
    assert f"--backend-directory={home}/triton/backends-abc" in line


def test_flags_that_are_given_stand_once(home: Path) -> None:
    line = container.command(["tritonserver", "--model-store=/mnt/models", "--http-port=1", "--log-verbose=1"], home)
    assert line[1:4] == ["--model-store=/mnt/models", "--http-port=1", "--log-verbose=1"]
    names = [flag.partition("=")[0] for flag in line[1:]]
    assert len(names) == len(set(names))
    assert "--model-repository" not in names


def test_a_predictor_does_not_get_ready_without_a_model(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """KServe mounts the path of a storageUri whether anything was published there or not."""
    repository = home / "models" / "flight-delay" / "d1"
    repository.mkdir(parents=True)
    monkeypatch.setattr(launcher, "run", lambda _prefix, _line, _staging: 0)
    monkeypatch.setattr(container, "command", lambda arguments: ["tritonserver", *arguments])
    monkeypatch.setattr(container, "environment", lambda _base: {})
    monkeypatch.setattr(
        sys, "argv", ["container", f"--model-store={repository}", "--model-repository=s3://models/other"]
    )
    assert container.main() == 1
    assert f"no model was published to {repository} yet" in capsys.readouterr().err
    (repository / "flight-delay").mkdir()
    assert container.main() == 0


@pytest.fixture
def shipped(tmp_path: Path) -> tuple[Path, str]:
    """The image's folder of packages and the digest of the one in it."""
    root = doubling(tmp_path / "build", "minilm")
    sealed = packaging.seal(root)
    root.rename(make(tmp_path / "shipped" / "minilm") / sealed.digest)
    return tmp_path / "shipped", sealed.digest


def make(folder: Path) -> Path:
    folder.mkdir(parents=True)
    return folder


def test_the_embedder_is_copied_once_and_whole(tmp_path: Path, shipped: tuple[Path, str]) -> None:
    models, (folder, digest) = tmp_path / "models", shipped
    assert publish_embedder.publish(models, digest, folder)
    target = models / "minilm" / digest
    assert packaging.verify(target).digest == digest
    assert not publish_embedder.publish(models, digest, folder)
    assert [path.name for path in (models / "minilm").iterdir()] == [digest]


def test_another_digest_is_refused_by_name(tmp_path: Path, shipped: tuple[Path, str]) -> None:
    folder, digest = shipped
    with pytest.raises(FileNotFoundError, match=f"no minilm package d2; it has {digest}"):
        publish_embedder.publish(tmp_path / "models", "d2", folder)


def test_an_empty_folder_in_the_place_is_filled(tmp_path: Path, shipped: tuple[Path, str]) -> None:
    """A kubelet makes the path of a mount when a predictor is there before the package."""
    folder, digest = shipped
    target = make(tmp_path / "models/minilm" / digest)
    assert publish_embedder.publish(tmp_path / "models", digest, folder)
    assert (target / "minilm/config.pbtxt").is_file()


def test_the_job_refuses_a_poisoned_package_and_says_why(
    tmp_path: Path, shipped: tuple[Path, str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, digest = shipped
    (folder / "minilm" / digest / "minilm/1/model.py").write_text("import os\n")
    monkeypatch.setattr(publish_embedder, "SHIPPED", folder)
    monkeypatch.setattr(sys, "argv", ["publish_embedder", str(tmp_path / "models"), digest])
    assert publish_embedder.main() == 1
    assert "minilm/1/model.py: nothing that backend onnxruntime reads" in capsys.readouterr().err
    assert not list(tmp_path.glob("models/minilm/*"))
