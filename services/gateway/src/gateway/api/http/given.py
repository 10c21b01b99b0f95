"""What handlers are given beside a path's parameters and its body: dependencies of FastAPI, made of the opened request."""

from collections.abc import Mapping
from typing import Annotated

from fastapi import Depends, Request

from chassis.errors import InvalidArgument
from gateway.api.edge import READ
from gateway.api.http.request import Http
from gateway.domain.endpoints import MAX_PAGE
from gateway.domain.model import Call

# Where a request's Http stands in the ASGI scope that FastAPI hands on.
HTTP = "mizzen"


def http_of(request: Request) -> Http:
    """The request as the app opened it."""
    found: Http = request.scope[HTTP]
    return found


# Coroutines, though none of them waits: FastAPI calls a plain function in a thread.


async def _call(request: Request) -> Call:
    return http_of(request).call


async def _query(request: Request) -> Mapping[str, str]:
    return http_of(request).query


async def _told(request: Request) -> bool:
    return http_of(request).may(READ)


async def _page(request: Request) -> tuple[int, str]:
    query = http_of(request).query
    text = query.get("page_size", "")
    if text and not (text.isascii() and text.isdecimal() and len(text) <= 4 and 1 <= int(text) <= MAX_PAGE):
        raise InvalidArgument(f"page_size must be 1 to {MAX_PAGE}", reason="INVALID_VALUE", field="page_size")
    return int(text or 0), query.get("page_token", "")


Called = Annotated[Call, Depends(_call)]
"""The opened call; only where the row has a scope."""
Query = Annotated[Mapping[str, str], Depends(_query)]
"""The query parameters that the row has."""
Page = Annotated[tuple[int, str], Depends(_page)]
"""`?page_size=&page_token=`: the size (0 = the default) and the token."""
Told = Annotated[bool, Depends(_told)]
"""Whether the caller has a key that may read, on a path that is open to all."""
