"""Definitions: read, examined and written by the catalog."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, cast

import yaml

from catalog import DefinitionError, DefinitionSource, Found, find_in_text
from catalog.examine import Outside, examine_change
from catalog.kinds.table import BY_NAME
from catalog.writer.port import DefinitionWriter, Stored
from control.domain.model import Definition, Draft, Fault

# Tables and packages are not control's to look at; every InferenceService is among the definitions.
_KNOWN = Outside(all_services=True)


class CatalogDefinitions:
    """See ports.Definitions.

    What is stored is read anew for each question: two admins, or one who sends two changes in a row, must not be judged by what
    was there before. InferenceServices that are no objects, on a cluster without KServe, come from the source.
    """

    def __init__(self, writer: DefinitionWriter, source: DefinitionSource) -> None:
        self._writer, self._source = writer, source

    def parse(self, text: bytes) -> tuple[list[Draft], list[Fault]]:
        found, errors = find_in_text(text, "")
        return [_draft(each) for each in found], [_fault(error) for error in errors]

    async def examine(self, drafts: Sequence[Draft], removed: Sequence[Definition] = ()) -> list[Fault]:
        before = await self._found()
        put = [cast("Found", draft.source) for draft in drafts]
        changed = {_key(each) for each in put} | {_key_of(each.kind, each.name) for each in removed}
        kept = [each for each in before if _key(each) not in changed]
        errors = examine_change(before, [*put, *kept], _KNOWN).errors
        sent = {(draft.kind, draft.name) for draft in drafts}
        # Lines of what stands already are not lines of what was sent.
        return [_fault(error if (error.kind, error.name) in sent else replace(error, line=0)) for error in errors]

    async def stored(self) -> list[Definition]:
        return [_definition(each) for each in await self._writer.stored()]

    async def put(self, draft: Draft) -> str:
        found = cast("Found", draft.source)
        return (await self._writer.put(found, draft.revision)).revision

    async def remove(self, kind: str, name: str, revision: str | None) -> bool:
        return await self._writer.remove(kind, name, revision)

    async def _found(self) -> list[Found]:
        stored = [each.found for each in await self._writer.stored()]
        known = {_key(each) for each in stored}
        services = (await self._source.load()).inference_services.values()
        return [*stored, *(found for each in services if _key(found := Found(each)) not in known)]


def _draft(found: Found) -> Draft:
    """`metadata.resourceVersion`, as Kubernetes has it, is the revision that the author has read."""
    definition = found.definition
    content: dict[str, Any] = yaml.safe_load(found.text)
    revision = content["metadata"].pop("resourceVersion", None)
    content.pop("status", None)
    if revision is None:
        return Draft(definition.kind, definition.metadata.name, content, found.text, None, found)
    text = yaml.safe_dump(content, sort_keys=False, allow_unicode=True)
    return Draft(definition.kind, definition.metadata.name, content, text, str(revision), replace(found, text=text))


def _definition(stored: Stored) -> Definition:
    return Definition(stored.kind, stored.name, stored.revision, stored.manifest, stored.text)


def _fault(error: DefinitionError) -> Fault:
    return Fault(error.line, error.kind, error.name, error.field, error.says)


def _key(found: Found) -> tuple[str, str]:
    return _key_of(found.definition.kind, found.definition.metadata.name)


def _key_of(kind: str, name: str) -> tuple[str, str]:
    return kind, BY_NAME[kind].key(name)
