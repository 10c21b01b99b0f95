"""What Triton is about to read: private, examined copies."""

import subprocess
import sys
from pathlib import Path

import pytest

from chassis.errors import DataLoss, InvalidArgument, NotFound
from inference import launcher, packaging, staging
from inference.examine import read_config
from tests.unit.inference.onnx_models import doubling
from tests.unit.inference.poisons import POISONS, in_config


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return doubling(tmp_path / "package")


def test_the_copy_says_what_was_understood(root: Path, tmp_path: Path) -> None:
    in_config("# a comment\ninstance_group { count: 2 }")(root)
    packaging.seal(root)
    assert staging.stage(str(root), tmp_path / "copy") == ("doubling",)
    written = tmp_path / "copy/doubling/config.pbtxt"
    assert "comment" not in written.read_text()
    assert read_config(written) == read_config(root / "doubling/config.pbtxt")
    assert (tmp_path / "copy/doubling/1/model.onnx").read_bytes() == (root / "doubling/1/model.onnx").read_bytes()


def test_what_an_operator_lets_in_is_copied_as_it_is(root: Path, tmp_path: Path) -> None:
    in_config("# a comment")(root)
    (root / "doubling/1/model.py").write_text("import os\n")
    assert staging.stage(str(root), tmp_path / "copy", ["doubling"]) == ("doubling",)
    assert "# a comment" in (tmp_path / "copy/doubling/config.pbtxt").read_text()
    assert (tmp_path / "copy/doubling/1/model.py").is_file()


def test_the_digest_is_that_of_the_path(root: Path, tmp_path: Path) -> None:
    packaging.seal(root)
    published = packaging.publish(root, tmp_path / "models")
    assert staging.stage(str(published), tmp_path / "copy")
    with pytest.raises(DataLoss, match="its address says 0000000000000000"):
        staging.stage(str(published.rename(published.with_name("0" * 16))), tmp_path / "other")
    assert not (tmp_path / "other").exists()
    (root / "doubling/package/manifest.json").unlink()
    with pytest.raises(NotFound, match=r"manifest\.json is missing"):
        staging.stage(str(root.rename(tmp_path / ("1" * 16))), tmp_path / "other")


@pytest.mark.parametrize(
    "of_volume", ["/flight-delay/", "/var/lib/kubelet/pods/uid/volumes/kubernetes.io~nfs/pvc/flight-delay/"]
)
def test_in_a_pod_the_digest_is_that_of_what_is_mounted(tmp_path: Path, of_volume: str) -> None:
    mounts = tmp_path / "mountinfo"
    digest = "51de2d8b1a9153de"
    mounts.write_text(
        f"900 800 8:1 / / ro,relatime - overlay overlay rw\n"
        f"901 900 8:1 {of_volume}{digest} /mnt/models ro,relatime - ext4 /dev/sda1 rw\n"
        f"902 900 8:1 /volumes/kubernetes.io~empty-dir/serving /mnt/serving rw,relatime - ext4 /dev/sda1 rw\n"
    )
    assert staging.addressed_digest(Path("/mnt/models"), mounts) == digest
    assert staging.addressed_digest(Path("/mnt/serving"), mounts) == ""
    assert staging.addressed_digest(Path("/elsewhere"), tmp_path / "none") == ""


def test_a_repository_that_triton_would_fetch_itself_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidArgument, match="s3://bucket/models would be fetched by Triton itself"):
        staging.stage("s3://bucket/models", tmp_path / "copy")


def test_one_refused_repository_leaves_the_others_served_and_old_copies_go(
    root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    poison = doubling(tmp_path / "poison")
    POISONS["Python beside the model"][0](poison)
    into = tmp_path / "serving"
    (into / "7/old").mkdir(parents=True)
    assert staging.stage_all([str(poison), str(root), str(tmp_path / "none")], into) == [into / "1"]
    assert sorted(path.name for path in into.iterdir()) == ["1", "served.json"]
    said = capsys.readouterr().err
    assert f"{poison} is not served: doubling/1/model.py" in said
    assert f"{tmp_path / 'none'} is not served" in said


def test_nothing_is_started_where_nothing_passes(tmp_path: Path, root: Path) -> None:
    POISONS["Python beside the model"][0](root)
    examiner = launcher.Staging((sys.executable, "-I", "-m", "inference.staging"), tmp_path / "serving")
    started = tmp_path / "started"
    command = ["touch", str(started), f"--model-repository={root}"]
    code = (
        "import sys; from pathlib import Path; from inference import launcher; "
        f"sys.exit(launcher.run('none-', {command!r}, launcher.Staging({examiner.command!r}, Path({str(examiner.folder)!r}))))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False, timeout=60).returncode == 1
    assert not started.exists()


@pytest.mark.parametrize(
    "flags",
    [
        ["--model-repository=/a", "--model-store", "/b"],
        ["--model-store=/a", "--model-repository=/b"],
        ["--model-r=/a", "--model-sto", "/b"],
    ],
)
def test_repositories_are_found_however_they_are_named(flags: list[str]) -> None:
    assert launcher.repositories(["tritonserver", *flags, "--x=1"]) == (["tritonserver", "--x=1"], ["/a", "/b"])
