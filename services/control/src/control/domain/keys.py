"""API keys: made, listed, revoked, and told to those who authenticate."""

from collections.abc import Mapping

from chassis.api_keys import ALL, SCOPES, parse_name, parse_tenant
from chassis.errors import InvalidArgument, NotFound
from control.domain.model import ADMIN, Admin, Change, Key, KnownKeys, NewKey, Outcome
from control.domain.ports import Clock, Hasher, Ids, Keys, Metrics

ALL_SCOPES = (*SCOPES, ADMIN, ALL)


class KeyRing:
    """The keys of the database. Those of the gateway's key file are not among them."""

    def __init__(self, keys: Keys, hasher: Hasher, clock: Clock, ids: Ids, metrics: Metrics) -> None:
        self._keys, self._hasher, self._clock, self._ids, self._metrics = keys, hasher, clock, ids, metrics

    async def create(self, admin: Admin, wanted: NewKey) -> tuple[Key, str]:
        """The key as it is stored, and the key itself, which nobody can show again.

        InvalidArgument names the field that is wrong; AlreadyExists where this tenant has a key of this name.
        """
        now_us = self._clock.now_us()
        _check(wanted, now_us)
        plain = self._hasher.new_key()
        made = Key(
            self._ids.new(), wanted.tenant, wanted.name, tuple(sorted(set(wanted.scopes))), self._hasher.hash(plain),
            now_us, admin.subject, wanted.expires_us,
        )  # fmt: skip
        detail = {"key_id": made.id, "scopes": list(made.scopes), "expires_us": made.expires_us}
        await self._keys.add(made, self._change(admin, "key.create", made.tenant, made.name, detail))
        self._metrics.changed("key.create", Outcome.DONE)
        return made, plain

    async def revoke(self, admin: Admin, key_id: str) -> Key:
        """The revoked key; once more changes nothing. NotFound where there is none."""
        there = await self.get(key_id)
        change = self._change(admin, "key.revoke", there.tenant, there.name, {"key_id": key_id})
        found = await self._keys.revoke(key_id, change)
        if found is None:
            raise _unknown(key_id)
        key, was_in_force = found
        if was_in_force:
            self._metrics.changed("key.revoke", Outcome.DONE)
        return key

    async def get(self, key_id: str) -> Key:
        """NotFound where there is none."""
        found = await self._keys.get(key_id)
        if found is None:
            raise _unknown(key_id)
        return found

    async def page(self, tenant: str, *, revoked: bool, after: str, limit: int) -> list[Key]:
        """As Keys.page."""
        return await self._keys.page(tenant, revoked=revoked, after=after, limit=limit)

    async def known(self, version: str) -> KnownKeys:
        """As Keys.known."""
        found = await self._keys.known(version)
        self._metrics.keys_read(None if found.keys is None else len(found.keys))
        return found

    def _change(self, admin: Admin, action: str, tenant: str, name: str, detail: Mapping[str, object]) -> Change:
        return Change(
            self._ids.new(), admin.request_id, self._clock.now_us(), admin.tenant, admin.subject, action,
            f"key {tenant}/{name}", Outcome.DONE, detail,
        )  # fmt: skip


def _check(wanted: NewKey, now_us: int) -> None:
    for field, check, value in (("name", parse_name, wanted.name), ("tenant", parse_tenant, wanted.tenant)):
        try:
            check(value)
        except ValueError as error:
            raise InvalidArgument(f"{error}", reason="INVALID_VALUE", field=field) from None
    unknown = set(wanted.scopes) - set(ALL_SCOPES)
    if unknown or not wanted.scopes:
        named = f"{', '.join(sorted(unknown))}: there is no such scope; " if unknown else ""
        raise InvalidArgument(f"{named}name some of {', '.join(ALL_SCOPES)}", reason="INVALID_VALUE", field="scopes")
    if wanted.expires_us is not None and wanted.expires_us <= now_us:
        raise InvalidArgument("the expiry is in the past", reason="INVALID_VALUE", field="expires")


def _unknown(key_id: str) -> NotFound:
    return NotFound(f"there is no API key {key_id}", reason="KEY_NOT_FOUND", ids={"key": key_id})
