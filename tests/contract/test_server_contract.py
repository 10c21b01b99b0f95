"""What a chassis server promises, on both implementations."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing
from typing import Any

import grpc
import pytest
from google.protobuf.wrappers_pb2 import StringValue
from grpc import aio
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from chassis import metrics as chassis_metrics
from chassis.errors import (
    DeadlineExceeded,
    Internal,
    InvalidArgument,
    MizzenError,
    NotFound,
    ResourceExhausted,
    Unauthenticated,
    Unavailable,
    Unimplemented,
)
from chassis.rpc.channel import Channel, StaticAddresses
from chassis.rpc.handlers import remaining_s
from chassis.rpc.identity import CallerTokens, write_keys
from chassis.telemetry.otlp import OtlpTracing
from tests.contract.servers import KINDS, Kind, Running, running
from tests.fakes.clock import FakeClock
from tests.fakes.echo import CHAT, COUNT, JOIN, NAME, SAY, WRITE

pytestmark = pytest.mark.parametrize("kind", KINDS)


def text(value: str) -> StringValue:
    return StringValue(value=value)


async def say(run: Running, value: str = "hello", timeout_s: float = 5) -> str:
    return (await run.channel.unary(SAY, text(value), StringValue, timeout_s)).value


async def chat(run: Running, requests: AsyncIterator[StringValue], timeout_s: float = 5) -> AsyncIterator[str]:
    async with aclosing(run.channel.stream_stream(CHAT, requests, (StringValue, StringValue), timeout_s)) as answers:
        async for answer in answers:
            yield answer.value


async def each(*values: str) -> AsyncIterator[StringValue]:
    for value in values:
        yield text(value)


async def until(condition: Callable[[], bool], timeout_s: float = 5) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        await asyncio.sleep(0.01)


async def test_each_kind_of_method_answers(kind: Kind) -> None:
    async with running(kind) as run:
        assert await say(run) == "hello"
        for method in (COUNT, WRITE):
            assert [a.value async for a in run.channel.stream(method, text("3"), StringValue, 5)] == ["0", "1", "2"]
        assert [answer async for answer in chat(run, each("a", "b"))] == ["A", "B"]
        async with aio.insecure_channel(run.address) as raw:
            join = raw.stream_unary(JOIN, StringValue.SerializeToString, StringValue.FromString)
            assert (await join(each("a", "b"), timeout=5)).value == "a,b"


async def test_a_conversation_goes_back_and_forth(kind: Kind) -> None:
    async with running(kind) as run:
        heard: asyncio.Queue[str] = asyncio.Queue()

        async def speak() -> AsyncIterator[StringValue]:
            yield text("one")
            assert await heard.get() == "ONE"
            yield text("two")

        async for answer in chat(run, speak()):
            heard.put_nowait(answer)
        assert heard.get_nowait() == "TWO"


@pytest.mark.parametrize("method", ["say", "count", "chat"])
async def test_every_error_arrives_as_it_was_raised(kind: Kind, method: str) -> None:
    async with running(kind) as run:
        for error_type in MizzenError.__subclasses__():
            sent = error_type("Ärger “here”", reason="TEST_REASON", field="a.b[3]", ids={"x": "1"}, retry_after_s=1.5)

            def refuse(_: str, sent: MizzenError = sent) -> None:
                raise sent

            run.echo.behaviour = refuse
            with pytest.raises(error_type) as caught:
                if method == "say":
                    await say(run)
                elif method == "count":
                    _ = [one async for one in run.channel.stream(COUNT, text("1"), StringValue, 5)]
                else:
                    _ = [one async for one in chat(run, each("a"))]
            got = caught.value
            assert got.reason == "TEST_REASON"
            if error_type is Internal:
                assert (got.message, got.field, got.ids) == ("internal error", None, {})
            else:
                assert (got.message, got.field, got.retry_after_s) == (sent.message, sent.field, 1.5)
                assert got.ids == {"x": "1"}


async def test_items_before_an_error_arrive(kind: Kind) -> None:
    async with running(kind) as run:

        def refuse(_: str) -> None:
            raise NotFound("gone")

        run.echo.behaviour = refuse
        answers = run.channel.stream(COUNT, text("2"), StringValue, 5)
        assert [(await anext(answers)).value for _ in range(2)] == ["0", "1"]
        with pytest.raises(NotFound):
            await anext(answers)


@pytest.mark.parametrize("method", [SAY, COUNT])
async def test_an_unknown_exception_says_nothing(kind: Kind, method: str) -> None:
    async with running(kind) as run:

        def crash(_: str) -> None:
            raise ValueError("password=hunter2")

        run.echo.behaviour = crash
        async with aio.insecure_channel(run.address) as raw:
            call = raw.unary_stream(method, StringValue.SerializeToString, StringValue.FromString)
            with pytest.raises(aio.AioRpcError) as caught:
                async for _ in call(text("1"), timeout=5):
                    pass
        assert caught.value.code() is grpc.StatusCode.INTERNAL
        assert "hunter2" not in str(caught.value)
        assert caught.value.details() == "internal error"


async def test_garbage_is_the_callers_fault(kind: Kind) -> None:
    async with running(kind) as run:
        for method in (SAY, COUNT):
            async with aio.insecure_channel(run.address) as raw:
                call: Any = raw.unary_stream(method)(b"\xff\xff\xff", timeout=5)
                with pytest.raises(aio.AioRpcError) as caught:
                    await call.read()
            assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT


async def test_what_is_not_there_is_unimplemented(kind: Kind) -> None:
    async with running(kind) as run:
        for method in (f"/{NAME}/Sing", "/mizzen.tests.Nothing/Say"):
            with pytest.raises(Unimplemented):
                await run.channel.unary(method, text(""), StringValue, 5)


async def test_a_message_over_the_limit_is_refused(kind: Kind) -> None:
    async with running(kind, max_message_bytes=10_000) as run:
        with pytest.raises(ResourceExhausted):
            await say(run, "x" * 20_000)
        assert await say(run) == "hello"


async def test_a_deadline_ends_both_sides(kind: Kind) -> None:
    async with running(kind) as run:
        run.echo.behaviour = lambda _: asyncio.sleep(30)
        started = time.monotonic()
        with pytest.raises(DeadlineExceeded):
            await say(run, timeout_s=0.2)
        assert time.monotonic() - started < 1.5
        await asyncio.wait_for(run.echo.cancelled.wait(), 5)


async def test_an_expired_call_is_not_made(kind: Kind) -> None:
    async with running(kind) as run:
        with pytest.raises(DeadlineExceeded):
            await say(run, timeout_s=0)
        assert run.echo.calls == 0


async def test_cancelling_a_call_cancels_its_work(kind: Kind) -> None:
    async with running(kind) as run:
        run.echo.behaviour = lambda _: asyncio.sleep(30)
        task = asyncio.create_task(say(run, timeout_s=30))
        await asyncio.wait_for(run.echo.started.wait(), 5)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await asyncio.wait_for(run.echo.cancelled.wait(), 5)


@pytest.mark.parametrize("method", ["count", "chat"])
async def test_leaving_a_stream_cancels_its_work(kind: Kind, method: str) -> None:
    async with running(kind) as run:
        run.echo.behaviour = lambda _: asyncio.sleep(30)
        if method == "count":
            answers: Any = run.channel.stream(COUNT, text("2"), StringValue, 30)
        else:
            answers = run.channel.stream_stream(CHAT, each("a", "b"), (StringValue, StringValue), 30)
        async with aclosing(answers):
            await anext(answers)
            await asyncio.wait_for(run.echo.started.wait(), 5)
        await asyncio.wait_for(run.echo.cancelled.wait(), 5)


async def test_calls_are_counted_by_code(kind: Kind) -> None:
    async with running(kind) as run:

        def refuse(value: str) -> None:
            if value == "bad":
                raise InvalidArgument("bad")

        run.echo.behaviour = refuse
        await say(run)
        with pytest.raises(InvalidArgument):
            await say(run, "bad")
        name = chassis_metrics.SERVER_SECONDS.name

        def count(code: str) -> float | None:
            return run.metrics.registry.get_sample_value(f"{name}_count", {"method": SAY, "code": code})

        await until(lambda: count("OK") == 1 and count("INVALID_ARGUMENT") == 1)
        assert run.metrics.registry.get_sample_value(chassis_metrics.SERVER_IN_FLIGHT.name) == 0


async def test_a_taken_port_is_an_error(kind: Kind) -> None:
    async with running(kind) as run:
        with pytest.raises(OSError, match="cannot listen"):
            async with running(kind, port=run.server.port):
                pass


async def test_callers_prove_who_they_are(kind: Kind, tmp_path: Any) -> None:
    clock = FakeClock()
    for name in ("ours", "theirs"):
        write_keys(tmp_path / name)
    server = CallerTokens(tmp_path / "ours/service.secret", "features", clock)
    ours = CallerTokens(tmp_path / "ours/service.secret", "gateway", clock)
    theirs = CallerTokens(tmp_path / "theirs/service.secret", "gateway", clock)
    async with running(kind, callers=server, client=ours) as run:
        assert await say(run) == "hello"
        assert [a.value async for a in run.channel.stream(COUNT, text("1"), StringValue, 5)] == ["0"]
        assert [answer async for answer in chat(run, each("a"))] == ["A"]
        for stranger in (theirs, None):
            channel = Channel("echo", StaticAddresses(run.address), callers=stranger)
            with pytest.raises(Unauthenticated):
                await channel.unary(SAY, text("x"), StringValue, 5)
            with pytest.raises(Unauthenticated):
                _ = [one async for one in channel.stream(COUNT, text("1"), StringValue, 5)]
            with pytest.raises(Unauthenticated):
                stream = channel.stream_stream(CHAT, each("a"), (StringValue, StringValue), 5)
                _ = [one async for one in stream]
            await channel.close()
    assert run.echo.calls == 3


async def test_stopping_lets_calls_in_flight_finish(kind: Kind) -> None:
    async with running(kind) as run:
        gate = asyncio.Event()
        run.echo.behaviour = lambda _: gate.wait()
        calls = [asyncio.create_task(say(run, str(index))) for index in range(20)]
        stream = asyncio.create_task(_collect(run))
        talk = asyncio.create_task(_talk(run))
        await until(lambda: run.echo.calls == 22)
        stopping = asyncio.create_task(run.server.stop(10))
        await asyncio.sleep(0.1)
        assert not stopping.done()
        other = Channel("echo", StaticAddresses(run.address))
        with pytest.raises(Unavailable):
            await other.unary(SAY, text("late"), StringValue, 2)
        gate.set()
        assert await asyncio.gather(*calls) == [str(index) for index in range(20)]
        assert await stream == ["0", "1"]
        assert await talk == ["A"]
        await asyncio.wait_for(stopping, 5)
        await other.close()


async def test_stopping_cuts_what_outlives_the_grace(kind: Kind) -> None:
    async with running(kind) as run:
        run.echo.behaviour = lambda _: asyncio.sleep(30)
        call = asyncio.create_task(say(run, timeout_s=30))
        await asyncio.wait_for(run.echo.started.wait(), 5)
        started = time.monotonic()
        await run.server.stop(0.2)
        with pytest.raises(Unavailable):
            await call
        assert time.monotonic() - started < 3
        await asyncio.wait_for(run.echo.cancelled.wait(), 5)


async def _collect(run: Running) -> list[str]:
    return [answer.value async for answer in run.channel.stream(COUNT, text("2"), StringValue, 30)]


async def _talk(run: Running) -> list[str]:
    return [answer async for answer in chat(run, each("a"), 30)]


async def test_slow_readers_hold_up_nobody(kind: Kind) -> None:
    """A reader that stops reading is waited for, without buffering without end and without holding a thread."""
    async with running(kind) as run, aio.insecure_channel(run.address) as raw:
        run.echo.padding = "x" * 20_000
        count = raw.unary_stream(COUNT, StringValue.SerializeToString, StringValue.FromString)
        slow = [count(text("10000000"), timeout=60) for _ in range(20)]
        for call in slow:
            await call.read()
        while True:  # until all of them are stuck
            before = run.echo.counted
            await asyncio.sleep(0.3)
            if run.echo.counted == before:
                break
        await asyncio.wait_for(asyncio.get_running_loop().run_in_executor(None, time.sleep, 0), 2)
        assert await asyncio.wait_for(say(run), 2) == "hello"
        assert [(await slow[0].read()).value.rstrip("x") for _ in range(300)] == [str(n) for n in range(1, 301)]
        for call in slow:
            call.cancel()
        await until(lambda: run.metrics.registry.get_sample_value(chassis_metrics.SERVER_IN_FLIGHT.name) == 0)


async def test_time_left_is_known(kind: Kind) -> None:
    async with running(kind) as run:
        left: list[float] = []
        run.echo.observe = lambda context: left.append(remaining_s(context, 30))
        await say(run, timeout_s=5)
        async with aio.insecure_channel(run.address) as raw:
            await raw.unary_unary(SAY, StringValue.SerializeToString, StringValue.FromString)(text("x"))
        assert 4 < left[0] < 5.2  # the wire rounds up
        assert left[1] == 30


async def test_a_call_in_a_trace_is_a_span(kind: Kind) -> None:
    exporter = InMemorySpanExporter()
    tracing = OtlpTracing("echo", "", exporter)
    async with running(kind, tracing=tracing) as run:
        with tracing.span("caller") as span:
            await run.channel.unary(SAY, text("x"), StringValue, 5, (("traceparent", span.traceparent),))
        await say(run)
    tracing.flush()
    spans = {span.name: span for span in exporter.get_finished_spans()}
    assert set(spans) == {"caller", SAY}
    said, caller = spans[SAY], spans["caller"].context
    assert said.parent is not None
    assert caller is not None
    assert said.parent.span_id == caller.span_id
    assert (said.attributes or {})["rpc.grpc.status_code"] == "OK"
