"""Which files of a folder hold definitions: what a person wrote there, and nothing that a tool or Mizzen itself put beside it."""

import os
from collections.abc import Iterator
from pathlib import Path

SUFFIXES = (".yaml", ".yml")
STATE_MARK = ".mizzen-state"
"""A file of this name says that its folder is a state directory: the definitions in it are copies."""
_TOOLS = frozenset({"node_modules", "__pycache__", "site-packages"})
_MARKS = (STATE_MARK, "pyvenv.cfg")


def definition_files(root: Path) -> list[Path]:
    """Every YAML file under `root`, or `root` itself where it is a file, sorted. Each real folder is looked into once.

    Passed over: names that start with a dot, environments, caches, state directories, and what a link to a folder leads to
    outside of `root`. A link to a file counts as a file, so a mounted ConfigMap can be read. A link to nowhere and a folder that
    may not be read are in the list: reading them says why.
    """
    if root.is_file():
        return [root]
    return sorted(path for folder in _folders(root) for path in _files(folder))


def passed_over(path: Path, root: Path) -> bool:
    """Whether `definition_files(root)` passes over `path` or a folder that it lies in. `path` is under `root`."""
    return _is_hidden(path.name) or in_foreign_folder(path, root)


def in_foreign_folder(path: Path, root: Path) -> bool:
    """Whether a folder under `root` that `path` lies in is passed over."""
    return any(_is_foreign(root / folder) for folder in list(path.relative_to(root).parents)[:-1])


def _folders(root: Path) -> Iterator[Path]:
    inside, seen, waiting = root.resolve(), set[Path](), [root]
    while waiting:
        folder = waiting.pop(0)
        real = folder.resolve()
        if real in seen or not real.is_relative_to(inside):
            continue
        seen.add(real)
        yield folder
        # Folders before links to folders: a file is named by where it lies.
        below = [path for path in _entries(folder) if path.is_dir() and not _is_foreign(path)]
        waiting += sorted(below, key=lambda path: (path.is_symlink(), path))


def _files(folder: Path) -> Iterator[Path]:
    if folder.exists() and not os.access(folder, os.R_OK | os.X_OK):
        yield folder
    for path in _entries(folder):
        if path.suffix in SUFFIXES and not _is_hidden(path.name) and (path.is_file() or not path.exists()):
            yield path


def _entries(folder: Path) -> list[Path]:
    """Nothing where the folder may not be read or just went away."""
    try:
        return list(folder.iterdir())
    except OSError:
        return []


def _is_foreign(folder: Path) -> bool:
    """Whether a tool, or Mizzen itself, keeps the folder."""
    return _is_hidden(folder.name) or folder.name in _TOOLS or any((folder / mark).exists() for mark in _MARKS)


def _is_hidden(name: str) -> bool:
    return name.startswith(".")
