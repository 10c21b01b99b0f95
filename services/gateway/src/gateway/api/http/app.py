"""The ASGI app that serves the table of public REST paths.

Before a handler runs, the app has checked who may ask (names and pages), opened the call (key, scope, deadline, admission) and
read the query as the row declares it. So a path without a scope does not exist, and nothing of a body is read for a caller who is
refused. Hot rows answer by themselves, all others through their FastAPI routes.
"""

import asyncio
import time
from collections.abc import Callable, Sequence

from chassis.errors import InvalidArgument, MizzenError, NotFound
from chassis.public.browsers import Browsers, check_media_type
from chassis.public.http_bounds import Answer, TurnAway
from chassis.public.problem import headers_of, status_of
from chassis.telemetry.logs import logger
from gateway.api.edge import Edge
from gateway.api.http.dialects import MIZZEN, dialect_of
from gateway.api.http.dispatch import Node, PathTree
from gateway.api.http.path import Path
from gateway.api.http.presence import ClientGoneError
from gateway.api.http.request import Headers, Http, Limits, Receive, Scope, Send
from gateway.api.http.routes import Routes, answer
from gateway.api.http.turning_away import TurningAway

_log = logger("gateway.rest")


class App:
    """Dispatches, renders errors, counts. What is not in the table is 404, whatever its encoding."""

    def __init__(
        self,
        rows: Sequence[Path],
        routes: Routes,
        edge: Edge,
        limits: Limits,
        browsers: Browsers,
        *,
        observe: Callable[[str, str, int, float], None],
    ) -> None:
        """`routes`: what answers the rows that are not hot; `observe(method, template, status, seconds)`."""
        self._edge = edge
        self._limits = limits
        self._browsers = browsers
        self._observe = observe
        self._routes = routes
        self._tree = PathTree(rows)
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
        if path.is_hot:
            await path.handler(http)
        else:
            await answer(self._routes[path.method, path.template], http)

    async def _other_method(self, http: Http, node: Node[Path]) -> None:
        if http.method != "OPTIONS":
            message = f"use {node.allow} on this path"
            raise InvalidArgument(message, reason="METHOD_NOT_ALLOWED", ids={"allow": node.allow})
        http.template = next(iter(node.rows.values())).template
        await http.answer_nothing(self._browsers.preflight(http.headers, node.allow))

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
