"""Definitions are checked whole before any of them is copied."""

from pathlib import Path

import pytest

from catalog import read_directory
from cli import definitions, jobs
from cli.machine.layout import Layout

COLLECTION = """
apiVersion: mizzen.dev/v1alpha1
kind: Collection
metadata: {name: %s}
spec: {description: "%s"}
"""


@pytest.fixture
def target(tmp_path: Path) -> Path:
    folder = tmp_path / "definitions"
    folder.mkdir()
    return folder


def write(folder: Path, name: str, text: str) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / name).write_text(text)
    return folder


def test_each_definition_becomes_a_file_of_its_name(tmp_path: Path, target: Path) -> None:
    source = write(
        tmp_path / "mine", "two.yaml", "---\n" + COLLECTION % ("one", "1") + "---\n" + COLLECTION % ("two", "2")
    )
    applied = definitions.apply(source, target)
    assert applied.added == ("collection-one.yaml", "collection-two.yaml")
    assert set(applied.catalog.collections) == {"one", "two"}
    assert str(definitions.apply(source, target)) == "unchanged"


def test_what_changed_and_what_is_gone_is_told(tmp_path: Path, target: Path) -> None:
    source = write(tmp_path / "mine", "a.yaml", COLLECTION % ("one", "1"))
    write(source, "b.yaml", COLLECTION % ("two", "2"))
    definitions.apply(source, target)
    write(source, "a.yaml", COLLECTION % ("one", "another"))
    (source / "b.yaml").unlink()
    assert definitions.apply(source, target).removed == ()
    applied = definitions.apply(source, target, exactly=True)
    assert applied.removed == ("collection-two.yaml",)
    write(source, "a.yaml", COLLECTION % ("one", "a third"))
    assert definitions.apply(source, target).changed == ("collection-one.yaml",)


def test_one_wrong_definition_changes_nothing(tmp_path: Path, target: Path) -> None:
    source = write(tmp_path / "mine", "a.yaml", COLLECTION % ("one", "1"))
    write(source, "b.yaml", "# a comment\n---\n" + (COLLECTION % ("two", "2")).replace("description", "sneed"))
    with pytest.raises(definitions.Refused, match=r"b\.yaml:\d+: .*sneed"):
        definitions.apply(source, target)
    assert list(target.iterdir()) == []


def test_the_same_name_twice_is_refused(tmp_path: Path, target: Path) -> None:
    source = write(tmp_path / "mine", "a.yaml", COLLECTION % ("one", "1"))
    write(source, "b.yaml", COLLECTION % ("one", "2"))
    with pytest.raises(definitions.Refused, match=r"b\.yaml:4: .*defined twice; the first one is at .*a\.yaml:2: "):
        definitions.apply(source, target)


@pytest.mark.parametrize("state", [".mizzen", "out/state"])
def test_a_project_may_hold_its_state(tmp_path: Path, state: str) -> None:
    layout = Layout(write(tmp_path / "mine", "a.yaml", COLLECTION % ("one", "1")) / state)
    layout.make()
    assert definitions.apply(tmp_path / "mine", layout.definitions, exactly=True).added == ("collection-one.yaml",)
    again = definitions.apply(tmp_path / "mine", layout.definitions, exactly=True)
    assert (str(again), again.catalog.errors) == ("unchanged", ())
    assert set(read_directory(tmp_path / "mine").collections) == {"one"}
    with pytest.raises(definitions.Refused, match="is the state directory as well: set MIZZEN_STATE"):
        definitions.check_source(layout.state, layout.state)


def test_documents_in_the_state_are_no_sources(tmp_path: Path) -> None:
    project = write(
        tmp_path / "mine", "a.yaml", (COLLECTION % ("one", "1")).replace("{d", "{sources: [{path: '**/*.txt'}], d")
    )
    layout = Layout(project / "out" / "state")
    layout.make()
    write(project, "mine.txt", "a document")
    write(layout.logs, "b.txt", "a log")
    collection = read_directory(project).collections["one"]
    before = jobs.sources_digest(collection, project)
    write(layout.logs, "b.txt", "a longer log")
    assert jobs.sources_digest(collection, project) == before
    write(project, "mine.txt", "another document")
    assert jobs.sources_digest(collection, project) != before


def test_nothing_there_is_refused(tmp_path: Path, target: Path) -> None:
    with pytest.raises(definitions.Refused, match="does not exist"):
        definitions.apply(tmp_path / "nowhere", target)
    with pytest.raises(definitions.Refused, match="holds no definition"):
        definitions.apply(write(tmp_path / "empty", "x.txt", ""), target)


def test_document_globs_start_from_the_checkout(tmp_path: Path) -> None:
    inside = tmp_path / "checkout" / "examples" / "mine"
    inside.mkdir(parents=True)
    (tmp_path / "checkout" / "pyproject.toml").touch()
    assert definitions.project_directory(inside) == tmp_path / "checkout"
