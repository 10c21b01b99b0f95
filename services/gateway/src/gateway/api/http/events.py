"""A stream of server-sent events as an answer."""

from collections.abc import AsyncGenerator
from contextlib import aclosing

import orjson
from fastapi import Response

from gateway.api.http.given import HTTP
from gateway.api.http.request import Http, Receive, Scope, Send

Event = tuple[str, object]
"""Name and value."""


class Events(Response):
    """`first` and what follows it, until the end or until the client goes."""

    media_type = "text/event-stream"

    def __init__(self, first: Event, following: AsyncGenerator[Event]) -> None:
        super().__init__(headers={"cache-control": "no-store", "x-accel-buffering": "no"})
        del self.headers["content-length"]
        self._first = first
        self._following = following

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""
        http: Http = scope[HTTP]
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        await http.while_there(self._sent(send))

    async def _sent(self, send: Send) -> None:
        async with aclosing(self._following) as following:
            await send(_part(self._first))
            async for event in following:
                await send(_part(event))
        await send({"type": "http.response.body", "body": b""})


def _part(event: Event) -> dict[str, object]:
    name, value = event
    body = b"event: " + name.encode() + b"\ndata: " + orjson.dumps(value) + b"\n\n"
    return {"type": "http.response.body", "body": body, "more_body": True}
