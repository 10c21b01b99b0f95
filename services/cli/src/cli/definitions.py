"""Applying definitions: checked first, then copied to where every service watches."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from catalog import (
    Catalog,
    DefinitionError,
    Found,
    defined_twice,
    definition_files,
    find_in_file,
    read_directory,
)


class Refused(Exception):  # noqa: N818  # reads as what happened
    """Nothing was applied; `errors` name file, line, field and reason."""

    def __init__(self, errors: list[DefinitionError]) -> None:
        super().__init__("\n".join(map(str, errors)))
        self.errors = errors


@dataclass(frozen=True, slots=True)
class Applied:
    """What changed, as `Kind name` lines."""

    added: tuple[str, ...]
    changed: tuple[str, ...]
    removed: tuple[str, ...]
    catalog: Catalog

    def __str__(self) -> str:
        parts = [f"{len(names)} {what}" for what, names in self._named() if names]
        return ", ".join(parts) or "unchanged"

    def _named(self) -> tuple[tuple[str, tuple[str, ...]], ...]:
        return (("new", self.added), ("changed", self.changed), ("removed", self.removed))


def check_source(source: Path, state: Path) -> None:
    """Raises Refused where `source` is the state directory itself: what lies there are copies."""
    if source.resolve() == state.resolve():
        reason = "is the state directory as well: set MIZZEN_STATE to another folder (default: .mizzen)"
        raise Refused([DefinitionError(str(source), 0, "", reason)])


def apply(source: Path, definitions: Path, *, exactly: bool = False) -> Applied:
    """Copy the definitions of a file or directory to `definitions`, one file each, named by kind and name.

    With `exactly`, what is not in `source` is removed. Raises Refused when anything in it is wrong, before any copy.
    """
    texts = _read(source)
    if not texts:
        raise Refused([DefinitionError(str(source), 0, "", "holds no definition")])
    before = {path.name: path.read_text() for path in definitions.glob("*.yaml")}
    for name, text in texts.items():
        if before.get(name) != text:
            partial = definitions / f".{name}.new"
            partial.write_text(text)
            partial.rename(definitions / name)
    gone = set(before) - set(texts) if exactly else set()
    for name in gone:
        (definitions / name).unlink()
    return Applied(
        added=tuple(sorted(set(texts) - set(before))),
        changed=tuple(sorted(name for name in set(texts) & set(before) if texts[name] != before[name])),
        removed=tuple(sorted(gone)),
        catalog=read_directory(definitions),
    )


def project_directory(source: Path) -> Path:
    """The folder that globs of document sources start from: the checkout that holds `source`, else `source` itself."""
    folder = source.resolve() if source.is_dir() else source.resolve().parent
    marks = (".git", "pyproject.toml")
    return next((each for each in (folder, *folder.parents) if any((each / mark).exists() for mark in marks)), folder)


def _read(source: Path) -> Mapping[str, str]:
    """File name → text of one definition."""
    if not source.exists():
        raise Refused([DefinitionError(str(source), 0, "", "does not exist")])
    found: dict[str, Found] = {}
    errors: list[DefinitionError] = []
    for path in definition_files(source):
        definitions, wrong = find_in_file(path)
        errors.extend(wrong)
        for each in definitions:
            definition = each.definition
            first = found.setdefault(f"{definition.kind.lower()}-{definition.metadata.name}.yaml", each)
            if first is not each:
                errors.append(defined_twice(first, each))
    if errors:
        raise Refused(errors)
    return {name: each.text for name, each in found.items()}
