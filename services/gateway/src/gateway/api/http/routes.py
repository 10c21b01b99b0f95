"""The FastAPI application made from the table of paths: a route a row, hot rows in its documents only.

FastAPI checks bodies against the models that it shows, gives handlers what they ask for, and makes the answer. The app before it
(http/app.py) does what FastAPI would do too late, or by another rule: it finds the row, opens the call, checks the query, renders
errors; and the route reads the body within our bounds (ADR 0024).
"""

import inspect
import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from typing import Any

import orjson
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from pydantic import BaseModel

from chassis.public.validation import refusal
from gateway.api.http.bodies import parsed
from gateway.api.http.docs import operation
from gateway.api.http.given import HTTP, http_of
from gateway.api.http.json_answer import Json
from gateway.api.http.path import Path
from gateway.api.http.request import LARGE_BODY, Http, Receive, Scope, Send, parse_object
from gateway.domain.idempotency import IdempotentWrites

# FastAPI wants a place for what it has to close; only forms put something there, and no path takes forms.
_NOTHING_TO_CLOSE = AsyncExitStack()
Route = Callable[[Scope, Receive, Send], Awaitable[None]]
Routes = Mapping[tuple[str, str], Route]


class _ReadRequest(Request):
    """A request whose body was read before, bounded while it arrived."""

    async def body(self) -> bytes:
        return http_of(self).raw

    async def json(self) -> Any:
        return http_of(self).value


class _Route(APIRoute):
    """A row's route: reads the body as our limits say, and tells of a wrong one as our errors do."""

    def get_route_handler(self) -> Callable[[Request], Any]:
        handle = super().get_route_handler()
        model: Any = None if self.body_field is None else self.body_field.field_info.annotation

        async def answered(request: Request) -> Response:
            if model is not None:
                http = http_of(request)
                http.raw, http.value = await http.read(lambda raw: (raw, body_of(raw, model)))
                request = _ReadRequest(request.scope, request.receive)
            try:
                return await handle(request)
            except RequestValidationError as error:
                first = error.errors()[0]
                # FastAPI's location begins with where it looked: body, path, header.
                raise refusal({**first, "loc": first["loc"][1:]}) from None

        return answered


def body_of(raw: bytes, model: type[BaseModel]) -> object:
    """What FastAPI is to check. A large body is checked by the thread that reads it: an instance of its model is taken as it is."""
    return parsed(raw, model) if len(raw) > LARGE_BODY else parse_object(raw)


def fastapi_of(rows: Sequence[Path], writes: IdempotentWrites) -> FastAPI:
    """The application. ValueError for a handler that takes another body than its row shows."""
    # Its own paths and its middleware are off: errors are rendered by the row's dialect, for hot paths and all others alike.
    api = FastAPI(title="Mizzen", version="0.1.0", openapi_url=None, docs_url=None, redoc_url=None)
    api.router.route_class = _Route
    for row in rows:
        endpoint = _shown(row) if row.is_hot else _endpoint(row, writes)
        api.add_api_route(row.template, endpoint, methods=[row.method], **operation(row))
    return api


def routes_of(api: FastAPI) -> Routes:
    """What answers, by method and template, once the app has found the row."""
    return {
        (method, route.path): route.app
        for route in api.routes
        if isinstance(route, APIRoute)
        for method in route.methods or ()
    }


async def answer(route: Route, http: Http) -> None:
    """Answers an opened request by its route."""
    http.scope.update({HTTP: http, "path_params": http.params, "fastapi_middleware_astack": _NOTHING_TO_CLOSE})
    await route(http.scope, http.receive, http.send)


def _endpoint(row: Path, writes: IdempotentWrites) -> Callable[..., Awaitable[Response]]:
    """The handler as FastAPI calls it."""
    handler = row.handler
    parameters = inspect.signature(handler).parameters
    body = parameters.get("body")
    if (None if body is None else body.annotation) is not row.body:
        raise ValueError(f"{row.method} {row.template}: its handler takes another body than the row has")

    async def endpoint(request: Request, **given: Any) -> Response:
        http = http_of(request)
        if not row.idempotent:
            made = await http.while_there(handler(**given))
            return made if isinstance(made, Response) else Json(made)

        async def write() -> bytes:
            return orjson.dumps(await handler(**given))

        # What was asked is the path with its parameters and the body: the same key with another of these is refused.
        asked = f"{row.method} {row.template} {sorted(http.params.items())}"
        first = await writes.run(http.call, http.idempotency_key, asked, http.raw, write)
        return Response(first, media_type="application/json")

    keyword = inspect.Parameter.KEYWORD_ONLY
    request = inspect.Parameter("request", keyword, annotation=Request)
    taken = [request, *(each.replace(kind=keyword) for each in parameters.values())]
    endpoint.__signature__ = inspect.Signature(taken)  # type: ignore[attr-defined]
    return endpoint


def _shown(row: Path) -> Callable[..., Awaitable[None]]:
    """What documents show of a hot row."""

    async def shown(**_: Any) -> None:
        return None  # never called: the app answers before

    keyword = inspect.Parameter.KEYWORD_ONLY
    parameters = [inspect.Parameter(name, keyword, annotation=str) for name in re.findall(r"\{(\w+)\}", row.template)]
    if row.body is not None:
        parameters.append(inspect.Parameter("body", keyword, annotation=row.body))
    shown.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    return shown
