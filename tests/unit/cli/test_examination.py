"""Mistakes that people make, each through `mizzen apply`: told with file, line, field and mend; status 1; nothing changed."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import duckdb
import pytest
from typer.testing import CliRunner

from cli.main import app
from inference import packaging
from tests.unit.cli.bicycles import COLLECTION, COLUMNS, FILES, VIEWS
from tests.unit.cli.mistakes import MISTAKES, Mistake
from tests.unit.inference.onnx_models import doubling


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = doubling(tmp_path_factory.mktemp("package") / "model", "demand")
    packaging.seal(root)
    return root


@pytest.fixture
def project(tmp_path: Path, package: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project that is right, its table and its package at hand, its first definitions applied."""
    folder, state = tmp_path / "project", tmp_path / "state"
    for name in [name for name in os.environ if name.startswith("MIZZEN_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("MIZZEN_STATE", str(state))
    monkeypatch.setenv("COLUMNS", "1000")
    (state / "volumes/offline/bikes").mkdir(parents=True)
    duckdb.sql(f"COPY (SELECT {COLUMNS}) TO '{state}/volumes/offline/bikes/loans.parquet'")
    shutil.copytree(package, folder / "model")
    for name, text in FILES.items():
        (folder / name).write_text(text.replace("DIGEST", packaging.read_manifest(package).digest))
    monkeypatch.chdir(folder)
    done = mizzen("apply")
    assert done == (0, done[1]), done
    return folder


def mizzen(*command: str) -> tuple[int, str]:
    answer = CliRunner().invoke(app, [*command, "-f", "."])
    return answer.exit_code, answer.output


def applied(project: Path) -> dict[str, str]:
    return {path.name: path.read_text() for path in (project.parent / "state/definitions").glob("*.yaml")}


@pytest.mark.parametrize("mistake", MISTAKES, ids=lambda mistake: mistake.name)
def test_a_mistake_is_told_and_changes_nothing(project: Path, mistake: Mistake) -> None:
    path, before = project / mistake.file, applied(project)
    text = path.read_text()
    assert text.count(mistake.old) == 1, "the test's own text"
    at = text.index(mistake.old)
    path.write_text(text[:at] + mistake.new + text[at + len(mistake.old) :])
    line = text[:at].count("\n") + 1 + mistake.down
    (project / "more.yaml").write_text(COLLECTION.replace("rules", "more"))
    for command in ("validate", "apply"):
        status, said = mizzen(command)
        assert (status, applied(project)) == (1, before), said
        assert f"{mistake.file}:{line}: {mistake.field}: {mistake.said}" in said, said
        assert len(said.strip().splitlines()) == 1 + mistake.also, said


def test_all_mistakes_of_all_files_are_told_at_once(project: Path) -> None:
    before = applied(project)
    for file, old, new in [
        ("views.yaml", "temperature * bikes", "temprature ** bikes"),
        ("views.yaml", "ttl: 6h", "ttl: soon"),
        ("endpoint.yml", "tensor: \"y\"", "tensor: z"),
        ("endpoint.yml", "model: demand", "model: demo"),
        ("rules.yaml", "Collection", "Colection"),
    ]:  # fmt: skip
        (project / file).write_text((project / file).read_text().replace(old, new))
    (project / "notes.yaml").write_text("{")
    done = subprocess.run(
        [sys.executable, "-m", "cli", "apply", "-f", "."], capture_output=True, text=True, check=False, timeout=60
    )
    assert (done.returncode, applied(project)) == (1, before)
    places = [line.removeprefix("mizzen: ").split(": ")[0] for line in done.stderr.splitlines()]
    assert places == ["endpoint.yml:21", "notes.yaml:1", "rules.yaml:2", "views.yaml:7"], done.stderr


def test_a_right_project_says_what_was_not_checked(project: Path) -> None:
    status, said = mizzen("validate")
    assert status == 0
    assert said.splitlines()[0] == "5 definitions are right"
    assert "InferenceService texts isn't compared with its package: pvc://models/texts/1 is not here" in said
    shutil.rmtree(project.parent / "state/volumes")
    assert "stored SQL of 1 feature views isn't bound: their tables are not known here (yet)" in mizzen("validate")[1]


def test_what_stands_already_is_examined_with_what_comes(project: Path) -> None:
    """A view alone is right, and would leave the endpoint that stands without a column."""
    before = applied(project)
    for name in ("endpoint.yml", "serving.yaml", "rules.yaml"):
        (project / name).unlink()
    changed = VIEWS.replace("{name: comfort,", "{name: warmth,")
    (project / "views.yaml").write_text(changed)
    status, said = mizzen("apply")
    assert (status, applied(project)) == (1, before)
    assert (
        "endpoint-demand.yaml:15: spec.model.tensors[0].features[1]: station_state:comfort: feature view station_state has no"
        in said
    )
    (project / "views.yaml").write_text(VIEWS.replace("ttl: 6h", "ttl: 8h"))
    assert mizzen("apply")[0] == 0


def test_one_name_in_two_suffixes_is_two_definitions(project: Path) -> None:
    (project / "again.yml").write_text(VIEWS)
    status, said = mizzen("apply")
    assert status == 1
    assert (
        "views.yaml:3: metadata.name: FeatureView station-state is defined twice; the first one is at again.yml:1"
        in said
    )
