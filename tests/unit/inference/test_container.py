"""The CPU runtime's command line, and how its embedder gets onto a volume."""

import sys
from pathlib import Path

import pytest

from inference import container, launcher, publish_embedder, runtime


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
    monkeypatch.setattr(launcher, "run", lambda _prefix, _line: 0)
    monkeypatch.setattr(container, "command", lambda arguments: ["tritonserver", *arguments])
    monkeypatch.setattr(container, "environment", lambda _base: {})
    monkeypatch.setattr(
        sys, "argv", ["container", f"--model-store={repository}", "--model-repository=s3://models/other"]
    )
    assert container.main() == 1
    assert f"no model was published to {repository} yet" in capsys.readouterr().err
    (repository / "flight-delay").mkdir()
    assert container.main() == 0


def test_the_embedder_is_copied_once_and_whole(tmp_path: Path) -> None:
    shipped, models = tmp_path / "shipped", tmp_path / "models"
    package = shipped / "minilm" / "d1" / "minilm"
    package.mkdir(parents=True)
    (package / "config.pbtxt").write_text("name: 'minilm'")
    assert publish_embedder.publish(models, "d1", shipped)
    target = models / "minilm" / "d1" / "minilm" / "config.pbtxt"
    assert target.read_text() == "name: 'minilm'"
    target.write_text("a version is never written again")
    assert not publish_embedder.publish(models, "d1", shipped)
    assert target.read_text() == "a version is never written again"
    assert [path.name for path in (models / "minilm").iterdir()] == ["d1"]


def test_another_digest_is_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "minilm" / "d1").mkdir(parents=True)
    with pytest.raises(FileNotFoundError, match="no minilm package d2; it has d1"):
        publish_embedder.publish(tmp_path / "models", "d2", tmp_path)


def test_an_empty_folder_in_the_place_is_filled(tmp_path: Path) -> None:
    """A kubelet makes the path of a mount when a predictor is there before the package."""
    shipped, models = tmp_path / "shipped", tmp_path / "models"
    (shipped / "minilm/d1").mkdir(parents=True)
    (shipped / "minilm/d1/config.pbtxt").write_text("name: 'minilm'")
    (models / "minilm/d1").mkdir(parents=True)
    assert publish_embedder.publish(models, "d1", shipped)
    assert (models / "minilm/d1/config.pbtxt").is_file()
