"""One HTTP request and its answer on bare ASGI: no framework object is made on the way."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Collection, Mapping, MutableMapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar
from urllib.parse import parse_qsl

import orjson

from chassis.api_keys import bearer
from chassis.errors import InvalidArgument, ResourceExhausted
from gateway.api.edge import Edge, timeout_ms
from gateway.api.http.dialects import dialect_of
from gateway.api.http.presence import ClientGoneError, Presence
from gateway.domain.model import Call

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Headers = list[tuple[bytes, bytes]]
T = TypeVar("T")

JSON = b"application/json"
MAX_DEPTH = 100
# Lists and objects cost the most to read, and no other thread runs meanwhile (ADR 0017).
MAX_NESTED = 500_000
# Reading more than so many bytes may take longer than others should wait.
LARGE_BODY = 128 * 1024
# One thread: what several read at once is many times their bodies, and each thread keeps a heap of its own.
_BESIDE = ThreadPoolExecutor(1, "large-bodies")


async def beside(work: Callable[..., T], *arguments: object) -> T:
    """`work` done by a thread, one after another, while the loop turns."""
    return await asyncio.get_running_loop().run_in_executor(_BESIDE, work, *arguments)


class Http:
    """A request.

    The app fills in `params` (the path's, decoded), `query`, `template`, `dialect`, `common` (headers of each answer) and `call`;
    a route the body, `raw` as it came and `value` as it was read.
    """

    __slots__ = (
        "_call", "_edge", "_send", "common", "dialect", "headers", "limits", "method", "params", "query", "raw", "receive",
        "request_id", "scope", "started", "template", "value",
    )  # fmt: skip

    def __init__(self, scope: Scope, receive: Receive, send: Send, edge: Edge, limits: "Limits") -> None:
        self.scope = scope
        self.receive = receive
        self._send = send
        self._edge = edge
        self.limits = limits
        self.headers: dict[bytes, bytes] = dict(scope["headers"])
        self.method: str = scope["method"]
        self.dialect = dialect_of(scope["raw_path"])
        self.params: Mapping[str, str] = {}
        self.query: Mapping[str, str] = {}
        self.template = ""
        self.common: Headers = []
        self.request_id = edge.new_id()
        self.started = False
        self.raw = b""
        self.value: object = None
        self._call: Call | None = None

    @property
    def call(self) -> Call:
        """The opened call; only where the path has a scope."""
        assert self._call is not None  # noqa: S101 - the app opens it before such a path's handler
        return self._call

    @property
    def credential(self) -> str | None:
        """The API key that came along."""
        get = self.headers.get
        return bearer(get(b"authorization", b"").decode("latin-1"), get(b"x-api-key", b"").decode("latin-1"))

    @property
    def idempotency_key(self) -> str:
        """The Idempotency-Key header, empty without one."""
        return self.headers.get(b"idempotency-key", b"").decode("latin-1")

    def may(self, scope: str) -> bool:
        """Whether the API key that came along has this scope."""
        return self._edge.may(self.credential, scope)

    def open(self, scope: str, default_s: float, endpoint: str | None) -> None:
        """Makes `call`: key, scope, deadline, admission; see Edge.open. Nothing of the body is read yet."""
        get = self.headers.get
        client_id = get(b"x-request-id")
        traceparent = get(b"traceparent")
        self._call = self._edge.open(
            self.request_id,
            self.credential,
            scope,
            timeout_ms(get(b"x-request-timeout-ms", b"").decode("latin-1"), default_s),
            client_request_id="" if client_id is None else client_id.decode("latin-1"),
            traceparent="" if traceparent is None else traceparent.decode("latin-1")[:64],
            endpoint=endpoint,
        )

    def leave(self, *, ok: bool) -> None:
        """Gives the call's place back."""
        if self._call is not None:
            self._call.leave(ok=ok)

    def read_query(self, allowed: Collection[str]) -> None:
        """Fills in `query`. InvalidArgument for a parameter that is not in `allowed`, or given twice."""
        found: dict[str, str] = {}
        try:
            pairs = parse_qsl(self.scope["query_string"].decode("ascii"), keep_blank_values=True, max_num_fields=20)
        except ValueError:
            raise InvalidArgument("the query cannot be read", reason="INVALID_QUERY", field="query") from None
        for name, value in pairs:
            if name not in allowed or name in found:
                message = f"query parameter {name[:64]!r} is {'given twice' if name in found else 'unknown'}"
                raise InvalidArgument(message, reason="UNKNOWN_FIELD", field=name[:64])
            found[name] = value
        self.query = found

    async def body(self) -> bytes:
        """The whole body; refused while it arrives when it grows over the limit. How long it may take is the port's to say."""
        limit = self.limits.max_body_bytes
        if self.headers.get(b"content-encoding", b"identity") != b"identity":
            message = "compressed bodies are not taken; send the body as it is"
            raise InvalidArgument(message, reason="UNSUPPORTED_MEDIA_TYPE", field="Content-Encoding")
        length = self.headers.get(b"content-length")
        if length is not None and len(length) < 20 and int(length) > limit:
            await self._discard()
            raise too_large(limit)
        first, more = await self._part()
        if not more:
            if len(first) > limit:
                raise too_large(limit)
            return first
        return await self._long_body(first, limit)

    async def _part(self) -> tuple[bytes, bool]:
        message = await self.receive()
        if message["type"] == "http.disconnect":
            raise ClientGoneError
        return message.get("body", b""), message.get("more_body", False)

    async def _long_body(self, first: bytes, limit: int) -> bytes:
        parts, size = [first], len(first)
        more = True
        while more and size <= limit:
            part, more = await self._part()
            parts.append(part)
            size += len(part)
        if size > limit:
            parts.clear()
            await self._discard()
            raise too_large(limit)
        return b"".join(parts)

    async def _discard(self) -> None:
        """Reads on for a second, so that most clients are done sending and see why they were refused."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(1):
                while (await self._part())[1]:
                    pass

    async def read(self, work: Callable[[bytes], T]) -> T:
        """What `work` makes of the body. A large one is read by a thread, so that others get their turns meanwhile."""
        body = await self.body()
        return work(body) if len(body) <= LARGE_BODY else await beside(work, body)

    async def json(self) -> dict[str, Any]:
        """The body as a JSON object."""
        return parse_object(await self.body())

    async def answer(
        self, body: bytes, status: int = 200, content_type: bytes = JSON, headers: Headers | None = None
    ) -> None:
        """Sends the whole answer. What comes of a body that was not read is dropped by the connection, which goes on."""
        self.started = True
        sent = [
            (b"content-type", content_type),
            (b"content-length", str(len(body)).encode()),
            (b"x-request-id", self.request_id.encode()),
            *self.common,
        ]
        if headers:
            sent += headers
        await self._send({"type": "http.response.start", "status": status, "headers": sent})
        await self._send({"type": "http.response.body", "body": body})

    async def answer_nothing(self, headers: Headers) -> None:
        """Sends 204."""
        self.started = True
        sent = [(b"x-request-id", self.request_id.encode()), *self.common, *headers]
        await self._send({"type": "http.response.start", "status": 204, "headers": sent})
        await self._send({"type": "http.response.body", "body": b""})

    async def answer_json(self, value: object, status: int = 200) -> None:
        """Sends a JSON answer."""
        await self.answer(orjson.dumps(value), status)

    async def send(self, message: MutableMapping[str, Any]) -> None:
        """ASGI's send for answers made elsewhere: adds the headers that every answer carries."""
        if message["type"] == "http.response.start":
            self.started = True
            told = (b"x-request-id", self.request_id.encode())
            message["headers"] = [*message["headers"], told, *self.common]
        await self._send(message)

    async def while_there(self, work: Awaitable[T]) -> T:
        """The work's result; raises ClientGoneError when the client goes before. Only after the body was read."""
        return await self.limits.presence.of(self.disconnected, work)

    async def disconnected(self) -> None:
        """Returns when the client has gone."""
        while (await self.receive())["type"] != "http.disconnect":
            pass


class Limits:
    """What one request may bring, and who watches that its client is still there."""

    __slots__ = ("max_body_bytes", "presence")

    def __init__(self, max_body_bytes: int) -> None:
        self.max_body_bytes = max_body_bytes
        self.presence = Presence()


Handler = Callable[..., Awaitable[object]]
"""Gets the request, and its body where the table says of which model; returns the JSON answer, or None when it has answered."""


def too_large(limit: int) -> ResourceExhausted:
    """The error of a body over the limit."""
    return ResourceExhausted(f"the body is larger than {limit} bytes", reason="BODY_TOO_LARGE")


def parse_object(body: bytes) -> dict[str, Any]:
    """JSON object of a body. InvalidArgument says where it cannot be read."""
    openers = body.count(b"[") + body.count(b"{")
    if openers > MAX_NESTED:
        message = (
            f"the body has more than {MAX_NESTED} brackets [ and {{; send several requests, or tensors as one flat list"
        )
        raise InvalidArgument(message, reason="TOO_NESTED", field="body")
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        message = f"the body is not JSON: {error.msg} at line {error.lineno} column {error.colno}"
        raise InvalidArgument(message[:300], reason="INVALID_JSON", field="body") from None
    except RecursionError:
        raise _too_deep() from None
    if type(value) is not dict:
        raise InvalidArgument("the body must be a JSON object", reason="INVALID_JSON", field="body")
    # As many openers as levels at most: counting them is cheap, walking is for the few that could be too deep.
    if openers > MAX_DEPTH and _depth(value) > MAX_DEPTH:
        raise _too_deep()
    return value


def _too_deep() -> InvalidArgument:
    return InvalidArgument(f"the body is nested deeper than {MAX_DEPTH}", reason="TOO_DEEP", field="body")


def _depth(value: object) -> int:
    depth, level = 0, [value]
    while level and depth <= MAX_DEPTH:
        below: list[object] = []
        for item in level:
            if type(item) is list:
                below.extend(x for x in item if type(x) is list or type(x) is dict)
            elif type(item) is dict:
                below.extend(x for x in item.values() if type(x) is list or type(x) is dict)
        depth += 1
        level = below
    return depth


def refuse_unknown(value: Mapping[str, object], allowed: frozenset[str], where: str = "") -> None:
    """InvalidArgument naming the first field that is not in `allowed`."""
    if not allowed.issuperset(value):
        name = next(name for name in value if name not in allowed)
        field = f"{where}.{name[:64]}" if where else name[:64]
        message = f"there is no field {field}; allowed here: {', '.join(sorted(allowed)) or 'none'}"
        raise InvalidArgument(message, reason="UNKNOWN_FIELD", field=field)
