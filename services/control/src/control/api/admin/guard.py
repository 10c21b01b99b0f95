"""What every request passes before a path sees it: names and pages that are served, the key, the size of the body."""

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from chassis.api_keys import bearer
from chassis.clock import RequestIds
from chassis.errors import Internal, InvalidArgument, MizzenError
from chassis.public.browsers import Browsers, check_media_type
from chassis.telemetry.logs import logger
from control.api.admin.problems import answer
from control.domain.access import Access

_LOG = logger("control.api.admin")
Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]
Headers = list[tuple[bytes, bytes]]

ROOT = "/admin/"
MEDIA = frozenset({b"application/json", b"application/yaml"})
_WITH_BODY = frozenset({"POST", "PUT", "PATCH"})


class Guard:
    """Around the app: a path under /admin/ is reached by admins only, also one that somebody adds later."""

    def __init__(self, app: App, access: Access, browsers: Browsers, ids: RequestIds, max_body_bytes: int) -> None:
        self._app, self._access, self._browsers = app, access, browsers
        self._ids, self._max_body_bytes = ids, max_body_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request_id = self._ids.new()
        headers = dict(scope["headers"])
        told: Headers = [(b"x-request-id", request_id.encode()), (b"cache-control", b"no-store")]
        began = False

        async def told_send(message: Message) -> None:
            nonlocal began
            if message["type"] == "http.response.start":
                began = True
                message = {**message, "headers": [*message.get("headers", ()), *told]}
            await send(message)

        try:
            told += self._browsers.admit(headers)
            scope["state"] = {"request_id": request_id}
            if scope["path"].startswith(ROOT):
                scope["state"]["admin"] = await self._access.admin(_credential(headers), request_id)
            if scope["method"] in _WITH_BODY:
                check_media_type(headers, MEDIA)
                receive = await self._received(receive)
            await self._app(scope, receive, told_send)
        except Exception as error:
            if began:
                raise
            if not isinstance(error, MizzenError):
                _LOG.error("unexpected error", request_id=request_id, path=scope["path"], exc_info=error)
                error = Internal("unexpected")
            status, fields, body = answer(error, request_id)
            await told_send({"type": "http.response.start", "status": status, "headers": [*fields, _length(body)]})
            await send({"type": "http.response.body", "body": body})

    def refuse(self, _path: bytes, error: MizzenError) -> tuple[int, Headers, bytes]:
        """What a connection is told before a request of it is known."""
        return answer(error, self._ids.new())

    async def _received(self, receive: Receive) -> Receive:
        """The body as one message, read now and bounded."""
        body = bytearray()
        message: Message = {"more_body": True}
        while message.get("more_body"):
            message = await receive()
            body += message.get("body", b"")
            if len(body) > self._max_body_bytes:
                raise InvalidArgument(f"the body is over {self._max_body_bytes} bytes", reason="BODY_TOO_LARGE")
        whole: list[Message] = [{"type": "http.request", "body": bytes(body), "more_body": False}]

        async def replayed() -> Message:
            return whole.pop() if whole else await receive()

        return replayed


def _credential(headers: dict[bytes, bytes]) -> str | None:
    return bearer(
        headers.get(b"authorization", b"").decode("latin-1"), headers.get(b"x-api-key", b"").decode("latin-1")
    )


def _length(body: bytes) -> tuple[bytes, bytes]:
    return b"content-length", str(len(body)).encode()
