"""A model package that comes as one file (zip or tar): unpacked into an empty folder, nothing outside of it touched."""

from __future__ import annotations

import shutil
import stat
import tarfile
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from chassis.errors import AlreadyExists, InvalidArgument, ResourceExhausted
from inference import packaging
from inference.examine import FILE_NAME

MAX_BYTES = 8 * 2**30
MAX_FILES = 10_000
_PIECE = 2**20


def unpack(archive: Path, root: Path, max_bytes: int = MAX_BYTES) -> packaging.Manifest:
    """Unpacks ``archive`` into the new folder ``root`` and verifies the package; on any fault nothing of it is left.

    Raises InvalidArgument for an entry that is neither a file nor a folder or whose path is absolute, has ``..`` or another
    name that packages don't have; ResourceExhausted when more than ``max_bytes`` come out; else as ``packaging.verify``.
    """
    try:
        root.mkdir(parents=True)
    except FileExistsError:
        raise AlreadyExists(f"{root} exists already.", reason="PACKAGE_EXISTS") from None
    try:
        left = max_bytes
        for count, (name, source) in enumerate(_entries(archive)):
            if count >= MAX_FILES:
                raise ResourceExhausted(f"{archive.name} has more than {MAX_FILES} files.", reason="ARCHIVE_TOO_LARGE")
            target = root.joinpath(*_checked_parts(name))
            left = _write(source, target, left)
        return packaging.verify(root)
    except BaseException:
        shutil.rmtree(root, ignore_errors=True)
        raise


def _checked_parts(name: str) -> list[str]:
    parts = name.removeprefix("./").split("/")
    if not all(FILE_NAME.fullmatch(part) for part in parts):
        raise InvalidArgument(f"{name!r} is not a path in a package.", reason="NAME_INVALID", field=name)
    return parts


def _write(source: IO[bytes], target: Path, left: int) -> int:
    # Counted as they come: sizes that an archive states are the sender's word.
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with target.open("xb") as file:
            while piece := source.read(_PIECE):
                left -= len(piece)
                if left < 0:
                    raise ResourceExhausted("The package is larger than allowed.", reason="ARCHIVE_TOO_LARGE")
                file.write(piece)
    except (FileExistsError, IsADirectoryError, NotADirectoryError):
        raise InvalidArgument(f"The archive has {target.name!r} twice.", reason="ARCHIVE_INVALID") from None
    return left


def _entries(archive: Path) -> Iterator[tuple[str, IO[bytes]]]:
    """(path, content) of each file."""
    try:
        if zipfile.is_zipfile(archive):
            yield from _zip_entries(archive)
        else:
            yield from _tar_entries(archive)
    except (zipfile.BadZipFile, tarfile.TarError, EOFError, NotImplementedError, RuntimeError) as error:
        raise InvalidArgument(f"{archive.name} can't be unpacked: {error}.", reason="ARCHIVE_INVALID") from None


def _zip_entries(archive: Path) -> Iterator[tuple[str, IO[bytes]]]:
    with zipfile.ZipFile(archive) as opened:
        for entry in opened.infolist():
            kind = stat.S_IFMT(entry.external_attr >> 16)
            if entry.is_dir():
                continue
            if kind not in (0, stat.S_IFREG):
                raise InvalidArgument(
                    f"{entry.filename!r} is not a file.", reason="PACKAGE_INVALID", field=entry.filename
                )
            with opened.open(entry) as content:
                yield entry.filename, content


def _tar_entries(archive: Path) -> Iterator[tuple[str, IO[bytes]]]:
    with tarfile.open(archive) as opened:
        for entry in opened:
            if entry.isdir():
                continue
            content = opened.extractfile(entry) if entry.isreg() else None
            if content is None:
                raise InvalidArgument(f"{entry.name!r} is not a file.", reason="PACKAGE_INVALID", field=entry.name)
            with content:
                yield entry.name, content
