"""Where definitions are read from: a port, and its directory adapter (kubernetes.py has the other one)."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Protocol

import watchfiles

from catalog.kinds.collection import Collection
from catalog.kinds.endpoint import Endpoint
from catalog.kinds.feature_view import FeatureView
from catalog.kinds.inference_service import InferenceService
from catalog.kinds.table import BY_NAME, KINDS, AnyDefinition, Kind
from catalog.parse import DefinitionError, Found, find_in_file
from catalog.schema import schema_hash
from catalog.source.files import definition_files, in_foreign_folder

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Catalog:
    """All definitions at one instant, by name (feature views by reference name)."""

    feature_views: dict[str, FeatureView] = field(default_factory=dict)
    endpoints: dict[str, Endpoint] = field(default_factory=dict)
    collections: dict[str, Collection] = field(default_factory=dict)
    inference_services: dict[str, InferenceService] = field(default_factory=dict)
    errors: tuple[DefinitionError, ...] = ()

    def of(self, kind: Kind) -> dict[str, AnyDefinition]:
        """The definitions of one kind."""
        found: dict[str, AnyDefinition] = getattr(self, kind.field)
        return found

    def schema_hash(self, endpoint: str) -> str:
        """The endpoint's schema hash; KeyError when it or one of its columns does not exist."""
        return schema_hash(self.endpoints[endpoint], self.feature_views)


Examine = Callable[[Catalog], Iterable[DefinitionError]]


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
    found: list[Found] = []
    errors: list[DefinitionError] = []
    for path in definition_files(directory):
        definitions, wrong = find_in_file(path)
        found.extend(definitions)
        errors.extend(wrong)
    return assemble(found, errors, last or Catalog())


def assemble(found: Iterable[Found], errors: Sequence[DefinitionError], last: Catalog) -> Catalog:
    """The catalog of what was found; names of `last` that `errors` say are wrong now keep serving."""
    catalog, twice = _by_name(found)
    catalog = _keep_serving(catalog, last, errors)
    broken = _broken_references(catalog)
    return replace(_keep_whole(catalog, last, broken), errors=(*errors, *twice, *broken))


def defined_twice(first: Found, again: Found) -> DefinitionError:
    """Says so, and names both places."""
    kind, name = again.definition.kind, again.definition.metadata.name
    reason = f"{kind} {name} is defined twice; the first one {f'is at {first.place}' if first.place else 'counts'}"
    return DefinitionError(again.file, again.line, "metadata.name", reason, kind, name)


def _by_name(found: Iterable[Found]) -> tuple[Catalog, list[DefinitionError]]:
    catalog = Catalog()
    twice: list[DefinitionError] = []
    firsts: dict[tuple[str, str], Found] = {}
    for each in found:
        kind = BY_NAME[each.definition.kind]
        key = kind.key(each.definition.metadata.name)
        first = firsts.setdefault((kind.name, key), each)
        if first is each:
            catalog.of(kind)[key] = each.definition
        else:
            twice.append(defined_twice(first, each))
    return catalog, twice


def _keep_serving(catalog: Catalog, last: Catalog, errors: Sequence[DefinitionError]) -> Catalog:
    """Adds what served before and is wrong now. A name that can't even be read keeps everything its file may have held."""
    unreadable = any(not error.name for error in errors)
    broken = {(error.kind, BY_NAME[error.kind].key(error.name)) for error in errors if error.kind in BY_NAME}
    kept = {
        kind.field: {
            key: old
            for key, old in last.of(kind).items()
            if key not in catalog.of(kind) and (unreadable or (kind.name, key) in broken)
        }
        | catalog.of(kind)
        for kind in KINDS
    }
    return replace(catalog, **kept)  # type: ignore[arg-type]  # each kind's field has its model


def _keep_whole(catalog: Catalog, last: Catalog, broken: Sequence[DefinitionError]) -> Catalog:
    """What served before and still could stays in the place of an endpoint whose columns are not there (yet)."""
    before = {
        error.name: last.endpoints[error.name]
        for error in broken
        if error.name in last.endpoints and _resolves(last.endpoints[error.name], catalog)
    }
    return replace(catalog, endpoints=catalog.endpoints | before)


def _resolves(endpoint: Endpoint, catalog: Catalog) -> bool:
    try:
        schema_hash(endpoint, catalog.feature_views)
    except KeyError:
        return False
    return True


def _broken_references(catalog: Catalog) -> list[DefinitionError]:
    """Endpoints whose feature columns do not exist; they stay loaded and fail on request until the view is there."""
    found: list[DefinitionError] = []
    for endpoint in catalog.endpoints.values():
        try:
            schema_hash(endpoint, catalog.feature_views)
        except KeyError as error:
            reason = str(error.args[0])
            field = "spec.model.tensors"
            found.append(DefinitionError("", 0, field, reason, "Endpoint", endpoint.name, missing_reference=True))
    return found
