"""Which files hold definitions: what a person wrote, not what lies beside it."""

import asyncio
import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from catalog import (
    STATE_MARK,
    Catalog,
    DirectorySource,
    definition_files,
    find_in_file,
    parse_text,
    passed_over,
    read_directory,
)
from catalog.parse import find_in_text

COLLECTION = 'apiVersion: mizzen.dev/v1alpha1\nkind: Collection\nmetadata: {name: %s}\nspec: {description: "%s"}\n'


def write(path: Path, name: str = "one", description: str = "1") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(COLLECTION % (name, description))
    return path


@pytest.mark.parametrize("junk", [".mizzen/definitions", ".git", ".venv/lib", "node_modules/x", "a/__pycache__"])
def test_what_tools_keep_is_not_read(tmp_path: Path, junk: str) -> None:
    mine = write(tmp_path / "sub" / "mine.yaml")
    other = write(tmp_path / junk / "copy.yaml")
    assert definition_files(tmp_path) == [mine]
    assert (passed_over(other, tmp_path), passed_over(mine, tmp_path)) == (True, False)
    assert read_directory(tmp_path).errors == ()


@pytest.mark.parametrize("mark", [STATE_MARK, "pyvenv.cfg"])
def test_a_marked_folder_is_not_read_whatever_its_name(tmp_path: Path, mark: str) -> None:
    mine = write(tmp_path / "mine.yml")
    write(tmp_path / "out" / "state" / "definitions" / "copy.yaml")
    (tmp_path / "out" / "state" / mark).touch()
    assert definition_files(tmp_path) == [mine]
    # Who names a folder of it means it: services read the copies in the state.
    assert len(definition_files(tmp_path / "out" / "state" / "definitions")) == 1


def test_editors_and_archivers_hidden_files_are_not_read(tmp_path: Path) -> None:
    (tmp_path / ".#mine.yaml").symlink_to("somebody@host.123")
    (tmp_path / "._mine.yaml").write_bytes(b"\0\5\26\7")
    assert definition_files(tmp_path) == []


def test_links_end_and_stay_inside(tmp_path: Path) -> None:
    root = tmp_path / "root"
    mine = write(root / "a" / "mine.yaml")
    write(tmp_path / "elsewhere" / "theirs.yaml")
    (root / "loop").symlink_to(".", target_is_directory=True)
    (root / "a" / "up").symlink_to("..", target_is_directory=True)
    (root / "0-again").symlink_to("a", target_is_directory=True)
    (root / "out").symlink_to(tmp_path / "elsewhere", target_is_directory=True)
    (root / "self").symlink_to("self")
    assert definition_files(root) == [mine]
    assert set(read_directory(root).collections) == {"one"}


def test_a_mounted_config_map_is_read_once(tmp_path: Path) -> None:
    write(tmp_path / "..2026_11_28" / "mine.yaml")
    write(tmp_path / "..2026_11_28" / "sub" / "other.yaml", "two")
    (tmp_path / "..data").symlink_to("..2026_11_28", target_is_directory=True)
    (tmp_path / "mine.yaml").symlink_to("..data/mine.yaml")
    (tmp_path / "sub").symlink_to("..data/sub", target_is_directory=True)
    catalog = read_directory(tmp_path)
    assert (set(catalog.collections), catalog.errors) == ({"one", "two"}, ())


def test_what_cannot_be_read_says_so(tmp_path: Path) -> None:
    (tmp_path / "gone.yaml").symlink_to("nowhere.yaml")
    (tmp_path / "self.yaml").symlink_to("self.yaml")
    os.mkfifo(tmp_path / "pipe.yaml")
    reasons = [str(error) for error in read_directory(tmp_path).errors]
    assert reasons == [
        f"{tmp_path}/gone.yaml:0: can't be read: No such file or directory",
        f"{tmp_path}/self.yaml:0: can't be read: Too many levels of symbolic links",
    ]


def test_defined_twice_names_both_places(tmp_path: Path) -> None:
    first = write(tmp_path / "a.yaml")
    again = tmp_path / "b.yaml"
    again.write_text("# mine\n---\n" + COLLECTION % ("other", "2") + "---\n" + COLLECTION % ("one", "3"))
    (error,) = read_directory(tmp_path).errors
    assert str(error) == (
        f"{again}:10: metadata.name: Collection one is defined twice; the first one is at {first}:1: rename or remove one"
    )


async def test_the_watcher_hears_of_definitions_and_not_of_the_state(tmp_path: Path) -> None:
    state = tmp_path / "state"
    state.mkdir()
    (state / STATE_MARK).touch()
    source = DirectorySource(tmp_path, poll_s=0.05)
    seen: asyncio.Queue[Catalog] = asyncio.Queue()
    watcher = asyncio.create_task(source.watch(seen.put))
    try:
        async with asyncio.timeout(10):
            write(tmp_path / "mine.yaml")
            while "one" not in (await seen.get()).collections:
                pass
            write(state / "definitions" / "copy.yaml", "one", "a copy")
            write(tmp_path / "mine.yaml", "one", "changed")
            catalog = await seen.get()
    finally:
        watcher.cancel()
    assert (catalog.collections["one"].spec.description, catalog.errors) == ("changed", ())


@settings(deadline=None)  # a busy machine
@given(
    st.lists(st.sampled_from(["a", "b", "c"]), unique=True, max_size=3),
    st.sampled_from(["", "--- # head\n", "---\n", "# comment\n", "\ufeff"]),
    st.sampled_from(["\n", "\r\n"]),
    st.integers(0, 3),
)
def test_each_text_is_its_definition_again(names: list[str], head: str, end: str, indent: int) -> None:
    documents = [
        "".join(f"{' ' * indent}{line}\n" for line in (COLLECTION % (name, "ä: {x} # y")).splitlines())
        for name in names
    ]
    flow = "--- {apiVersion: mizzen.dev/v1alpha1, kind: Collection, metadata: {name: d},\n spec: {description: x}}\n"
    text = (head + "---\n".join(documents) + flow).replace("\n", end)
    for data in (text, text.encode(), text.removeprefix("\ufeff").encode("utf-16")):
        found, errors = find_in_text(data, "x.yaml")
        assert (errors, [each.definition.metadata.name for each in found]) == ([], [*names, "d"])
        for each in found:
            assert parse_text(each.text, "y.yaml") == ([each.definition], [])


def test_a_text_that_is_no_unicode_is_refused(tmp_path: Path) -> None:
    (tmp_path / "latin.yaml").write_bytes(b"kind: Collection\nmetadata: {name: caf\xe9}\n")
    found, (error,) = find_in_file(tmp_path / "latin.yaml")
    assert (found, error.reason) == ([], "is no YAML text")
