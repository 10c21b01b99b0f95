"""A row of the table of public REST paths, and the ASGI app that serves the table.

Before a handler runs, the app has checked who may ask (names and pages), opened the call (key, scope, deadline, admission) and
looked at the body's type. So a path without a scope does not exist, and nothing of a body is read for a caller who is refused.
"""

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from chassis.errors import InvalidArgument, MizzenError, NotFound
from chassis.public.http_bounds import Answer, TurnAway
from chassis.telemetry.logs import logger
from gateway.api.edge import Edge
from gateway.api.rest.browsers import JSON_ONLY, Browsers, check_media_type
from gateway.api.rest.dispatch import Node, PathTree
from gateway.api.rest.http import Handler, Headers, Http, Limits, Receive, Scope, Send
from gateway.api.rest.page import ASSETS, asset
from gateway.api.rest.page import PATHS as DOCUMENTS
from gateway.api.rest.presence import ClientGoneError
from gateway.api.rest.problem import JSON, PROBLEM, answer_to, headers_of, oip_error, problem, status_of
from gateway.api.rest.turning_away import TurningAway

_log = logger("gateway.rest")
Deadline = Callable[[Mapping[str, str]], float]


@dataclass(frozen=True, slots=True)
class Path:
    """One method on one path; `template` is what documents show.

    scope: what an API key must allow; None is open to everybody, without a call.
    deadline_s: seconds that a request has which brings no timeout of its own, or what says so of the path's parameters.
    place: what has an admission limit of its own, made of the path's parameters: `model/{model}`.
    media: types that a body may be of; an empty one lets it say nothing.
    """

    method: str
    template: str
    handler: Handler
    grpc: str
    scope: str | None
    deadline_s: float | Deadline = 0.0
    owner: str = "mizzen"
    place: str | None = None
    media: frozenset[bytes] = JSON_ONLY


class App:
    """Dispatches, renders errors, counts. What is not in the table is 404, whatever its encoding."""

    def __init__(
        self,
        paths: Sequence[Path],
        edge: Edge,
        limits: Limits,
        browsers: Browsers,
        *,
        observe: Callable[[str, str, int, float], None],
        documents: Callable[[], Any],
    ) -> None:
        """`observe(method, template, status, seconds)`; `documents` makes the ASGI app of /docs and
        /openapi.json: half a second of work, done in a thread when somebody first asks."""
        self._edge = edge
        self._limits = limits
        self._browsers = browsers
        self._observe = observe
        self._make_documents = documents
        self._documents: Any = None
        self._tree = PathTree([*paths, *(Path("GET", path, self._document, "–", None) for path in sorted(DOCUMENTS))])
        self.turn_away: TurnAway = TurningAway(self._tree, edge, browsers.common, observe)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""
        if scope["type"] != "http":
            return
        http = Http(scope, receive, send, self._edge, self._limits)
        http.common = self._browsers.common
        started = time.perf_counter()
        status, http.template = 200, "/v2/other" if http.is_oip else "other"
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
        http.template = path.template
        if path.scope is not None:
            deadline_s = path.deadline_s if isinstance(path.deadline_s, float) else path.deadline_s(http.params)
            place = None if path.place is None else path.place.format_map(http.params)
            http.open(path.scope, deadline_s, place)
        if http.method == "POST":
            check_media_type(http.headers, path.media)
        await path.handler(http)

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
        await http.pass_on(self._documents)

    def refuse(self, raw_path: bytes, error: MizzenError) -> Answer:
        """Status, headers and body for what the port itself refuses, before the request is one."""
        status, request_id = status_of(error), self._edge.new_id()
        self._observe("other", "other", status, 0.0)
        return status, *answer_to(error, request_id, self._browsers.common, is_oip=raw_path.startswith(b"/v2"))

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
        if http.is_oip:
            await http.answer(oip_error(error), status, JSON, headers)
        else:
            await http.answer(problem(error, http.request_id), status, PROBLEM, headers)
        return status
