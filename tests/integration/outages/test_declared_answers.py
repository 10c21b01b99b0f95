"""Each engine and monitoring stopped in turn: each kind of request gives the answer that docs/architecture.md declares."""

import dataclasses
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import httpx2
import psutil
import pytest

from tests.engines import RunningValkey
from tests.stack import Answer, Load, Stack, eventually, load_on

pytestmark = [pytest.mark.engines, pytest.mark.timeout(600)]
# The deadline of each request, and how long its client waits: whoever sees the second has seen a hang.
DEADLINE_MS, PATIENCE_S = "5000", 8
KINDS = {"predict", "infer", "read", "search", "ask", "document", "label", "report"}


@asynccontextmanager
async def everything_on(stack: Stack) -> AsyncIterator[Load]:
    """Requests of every kind, each of which was answered well just now."""
    async with load_on(stack, PATIENCE_S) as load:
        load.client.headers["x-request-timeout-ms"] = DEADLINE_MS
        predicted = await load.ask("predict")
        label = {"request_id": json.loads(predicted.text)["request_id"], "output": "probability", "value": 1.0}
        document = {
            "id": "outages/note.md",
            "text": "# Note\n\nWritten while things break.",
            "media_type": "text/markdown",
        }
        text = {"name": "text", "datatype": "BYTES", "shape": [1, 1], "data": ["a text"]}
        more: dict[str, tuple[str, dict[str, Any] | None]] = {
            "infer": ("/v2/models/minilm/infer", {"inputs": [text]}),
            "document": ("/v1/collections/handbook/documents", {"documents": [document]}),
            "label": ("/v1/labels", {"labels": [label | {"event_time": "2013-12-01T00:00:00Z"}]}),
            "report": ("/v1/endpoints/flight-delay/report", None),
        }
        whole = Load(load.client, {**load.requests, **more})
        assert set(whole.requests) == KINDS
        await eventually(whole.all_well, 30, f"everything healthy before the fault; {whole.answers[-8:]}")
        try:
            yield whole
        finally:
            await load.client.delete("/v1/collections/handbook/documents/outages/note.md")


@contextmanager
def still(pid: int) -> Iterator[None]:
    """The process and all under it keep their connections and answer nothing: harder than being gone, and it isn't restarted."""
    leader = psutil.Process(pid)
    # PostgreSQL's backends are process groups of their own: the whole tree has to stand still.
    tree = [leader, *leader.children(recursive=True)]
    for process in tree:
        process.suspend()
    try:
        yield
    finally:
        for process in tree:
            process.resume()


@asynccontextmanager
async def stalled(stack: Stack, name: str) -> AsyncIterator[Load]:
    async with everything_on(stack) as load:
        with still(stack.pid(name)):
            yield load
        await eventually(load.all_well, 10, f"healthy again after {name} came back")


def refused(answer: Answer) -> bool:
    """A declared refusal: in time, with a code, nothing internal."""
    return answer.status in (503, 504) and (
        '"code":"UNAVAILABLE"' in answer.text or '"code":"DEADLINE_EXCEEDED"' in answer.text
    )


def refused_oip(answer: Answer) -> bool:
    """The same as the Open Inference Protocol says it: {"error": …}."""
    return answer.status in (503, 504) and set(json.loads(answer.text)) == {"error"}


async def answers_well(load: Load, kinds: set[str]) -> None:
    for kind in sorted(kinds):
        answer = await load.ask(kind)
        assert answer.status == 200, (kind, answer.text)
        if kind == "label":
            assert '"errors":[]' in answer.text, answer.text


async def test_without_valkey(stack: Stack) -> None:
    async with stalled(stack, "valkey") as load:
        predict = await load.ask("predict")
        assert predict.status == 200, predict.text
        assert '"degraded":true' in predict.text
        assert refused(await load.ask("read"))
        await answers_well(load, KINDS - {"predict", "read"})
        # The keys of writes are in this store: a write goes through unprotected and is counted.
        path, body = load.requests["label"]
        kept = await load.client.post(path, json=body, headers={"idempotency-key": "while valkey is silent"})
        assert kept.status_code == 200, kept.text
    assert await counted(stack, "mizzen_gateway_unprotected_writes_total") >= 1


async def test_without_triton(stack: Stack) -> None:
    async with stalled(stack, "triton") as load:
        assert refused(await load.ask("predict"))
        assert refused_oip(await load.ask("infer"))
        # One that is stored already needs no vectors: nothing of it has changed.
        path, body = load.requests["document"]
        assert body is not None
        changed = {"documents": [body["documents"][0] | {"text": "Another text."}]}
        answer = await load.client.post(path, json=changed)
        assert answer.status_code in (503, 504), answer.text
        await answers_well(load, {"read", "search", "ask", "document", "label", "report"})
        assert '"degraded":true' in (await load.ask("search")).text


async def test_without_postgresql(stack: Stack) -> None:
    async with stalled(stack, "postgres") as load:
        await answers_well(load, {"predict", "infer", "read", "report"})
        for kind in ("search", "ask", "document", "label"):
            answer = await load.ask(kind)
            assert refused(answer), (kind, answer)


async def test_without_monitoring(stack: Stack) -> None:
    async with everything_on(stack) as load:
        before = await rows_known(load)
        with still(stack.pid("monitoring")):
            for kind in ("label", "report"):
                answer = await load.ask(kind)
                assert refused(answer), (kind, answer)
            await answers_well(load, KINDS - {"label", "report"})
            for _ in range(20):
                await answers_well(load, {"predict"})

        async def all_there() -> bool:
            return await rows_known(load) >= before + 20

        await eventually(load.all_well, 10, "healthy again after monitoring came back")
        await eventually(all_there, 15, "the records of the outage, which waited in the stream")


async def rows_known(load: Load) -> int:
    """Rows that monitoring has records of; 0 while it doesn't answer."""
    answer = await load.ask("report")
    return int(json.loads(answer.text)["volume"]["rows"]) if answer.status == 200 else 0


async def test_without_the_record_stream_alone(stack: Stack, valkey_server: RunningValkey) -> None:
    """On a Valkey of its own, as large installations have it: no answer waits for it, none is lost."""
    apart = dataclasses.replace(stack, env={**stack.env, "MIZZEN_STREAM_URL": valkey_server.url})
    up = ("up", "-f", "examples/flights", "--detach")
    try:
        done = apart.mizzen(*up)
        assert done.returncode == 0, done.stdout + done.stderr
        async with everything_on(stack) as load:
            assert valkey_server.child is not None
            with still(valkey_server.child.pid):
                await answers_well(load, KINDS)
                assert '"degraded":false' in (await load.ask("predict")).text
                slowest = max(load.answers[-len(KINDS) :], key=lambda answer: answer.seconds)
                assert slowest.seconds < 2, slowest
            await eventually(load.all_well, 10, "healthy after the stream came back")
    finally:
        done = stack.mizzen(*up)
        assert done.returncode == 0, done.stdout + done.stderr


async def counted(stack: Stack, name: str) -> float:
    """A counter of the gateway, over all its labels."""
    async with httpx2.AsyncClient() as http:
        text = (await http.get(f"http://127.0.0.1:{stack.ports['gateway_ops']}/metrics")).text
    return sum(float(line.rsplit(" ", 1)[1]) for line in text.splitlines() if line.startswith(name))
