"""Definitions in a directory: one file each, named by kind and name, as `mizzen apply` writes them."""

import asyncio
import fcntl
import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import yaml

from catalog.found import Found
from catalog.kinds.table import BY_NAME
from catalog.parse import find_in_file
from catalog.source.files import definition_files
from catalog.writer.port import Stored, check_revision
from chassis.errors import FailedPrecondition, Unavailable


class DirectoryWriter:
    """See DefinitionWriter. Who reads the directory meanwhile sees the old definition or the new one, whole."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    async def stored(self) -> list[Stored]:
        return await asyncio.to_thread(self._stored)

    async def put(self, found: Found, revision: str | None = None) -> Stored:
        return await asyncio.to_thread(self._put, found, revision)

    async def remove(self, kind: str, name: str, revision: str | None = None) -> bool:
        return await asyncio.to_thread(self._remove, kind, name, revision)

    async def close(self) -> None:
        """See DefinitionWriter."""

    def _stored(self) -> list[Stored]:
        found = [each for path in definition_files(self._directory) for each in find_in_file(path)[0]]
        return sorted(map(_stored, found), key=lambda each: (each.kind, each.name))

    def _put(self, found: Found, revision: str | None) -> Stored:
        kind, name = found.definition.kind, found.definition.metadata.name
        with changing(self._directory):
            check_revision(kind, name, self._own(kind, name), revision)
            write_whole(self._path(kind, name), found.text)
        return _stored(found)

    def _remove(self, kind: str, name: str, revision: str | None) -> bool:
        with changing(self._directory):
            there = self._own(kind, name)
            check_revision(kind, name, there, revision)
            if there is not None:
                self._path(kind, name).unlink()
        return there is not None

    def _own(self, kind: str, name: str) -> Stored | None:
        """The stored one of this name. FailedPrecondition where a person keeps it in a file of their own."""
        key = BY_NAME[kind].key(name)
        for each in self._stored():
            if each.kind == kind and BY_NAME[kind].key(each.name) == key:
                if Path(each.found.file) != self._path(kind, name):
                    message = f"{kind} {each.name} stands in {Path(each.found.file).name}: change it there"
                    raise FailedPrecondition(message, reason="DEFINED_ELSEWHERE")
                return each
        return None

    def _path(self, kind: str, name: str) -> Path:
        return self._directory / file_name(kind, name)


@contextmanager
def changing(directory: Path) -> Iterator[None]:
    """One change of a directory's definitions at a time. Unavailable where it cannot be written to."""
    try:
        directory.mkdir(parents=True, exist_ok=True)
        lock = os.open(directory / ".lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield
        finally:
            os.close(lock)
    except OSError as error:
        message = f"the definitions directory cannot be written to: {error.strerror}"
        raise Unavailable(message, reason="DEFINITIONS_UNWRITABLE") from error


def write_whole(path: Path, text: str) -> None:
    """Puts a file in the place of another: who reads meanwhile sees one of both, whole."""
    partial = path.with_name(f".{path.name}.new")
    partial.write_text(text, encoding="utf-8")
    partial.rename(path)


def file_name(kind: str, name: str) -> str:
    """Of the file that holds this definition alone."""
    return f"{kind.lower()}-{name}.yaml"


def _stored(found: Found) -> Stored:
    digest = hashlib.sha256(found.text.encode()).hexdigest()[:16]
    return Stored(found, digest, yaml.safe_load(found.text), found.text)
