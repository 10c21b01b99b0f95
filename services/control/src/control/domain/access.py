"""Who may call the admin API."""

from chassis.errors import PermissionDenied, Unauthenticated
from control.domain.model import ADMIN, Admin
from control.domain.ports import Clock, Hasher, Keys, Metrics


class Access:
    """Lets in the installation's admin key, and keys of the database with the scope `admin`."""

    def __init__(self, keys: Keys, hasher: Hasher, clock: Clock, metrics: Metrics, *, keyless: bool) -> None:
        """keyless: everybody who reaches the port is the admin `anonymous`. For loopback only."""
        self._keys, self._hasher, self._clock, self._metrics = keys, hasher, clock, metrics
        self._keyless = keyless

    async def admin(self, credential: str | None, request_id: str) -> Admin:
        """Who shows this key. Unauthenticated, or PermissionDenied without the scope.

        Unavailable where the key is not the installation's own and the database cannot be asked.
        """
        if self._keyless:
            return Admin("anonymous", "default", request_id)
        try:
            name, tenant = await self._named(credential)
        except (Unauthenticated, PermissionDenied) as error:
            self._metrics.refused(error.reason)
            raise
        return Admin(name, tenant, request_id)

    async def _named(self, credential: str | None) -> tuple[str, str]:
        if not credential:
            message = "send an admin key: Authorization: Bearer KEY, or x-api-key"
            raise Unauthenticated(message, reason="API_KEY_MISSING")
        if self._hasher.is_admins(credential):
            return ADMIN, "default"
        key = await self._keys.by_hash(self._hasher.hash(credential))
        if key is None:
            raise Unauthenticated("this API key is not known here", reason="API_KEY_INVALID")
        if key.expires_us is not None and key.expires_us <= self._clock.now_us():
            raise Unauthenticated("this API key has expired", reason="API_KEY_EXPIRED")
        if ADMIN not in key.scopes:
            message = f"the key {key.name} lacks the scope {ADMIN}, which * does not hold"
            raise PermissionDenied(message, reason="SCOPE_MISSING")
        return key.name, key.tenant
