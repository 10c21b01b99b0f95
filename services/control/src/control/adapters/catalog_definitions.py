"""Definitions: read, examined and written by the catalog."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, cast

import yaml

from catalog.kinds.table import BY_NAME
from catalog.parse import DefinitionError, Found, find_in_text
from catalog.source.directory import Catalog, DefinitionSource, assemble
from catalog.writer.port import DefinitionWriter, Stored
from control.domain.model import Definition, Draft, Fault


class CatalogDefinitions:
    """See ports.Definitions.

    What is stored is read anew for each question: two admins, or one who sends two changes in a row, must not be judged by what
    was there before. InferenceServices that are no objects, on a cluster without KServe, come from the source.
    """

    def __init__(self, writer: DefinitionWriter, source: DefinitionSource) -> None:
        self._writer, self._source = writer, source

    def parse(self, text: bytes) -> tuple[list[Draft], list[Fault]]:
        found, errors = find_in_text(text, "")
        drafts = [_draft(each) for each in found]
        named: set[tuple[str, str]] = set()
        faults = [_fault(error) for error in errors]
        for each in found:
            definition = each.definition
            key = (definition.kind, BY_NAME[definition.kind].key(definition.metadata.name))
            if key in named:
                reason = "stands twice in what was sent"
                faults.append(Fault(each.line, definition.kind, definition.metadata.name, "metadata.name", reason))
            named.add(key)
        return drafts, faults

    async def examine(self, drafts: Sequence[Draft], removed: Sequence[Definition] = ()) -> list[Fault]:
        there = await self._found()
        changed = {_key(each.kind, each.name) for each in drafts} | {_key(each.kind, each.name) for each in removed}
        kept = [each for each in there if _key_of(each) not in changed]
        put = [cast("Found", each.source) for each in drafts]
        before = set(assemble(there, (), Catalog()).errors)
        # A definition of another form may not take the place of one that serves: nothing of before is kept.
        after = assemble([*kept, *put], (), Catalog()).errors
        return [_fault(error) for error in after if error not in before or _key(error.kind, error.name) in changed]

    async def stored(self) -> list[Definition]:
        return [_definition(each) for each in await self._writer.stored()]

    async def put(self, draft: Draft) -> str:
        found = cast("Found", draft.source)
        return (await self._writer.put(found, draft.revision)).revision

    async def remove(self, kind: str, name: str, revision: str | None) -> bool:
        return await self._writer.remove(kind, name, revision)

    async def _found(self) -> list[Found]:
        stored = [each.found for each in await self._writer.stored()]
        known = {_key_of(each) for each in stored}
        services = (await self._source.load()).inference_services.values()
        return [*stored, *(found for each in services if _key_of(found := Found(each)) not in known)]


def _draft(found: Found) -> Draft:
    """`metadata.resourceVersion`, as Kubernetes has it, is the revision that the author has read."""
    definition = found.definition
    content: dict[str, Any] = yaml.safe_load(found.text)
    revision = content["metadata"].pop("resourceVersion", None)
    content.pop("status", None)
    if revision is None:
        return Draft(definition.kind, definition.metadata.name, found.text, None, found)
    text = yaml.safe_dump(content, sort_keys=False, allow_unicode=True)
    return Draft(definition.kind, definition.metadata.name, text, str(revision), replace(found, text=text))


def _definition(stored: Stored) -> Definition:
    return Definition(stored.kind, stored.name, stored.revision, stored.manifest, stored.text)


def _fault(error: DefinitionError) -> Fault:
    return Fault(error.line, error.kind, error.name, error.field, error.reason)


def _key_of(found: Found) -> tuple[str, str]:
    return _key(found.definition.kind, found.definition.metadata.name)


def _key(kind: str, name: str) -> tuple[str, str]:
    return kind, BY_NAME[kind].key(name) if kind in BY_NAME else name
