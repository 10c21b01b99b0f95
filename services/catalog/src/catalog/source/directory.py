"""Where definitions are read from: a port, and its directory adapter (kubernetes.py has the other one)."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Protocol

import watchfiles

from catalog.found import DefinitionError, Found
from catalog.parse import find_in_file
from catalog.snapshot import Catalog
from catalog.source.files import definition_files, in_foreign_folder
from catalog.source.taking import take

_log = logging.getLogger(__name__)


class DefinitionSource(Protocol):
    """Reads definitions and tells of changes."""

    async def load(self) -> Catalog:
        """All definitions now; wrong ones are left out and named in `errors`."""

    async def watch(self, callback: Callable[[Catalog], Awaitable[None] | None]) -> None:
        """Calls back with the new catalog after each change, until cancelled; a definition that became wrong stays as it was."""

    async def close(self) -> None:
        """Lets go of what reading needed."""


class DirectorySource:
    """Definitions from the YAML files of a directory (and its subdirectories)."""

    def __init__(self, directory: Path, *, poll_s: float = 0.5) -> None:
        """`poll_s` is how long changes are collected before they count, seconds."""
        self._directory = directory
        self._poll_s = poll_s
        self._last = Catalog()

    async def load(self) -> Catalog:
        self._last = await asyncio.to_thread(read_directory, self._directory, self._last)
        return self._last

    async def watch(self, callback: Callable[[Catalog], Awaitable[None] | None]) -> None:
        self._directory.mkdir(parents=True, exist_ok=True)
        # Whatever changed between the caller's load() and the watch's start would be lost without this.
        await self._reload(callback)
        step_ms = max(50, int(self._poll_s * 1000))
        watched, by_default = self._directory.absolute(), watchfiles.DefaultFilter()

        def matters(change: watchfiles.Change, path: str) -> bool:
            return by_default(change, path) and not in_foreign_folder(Path(path), watched)

        async for _ in watchfiles.awatch(watched, watch_filter=matters, debounce=step_ms, step=50, recursive=True):
            await self._reload(callback)

    async def close(self) -> None:
        """See DefinitionSource."""

    async def _reload(self, callback: Callable[[Catalog], Awaitable[None] | None]) -> None:
        before = self._last
        after = await self.load()
        if after == before:
            return
        for error in after.errors:
            _log.error("definition refused: %s", error)
        answer = callback(after)
        if answer is not None:
            await answer


def read_directory(directory: Path, last: Catalog | None = None) -> Catalog:
    """Reads the definition files under `directory`; names of `last` that are wrong now keep serving. Blocks on the disk."""
    return take(*find_in_directory(directory), last or Catalog())


def find_in_directory(directory: Path) -> tuple[list[Found], list[DefinitionError]]:
    """The definitions of all files under `directory` (or of that file), unexamined, and what can't be read."""
    found: list[Found] = []
    errors: list[DefinitionError] = []
    for path in definition_files(directory):
        definitions, wrong = find_in_file(path)
        found.extend(definitions)
        errors.extend(wrong)
    return found, errors
