"""/admin/v1/audit: who changed what."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query

from control.api.admin.schema import AuditBody, ChangeBody
from control.domain.ports import AuditLog


def routes(audit: AuditLog) -> APIRouter:
    """Listed; nothing changes or removes an entry."""
    router = APIRouter(prefix="/admin/v1/audit", tags=["Audit log"])

    @router.get("", summary="List changes")
    async def page(
        object_: Annotated[
            str, Query(alias="object", description="Of this object alone, e.g. `Endpoint/flight-delay`.")
        ] = "",
        subject: Annotated[str, Query(description="By this key alone.")] = "",
        before: Annotated[UUID | None, Query(description="`next` of the page before.")] = None,
        limit: Annotated[int, Query(ge=1, le=500, description="Most entries of a page.")] = 100,
    ) -> AuditBody:
        """Changes that were asked for here, the latest first, refused ones too."""
        changes = await audit.page(object_=object_, subject=subject, before=str(before or ""), limit=limit)
        return AuditBody(
            changes=[ChangeBody.of(each) for each in changes], next=changes[-1].id if len(changes) == limit else ""
        )

    return router
