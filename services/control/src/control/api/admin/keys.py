"""/admin/v1/keys: the API keys of the database."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query

from control.api.admin.access import CurrentAdmin
from control.api.admin.schema import KeyBody, KeysBody, MadeKeyBody, NewKeyBody
from control.domain.keys import KeyRing
from control.domain.model import NewKey

Limit = Annotated[int, Query(ge=1, le=500, description="Most entries of a page.")]


def routes(ring: KeyRing) -> APIRouter:
    """Made, listed, shown, revoked."""
    router = APIRouter(prefix="/admin/v1/keys", tags=["API keys"])

    @router.post("", status_code=201, summary="Make an API key")
    async def create(admin: CurrentAdmin, body: NewKeyBody) -> MadeKeyBody:
        """Every gateway takes the key within seconds. The answer shows it, and nothing can show it again."""
        expires_us = None if body.expires is None else round(body.expires.timestamp() * 1e6)
        key, plain = await ring.create(admin, NewKey(body.tenant, body.name, tuple(body.scopes), expires_us))
        return MadeKeyBody(key=plain, about=KeyBody.of(key))

    @router.get("", summary="List API keys")
    async def page(
        tenant: Annotated[str, Query(description="Of this tenant alone.")] = "",
        revoked: Annotated[bool, Query(description="Revoked ones too.")] = False,
        after: Annotated[UUID | None, Query(description="`next` of the page before.")] = None,
        limit: Limit = 100,
    ) -> KeysBody:
        """Those of the database; the lines of the gateway's key file are not among them."""
        keys = await ring.page(tenant, revoked=revoked, after=str(after or ""), limit=limit)
        return KeysBody(keys=[KeyBody.of(key) for key in keys], next=keys[-1].id if len(keys) == limit else "")

    @router.get("/{key_id}", summary="Show an API key")
    async def get(key_id: UUID) -> KeyBody:
        """All but the key and its hash."""
        return KeyBody.of(await ring.get(str(key_id)))

    @router.delete("/{key_id}", summary="Revoke an API key")
    async def revoke(admin: CurrentAdmin, key_id: UUID) -> KeyBody:
        """Every gateway that reaches control refuses the key within seconds. Once more changes nothing."""
        return KeyBody.of(await ring.revoke(admin, str(key_id)))

    return router
