"""/admin/v1/definitions: what is served."""

from enum import StrEnum
from typing import Annotated, Any

from fastapi import APIRouter, Path, Query, Request

from control.api.admin.access import CurrentAdmin
from control.api.admin.schema import AppliedBody, DefinitionBody, DefinitionsBody, WrittenBody
from control.domain.definitions import ORDER, Editing

Kind = StrEnum("Kind", [(name, name) for name in sorted(ORDER)])  # type: ignore[misc]  # made of what there is
Name = Annotated[str, Path(description="metadata.name.", max_length=63)]
_MANIFEST: dict[str, Any] = {
    "type": "object",
    "required": ["apiVersion", "kind", "metadata", "spec"],
    "properties": {
        "apiVersion": {"type": "string", "examples": ["mizzen.dev/v1alpha1"]},
        "kind": {"type": "string", "enum": sorted(ORDER)},
        "metadata": {"type": "object"},
        "spec": {"type": "object"},
    },
}
_BODY = {
    "requestBody": {
        "required": True,
        "content": {"application/yaml": {"schema": {"type": "string"}}, "application/json": {"schema": _MANIFEST}},
    }
}


def routes(editing: Editing) -> APIRouter:
    """Listed, shown, put, removed."""
    router = APIRouter(prefix="/admin/v1/definitions", tags=["Definitions"])

    @router.get("", summary="List definitions")
    async def stored() -> DefinitionsBody:
        """All that can be read."""
        return DefinitionsBody(definitions=[DefinitionBody.of(each) for each in await editing.stored()])

    @router.get("/{kind}/{name}", summary="Show a definition")
    async def get(kind: Kind, name: Name) -> DefinitionBody:
        """With its revision as `metadata.resourceVersion`."""
        return DefinitionBody.of(await editing.get(kind.value, name))

    @router.post("", summary="Apply definitions", openapi_extra=_BODY)
    async def apply(
        request: Request,
        admin: CurrentAdmin,
        dry_run: Annotated[bool, Query(description="Only examine, and say what would change.")] = False,
    ) -> AppliedBody:
        """One manifest as JSON, or any number as YAML documents. All are examined together: where one is wrong, none is written.

        One with `metadata.resourceVersion` is only taken where this revision is stored.
        """
        written = await editing.apply(admin, await request.body(), dry_run=dry_run)
        return AppliedBody(definitions=[WrittenBody.of(each) for each in written])

    @router.delete("/{kind}/{name}", summary="Remove a definition")
    async def remove(
        admin: CurrentAdmin,
        kind: Kind,
        name: Name,
        revision: Annotated[str | None, Query(description="Only where this revision is stored.", max_length=64)] = None,
    ) -> WrittenBody:
        """Refused while another definition needs it."""
        return WrittenBody.of(await editing.remove(admin, kind.value, name, revision))

    return router
