"""Applying definitions: examined as one whole first, then copied to where every service watches."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from catalog import Catalog, DefinitionError, Found, Outside, examine_change, find_in_directory, read_directory
from catalog.writer.directory import changing, file_name, write_whole


class Refused(Exception):  # noqa: N818  # reads as what happened
    """Nothing was applied; `errors` name file, line, field, reason and mend."""

    def __init__(self, errors: Sequence[DefinitionError]) -> None:
        super().__init__("\n".join(map(str, errors)))
        self.errors = errors


@dataclass(frozen=True, slots=True)
class Examined:
    """Definitions by the file name that they are applied under, and the checks that were not made, as sentences."""

    found: dict[str, Found]
    not_checked: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Applied:
    """What changed, as `Kind name` lines."""

    added: tuple[str, ...]
    changed: tuple[str, ...]
    removed: tuple[str, ...]
    catalog: Catalog
    not_checked: tuple[str, ...] = ()

    def __str__(self) -> str:
        parts = [f"{len(names)} {what}" for what, names in self._named() if names]
        return ", ".join(parts) or "unchanged"

    def _named(self) -> tuple[tuple[str, tuple[str, ...]], ...]:
        return (("new", self.added), ("changed", self.changed), ("removed", self.removed))


def check_source(source: Path, state: Path) -> None:
    """Raises Refused where `source` is the state directory itself: what lies there are copies."""
    if source.resolve() == state.resolve():
        reason, fix = "is the state directory as well", "set MIZZEN_STATE to another folder (default: .mizzen)"
        raise Refused([DefinitionError(str(source), 0, "", reason, fix=fix)])


def validate(source: Path, definitions: Path, outside: Outside, *, exactly: bool = False) -> Examined:
    """Examine the definitions of a file or directory, beside those applied already, with all that is known of the outside.

    `definitions` holds those; with `exactly` they are to be replaced. Raises Refused with every mistake of every file, and with
    what is right now and would not be afterwards.
    """
    if not source.exists():
        raise Refused([DefinitionError(str(source), 0, "", "does not exist")])
    found, unread = find_in_directory(source)
    if not found and not unread:
        raise Refused([DefinitionError(str(source), 0, "", "holds no definition")])
    standing = [] if exactly else find_in_directory(definitions)[0]
    names = {_file_name(each) for each in found}
    kept = [each for each in standing if _file_name(each) not in names]
    examination = examine_change(standing, [*found, *kept], outside)
    if wrong := [*unread, *examination.errors]:
        raise Refused(sorted(wrong, key=lambda error: (error.file, error.line)))
    return Examined({_file_name(each): each for each in found}, examination.not_checked)


def apply(source: Path, definitions: Path, outside: Outside | None = None, *, exactly: bool = False) -> Applied:
    """Copy the definitions of a file or directory to `definitions`, one file each, named by kind and name.

    With `exactly`, what is not in `source` is removed. Raises Refused as `validate` does, before any copy.
    """
    examined = validate(source, definitions, outside or Outside(), exactly=exactly)
    texts = {name: each.text for name, each in examined.found.items()}
    # As control does it, so that neither comes between the other's reading and writing.
    with changing(definitions):
        before = {path.name: path.read_text() for path in definitions.glob("*.yaml")}
        for name, text in texts.items():
            if before.get(name) != text:
                write_whole(definitions / name, text)
        gone = set(before) - set(texts) if exactly else set()
        for name in gone:
            (definitions / name).unlink()
    return Applied(
        added=tuple(sorted(set(texts) - set(before))),
        changed=tuple(sorted(name for name in set(texts) & set(before) if texts[name] != before[name])),
        removed=tuple(sorted(gone)),
        catalog=read_directory(definitions),
        not_checked=examined.not_checked,
    )


def project_directory(source: Path) -> Path:
    """The folder that globs of document sources start from: the checkout that holds `source`, else `source` itself."""
    folder = source.resolve() if source.is_dir() else source.resolve().parent
    marks = (".git", "pyproject.toml")
    return next((each for each in (folder, *folder.parents) if any((each / mark).exists() for mark in marks)), folder)


def _file_name(found: Found) -> str:
    return file_name(found.definition.kind, found.definition.metadata.name)
