"""The ASGI app that serves the table of public REST paths.

Before a handler runs, the app has checked who may ask (names and pages), opened the call (key, scope, deadline, admission) and
read the query and the body as the row declares them. So a path without a scope does not exist, and nothing of a body is read for
a caller who is refused.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from typing import Any, Protocol

import orjson

from chassis.errors import InvalidArgument, MizzenError, NotFound
from chassis.public.browsers import Browsers, check_media_type
from chassis.public.http_bounds import Answer, TurnAway
from chassis.public.problem import headers_of, status_of
from chassis.telemetry.logs import logger
from gateway.api.edge import READ, Edge
from gateway.api.http.bodies import parsed
from gateway.api.http.dialects import MIZZEN, dialect_of
from gateway.api.http.dispatch import Node, PathTree
from gateway.api.http.page import ASSETS, POLICY, asset
from gateway.api.http.page import PATHS as DOCUMENTS
from gateway.api.http.path import Path
from gateway.api.http.presence import ClientGoneError
from gateway.api.http.request import Headers, Http, Limits, Receive, Scope, Send
from gateway.api.http.turning_away import TurningAway
from gateway.domain.idempotency import IdempotentWrites

_log = logger("gateway.rest")


class App:
    """Dispatches, renders errors, counts. What is not in the table is 404, whatever its encoding."""

    def __init__(
        self,
        paths: Sequence[Path],
        edge: Edge,
        limits: Limits,
        browsers: Browsers,
        writes: IdempotentWrites,
        *,
        observe: Callable[[str, str, int, float], None],
        documents: "Callable[[], Documents]",
    ) -> None:
        """`observe(method, template, status, seconds)`; `documents` makes what /docs and /openapi.json show: half a second of
        work, done in a thread when somebody first asks."""
        self._edge = edge
        self._limits = limits
        self._browsers = browsers
        self._writes = writes
        self._observe = observe
        self._make_documents = documents
        self._documents: Documents | None = None
        self._tree = PathTree([*paths, *(Path("GET", path, self._document, "–", None) for path in sorted(DOCUMENTS))])
        self.turn_away: TurnAway = TurningAway(self._tree, edge, browsers.common, observe)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""
        if scope["type"] != "http":
            return
        http = Http(scope, receive, send, self._edge, self._limits)
        http.common = self._browsers.common
        started = time.perf_counter()
        status, http.template = 200, "other" if http.dialect is MIZZEN else "/v2/other"
        try:
            await self._serve(http)
        except MizzenError as error:
            status = await self._failed(http, error)
        except ClientGoneError:
            status = 499
        except asyncio.CancelledError:
            status = 499
            raise
        except Exception as error:
            _log.error("unexpected error", path=http.template, request_id=http.request_id, exc_info=error)
            status = await self._failed(http, MizzenError("internal error"))
        finally:
            http.leave(ok=status < 400)
            self._observe(http.method, http.template, status, time.perf_counter() - started)

    async def _serve(self, http: Http) -> None:
        http.common = self._browsers.admit(http.headers)
        found = self._tree.find(http.scope["raw_path"])
        if found is None:
            raise NotFound("there is no such path; GET /docs lists them", reason="PATH_NOT_FOUND")
        node, http.params = found
        path = node.rows.get(http.method)
        if path is None:
            await self._other_method(http, node)
            return
        http.template, http.dialect = path.template, path.dialect
        if path.scope is not None:
            http.open(path.scope, path.seconds(http.params), path.place_of(http.params))
        if http.method == "POST":
            check_media_type(http.headers, path.media)
        if path.query is not None:
            http.read_query(path.query)
        await self._handle(http, path)

    async def _handle(self, http: Http, path: Path) -> None:
        """Reads the body as its model, where the row says so, and answers what the handler makes of it."""
        handle, raw = partial(path.handler, http), b""
        if path.body is not None and not path.is_hot:
            model = path.body
            raw, body = await http.read(lambda raw: (raw, parsed(raw, model)))
            handle = partial(path.handler, http, body)
        if path.idempotent:
            # What was asked is the path with its parameters and the body: the same key with another of these is refused.
            operation = f"{path.method} {path.template} {sorted(http.params.items())}"
            await http.answer(
                await self._writes.run(http.call, http.idempotency_key, operation, raw, lambda: _json(handle()))
            )
        elif (made := await handle()) is not None:
            await http.answer_json(made)

    async def _other_method(self, http: Http, node: Node[Path]) -> None:
        if http.method != "OPTIONS":
            message = f"use {node.allow} on this path"
            raise InvalidArgument(message, reason="METHOD_NOT_ALLOWED", ids={"allow": node.allow})
        http.template = next(iter(node.rows.values())).template
        await http.answer_nothing(self._browsers.preflight(http.headers, node.allow))

    async def _document(self, http: Http) -> None:
        """The page of /docs and what it loads."""
        if http.template in ASSETS:
            content, media_type = asset(http.template)
            await http.answer(content, 200, media_type.encode(), [(b"x-content-type-options", b"nosniff")])
            return
        if self._documents is None:
            self._documents = await asyncio.to_thread(self._make_documents)
        if http.template == "/openapi.json":
            # Which endpoints are deployed is for callers with a key to know.
            await http.answer_json(self._documents.openapi(told=self._edge.may(http.credential, READ)))
        else:
            await http.answer(
                self._documents.page, 200, b"text/html; charset=utf-8", [(b"content-security-policy", POLICY.encode())]
            )

    def refuse(self, raw_path: bytes, error: MizzenError) -> Answer:
        """Status, headers and body for what the port itself refuses, before the request is one."""
        status, request_id = status_of(error), self._edge.new_id()
        self._observe("other", "other", status, 0.0)
        return status, *dialect_of(raw_path).answer_to(error, request_id, self._browsers.common)

    async def _failed(self, http: Http, error: MizzenError) -> int:
        status = status_of(error)
        # A refusal by admission has to cost next to nothing; it is counted, not logged.
        if status >= 500 and error.reason != "OVERLOADED":
            _log.warning("request failed", request_id=http.request_id, code=error.code.value, reason=error.reason)
        if http.started:
            # The head is out: the stream just ends, without its last event.
            raise ConnectionAbortedError from error
        headers: Headers = headers_of(error)
        if status == 405:
            headers.append((b"allow", error.ids["allow"].encode()))
        if status in (408, 413):
            headers.append((b"connection", b"close"))
        await http.answer(http.dialect.render(error, http.request_id), status, http.dialect.error_media, headers)
        return status


class Documents(Protocol):
    """What /docs and /openapi.json show."""

    page: bytes

    def openapi(self, *, told: bool) -> Mapping[str, Any]:
        """The OpenAPI document; with the deployed endpoints' own examples where the caller may be `told` of them."""


async def _json(work: Awaitable[object]) -> bytes:
    return orjson.dumps(await work)
