"""The language-model adapter against a real HTTP server."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest

from chassis.errors import DeadlineExceeded, Unavailable
from retrieval.adapters.openai_generator import OpenAIGenerator
from retrieval.domain.model import Passage

PASSAGES = [Passage("ports", 0, "Triton listens on 9000.", "", 1, 1, 1, "docs/ports.md", "", 1, 1)]
Write = Callable[[bytes], Awaitable[None]]
Respond = Callable[[Write, dict[str, object]], Awaitable[None]]


class Llm:
    """The requests that a scripted chat-completions server got."""

    def __init__(self, respond: Respond) -> None:
        self.respond = respond
        self.url = ""
        self.heads: list[str] = []
        self.bodies: list[dict[str, object]] = []

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        async def write(data: bytes) -> None:
            writer.write(data)
            await writer.drain()

        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
            length = int(head.split("content-length:")[1].split("\r\n")[0])
            self.heads.append(head)
            self.bodies.append(json.loads(await reader.readexactly(length)))
            await self.respond(write, self.bodies[-1])
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        finally:
            writer.close()


@asynccontextmanager
async def serving(respond: Respond, **options: float) -> AsyncIterator[tuple[Llm, OpenAIGenerator]]:
    llm = Llm(respond)
    server = await asyncio.start_server(llm.serve, "127.0.0.1", 0)
    llm.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
    generator = OpenAIGenerator(llm.url, "tiny", lambda: "secret-key", **options)
    try:
        yield llm, generator
    finally:
        await generator.close()
        server.close()


async def said(generator: OpenAIGenerator, timeout_s: float = 5.0) -> list[str]:
    return [piece async for piece in generator.generate("Which port?", PASSAGES, timeout_s)]


HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n"


def event(content: str | None) -> bytes:
    return f"data: {json.dumps({'choices': [{'delta': {'content': content}}]})}\n\n".encode()


async def good(write: Write, body: dict[str, object]) -> None:
    await write(HEAD + b": comment\n\n" + event(None) + event("It is "))
    await write(event("9000 [1].") + b'data: {"choices": []}\n\ndata: [DONE]\n\n')


async def test_pieces_come_as_they_are_written() -> None:
    async with serving(good) as (llm, generator):
        assert await said(generator) == ["It is ", "9000 [1]."]
        assert generator.name == "tiny"
    assert "post /v1/chat/completions" in llm.heads[0]
    assert "authorization: bearer secret-key" in llm.heads[0]
    body = llm.bodies[0]
    assert (body["model"], body["stream"]) == ("tiny", True)
    prompt = json.dumps(body["messages"])
    assert "[1] docs/ports.md" in prompt
    assert "Which port?" in prompt


async def refused(write: Write, body: dict[str, object]) -> None:
    await write(b"HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")


async def cut(write: Write, body: dict[str, object]) -> None:
    await write(HEAD + event("It is "))


async def nonsense(write: Write, body: dict[str, object]) -> None:
    await write(HEAD + b"data: {nonsense\n\n")


async def other_shape(write: Write, body: dict[str, object]) -> None:
    await write(HEAD + b'data: {"error": "overloaded"}\n\n')


@pytest.mark.parametrize("respond", [refused, cut, nonsense, other_shape])
async def test_a_server_that_fails_is_unavailable(respond: Respond) -> None:
    async with serving(respond) as (_, generator):
        with pytest.raises(Unavailable) as caught:
            await said(generator)
    assert caught.value.reason == "GENERATOR_UNAVAILABLE"
    assert "secret" not in caught.value.message


async def stalled(write: Write, body: dict[str, object]) -> None:
    await write(HEAD + event("It is "))
    await asyncio.sleep(30)


@pytest.mark.parametrize(("timeout_s", "first_byte_s"), [(0.2, 10.0), (10.0, 0.2)])
async def test_a_server_that_stalls_is_late(timeout_s: float, first_byte_s: float) -> None:
    async with serving(stalled, first_byte_s=first_byte_s) as (_, generator):
        async with asyncio.timeout(2.0):
            with pytest.raises(DeadlineExceeded):
                await said(generator, timeout_s)


async def test_nobody_there_is_unavailable() -> None:
    generator = OpenAIGenerator("http://127.0.0.1:9/v1", "tiny", lambda: None)
    with pytest.raises(Unavailable):
        await said(generator)
    await generator.close()
