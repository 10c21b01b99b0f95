"""The table of public REST paths, and the ASGI app that serves it.

Every path is matched on its decoded text and nothing is normalised: what is not in the table is 404, whatever its encoding.
"""

import asyncio
import re
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from chassis.errors import InvalidArgument, MizzenError, NotFound
from chassis.logs import logger
from gateway.api.edge import Edge
from gateway.api.rest.http import Handler, Http, Limits, Receive, Scope, Send, check_headers
from gateway.api.rest.page import PATHS as DOCUMENTS
from gateway.api.rest.presence import ClientGoneError
from gateway.api.rest.problem import JSON, PROBLEM, oip_error, problem, retry_after, status_of

_log = logger("gateway.rest")
# One path segment: what names of endpoints, collections, models and documents are made of.
_NAME = r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}"
_DOCUMENT = r"[^\x00-\x1f\x7f?#]{1,256}"


@dataclass(frozen=True, slots=True)
class Path:
    """One method on one path; `template` is what documents show."""

    method: str
    template: str
    handler: Handler
    grpc: str
    owner: str = "mizzen"


def pattern(template: str) -> re.Pattern[str]:
    """The path's regular expression; `{id}` may hold slashes (document ids are often file paths)."""
    parts = re.split(r"\{(\w+)\}", template)
    text = "".join(
        re.escape(part) if index % 2 == 0 else f"(?P<{part}>{_DOCUMENT if part == 'id' else _NAME})"
        for index, part in enumerate(parts)
    )
    return re.compile(text + r"\Z")


class App:
    """Dispatches, renders errors, counts. Everything that no path takes goes to `rest` (documents) or is 404."""

    def __init__(
        self,
        paths: Sequence[Path],
        edge: Edge,
        limits: Limits,
        *,
        observe: Callable[[str, str, int, float], None],
        documents: Callable[[], Any],
    ) -> None:
        """`observe(method, template, status, seconds)`; `documents` makes the ASGI app of /docs and
        /openapi.json: half a second of work, done in a thread when somebody first asks."""
        self._edge = edge
        self._limits = limits
        self._observe = observe
        self._make_documents = documents
        self._documents: Any = None
        self._by_method: dict[str, list[tuple[re.Pattern[str], Path]]] = {}
        for path in paths:
            self._by_method.setdefault(path.method, []).append((pattern(path.template), path))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""
        if scope["type"] != "http":
            return
        # An encoded character is only of use in a document's id; anywhere else it would be a second name of a path.
        text: str = scope["path"]
        encoded = b"%" in scope.get("raw_path", b"")
        method: str = scope["method"]
        for expression, path in self._by_method.get(method, ()):
            match = expression.match(text)
            if match is not None and not (encoded and "{id}" not in path.template):
                await self._serve(path, Http(scope, receive, send, match.groupdict(), self._edge, self._limits))
                return
        if method == "GET" and text in DOCUMENTS:
            if self._documents is None:
                self._documents = await asyncio.to_thread(self._make_documents)
            await self._documents(scope, receive, send)
            return
        allowed = [] if encoded or text.startswith("/v2") else self._allowed(text)
        await self._serve(_nowhere(allowed, text), Http(scope, receive, send, {}, self._edge, self._limits))

    def _allowed(self, text: str) -> list[str]:
        return sorted(
            method
            for method, paths in self._by_method.items()
            if any(expression.match(text) for expression, _ in paths)
        )

    async def _serve(self, path: Path, http: Http) -> None:
        started = time.perf_counter()
        status = 200
        try:
            check_headers(http.scope)
            await path.handler(http)
        except MizzenError as error:
            status = await self._failed(http, error)
        except ClientGoneError:
            status = 499
        except asyncio.CancelledError:
            status = 499
            raise
        except Exception as error:
            _log.error("unexpected error", path=path.template, request_id=http.request_id, exc_info=error)
            status = await self._failed(http, MizzenError("internal error"))
        finally:
            http.leave(ok=status < 400)
            self._observe(path.method, path.template, status, time.perf_counter() - started)

    async def _failed(self, http: Http, error: MizzenError) -> int:
        status = status_of(error)
        if status >= 500:
            _log.warning("request failed", request_id=http.request_id, code=error.code.value, reason=error.reason)
        if http.started:
            # The head is out: the stream just ends, without its last event.
            raise ConnectionAbortedError from error
        headers = retry_after(error)
        if status == 405:
            headers.append((b"allow", error.ids["allow"].encode()))
        if status in (408, 413):
            headers.append((b"connection", b"close"))
        if http.scope["path"].startswith("/v2"):
            await http.answer(oip_error(error), status, JSON, headers)
        else:
            await http.answer(problem(error, http.request_id), status, PROBLEM, headers)
        return status


def _nowhere(allowed: list[str], text: str) -> Path:
    async def refuse(http: Http) -> None:
        if allowed:
            ids = {"allow": ", ".join(allowed)}
            raise InvalidArgument(f"use {ids['allow']} on this path", reason="METHOD_NOT_ALLOWED", ids=ids)
        message = "there is no such path; GET /docs lists them"
        raise NotFound(message, reason="PATH_NOT_FOUND")

    return Path("GET", "/v2/other" if text.startswith("/v2") else "other", refuse, "")
