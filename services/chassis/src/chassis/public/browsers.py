"""What a web page may make its visitor's browser send here.

Without API keys, whoever reaches the port is let in, and a page from anywhere reaches the loopback of the machine that shows it. So
then only loopback names are served, as a page's own name can be made to lead here, and no page of another origin. With keys a page
needs a key; whether a browser hands it the answer is for CORS to say, which is off unless origins are configured.
"""

from collections.abc import Mapping

from chassis.errors import InvalidArgument, PermissionDenied
from chassis.settings import names_loopback

Headers = list[tuple[bytes, bytes]]
JSON_ONLY = frozenset({b"application/json"})

_EXPOSED = b"x-request-id, retry-after, inference-header-content-length"
_ASKED_HEADERS = (
    b"authorization, content-type, idempotency-key, inference-header-content-length, traceparent, x-api-key, x-request-id,"
    b" x-request-timeout-ms"
)
_VARY = (b"vary", b"Origin")


class Browsers:
    """Who may ask from a page."""

    def __init__(
        self, *, keyless: bool, key_setting: str, origins: frozenset[str] = frozenset(), origins_setting: str = ""
    ) -> None:
        """`keyless`: no key is asked for; `origins`: pages that get to see answers, `*` for all of them.

        The settings are what a refusal names as the way out; empty where there is none.
        """
        self._keyless, self._key_setting, self._origins_setting = keyless, key_setting, origins_setting
        self._origins = frozenset(origin.encode() for origin in origins)
        # What every answer carries: caches must not show one page's answer to another.
        self.common: Headers = [_VARY] if keyless or origins else []

    def admit(self, headers: Mapping[bytes, bytes]) -> Headers:
        """What each answer to this request carries. PermissionDenied for a name or an origin that is not served."""
        origin = headers.get(b"origin")
        if self._keyless:
            host = headers.get(b"host", b"")
            if not names_loopback(host.decode("latin-1")):
                raise self._not_loopback()
            own = (b"http://" + host.lower(), b"https://" + host.lower())
            if origin is not None and not self._allowed(origin) and origin.lower() not in own:
                raise self._foreign(origin)
        if origin is None or not self._allowed(origin):
            return self.common
        return [*self.common, (b"access-control-allow-origin", origin), (b"access-control-expose-headers", _EXPOSED)]

    def preflight(self, headers: Mapping[bytes, bytes], allow: str) -> Headers:
        """What an OPTIONS request is told besides, `allow` being the methods of its path."""
        told = [(b"allow", allow.encode())]
        origin = headers.get(b"origin")
        if origin is None or b"access-control-request-method" not in headers or not self._allowed(origin):
            return told
        return [
            *told,
            (b"access-control-allow-methods", allow.encode()),
            (b"access-control-allow-headers", _ASKED_HEADERS),
            (b"access-control-max-age", b"600"),
        ]

    def _allowed(self, origin: bytes) -> bool:
        return origin in self._origins or b"*" in self._origins

    def _not_loopback(self) -> PermissionDenied:
        message = (
            "without API keys only the names localhost, 127.0.0.1 and [::1] are served; ask by one of these, or set "
            f"{self._key_setting}"
        )
        return PermissionDenied(message, reason="HOST_REFUSED", field="Host")

    def _foreign(self, origin: bytes) -> PermissionDenied:
        shown = origin.decode("latin-1")[:128]
        named = f", or name the page's origin in {self._origins_setting}" if self._origins_setting else ""
        message = f"without API keys no page of another origin is served, and this one is {shown!r}; set {self._key_setting}{named}"
        return PermissionDenied(message, reason="ORIGIN_REFUSED", field="Origin")


def check_media_type(headers: Mapping[bytes, bytes], allowed: frozenset[bytes]) -> None:
    """InvalidArgument (415) unless the body says that it is of an allowed type; an empty one allows saying nothing.

    A page may send text/plain and forms anywhere without asking first; application/json it may not.
    """
    given = headers.get(b"content-type", b"").partition(b";")[0].strip().lower()
    if given not in allowed:
        wanted = " or ".join(sorted(each.decode() for each in allowed if each))
        shown = repr(given.decode("latin-1")[:64]) if given else "missing"
        message = f"Content-Type must be {wanted}; it is {shown}"
        raise InvalidArgument(message, reason="UNSUPPORTED_MEDIA_TYPE", field="Content-Type")
