"""Routing, budgets, queues, stale rows: the thinking, without a wire."""

import asyncio
import math
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import MagicMock

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from chassis.clock import SystemClock
from chassis.errors import MizzenError, ResourceExhausted, Unavailable
from chassis.public.problem import BY_REASON, STATUS, TITLE, problem, status_of
from gateway.domain.columns import filled, from_list, replaced, scattered, taken, to_list
from gateway.domain.inference import Tensor
from gateway.domain.limits import Bulkhead, Retry
from gateway.domain.model import Call, Caller, Column, DType
from gateway.domain.plans import OutputPlan, Route, TensorPlan
from gateway.domain.record import Record, RecordKind, RecordQueue
from gateway.domain.retrieve import Retriever
from gateway.domain.route import _pick, _share, route_rows
from gateway.domain.tensors import assembled, joined_texts, output_column, row_slices, split_texts
from gateway.settings import Settings

CALL = Call("r", Caller("t", "s", frozenset()), 0, 0.0)


def record(number: int) -> Record:
    return Record(CALL, RecordKind.PREDICT, str(number), number)


def test_the_queue_keeps_the_gap_of_what_found_no_room() -> None:
    full = []
    queue = RecordQueue(3, lambda: full.append(1))
    for number in range(3):
        queue.offer(record(number))
    queue.offer(record(3))
    assert len(full) == 1
    first, taken_records = queue.take(2)
    assert (first, [one.endpoint for one in taken_records]) == (0, ["0", "1"])
    queue.offer(record(4))
    assert [(first, len(found)) for first, found in (queue.take(9), queue.take(9), queue.take(9))] == [
        (2, 1), (4, 1), (5, 0),
    ]  # fmt: skip
    queue.put_back(0, taken_records)
    assert queue.take(9)[0] == 0


def large(number: int, size: int) -> Record:
    """A record of an endpoint whose answer is a column of so many bytes."""
    outputs = {"o": Column(DType.FLOAT32, size // 4, bytes(size))}
    return Record(CALL, RecordKind.PREDICT, str(number), number, outputs=outputs)


def test_the_queue_holds_so_many_bytes_whatever_the_number_of_records() -> None:
    full: list[int] = []
    queue = RecordQueue(10_000, lambda: full.append(1), max_bytes=10_000_000)
    for number in range(100):
        queue.offer(large(number, 1_000_000))
    assert len(queue) == 9
    assert len(full) == 91
    assert 9_000_000 < queue.bytes <= 10_000_000
    first, records = queue.take(256, max_bytes=2_500_000)
    assert (first, len(records)) == (0, 2), "an entry of the stream has a bound of bytes, too"
    queue.put_back(first, records)
    while queue.take(256)[1]:
        pass
    assert queue.bytes == 0
    queue.offer(large(100, 5_000_000))
    assert [len(queue.take(256, max_bytes=10)[1]) for _ in range(2)] == [1, 0], (
        "a record alone may be larger than an entry"
    )


def test_large_tensors_do_not_wait_in_the_queue() -> None:
    queue = RecordQueue(10, max_tensor_bytes=100)
    tensors = [Tensor("small", "FP32", (1, 1), bytes(4)), Tensor("large", "FP32", (1, 1000), bytes(4000))]
    queue.offer(Record(CALL, RecordKind.INFER, "m", 0, tensors_in=tensors, tensors_out=tensors))
    (record,) = queue.take(1)[1]
    assert [tensor.name for tensor in (*record.tensors_in, *record.tensors_out)] == ["small", "small"]
    assert len(tensors) == 2, "the request's own list is left as it is"


def test_weights_are_kept_and_stable() -> None:
    routes = (Route("a", "a", weight=90), Route("b", "b", weight=10))
    shares = [_pick(routes, _share(f"e\x00key{number}")) for number in range(10_000)]
    assert abs(sum(shares) / 10_000 - 0.10) < 0.015
    # A release must not move entities between models: these are the first eight of all time.
    assert [_share(f"e\x00key{number}") for number in range(8)] == [39, 7, 83, 57, 61, 38, 14, 28]


@given(st.lists(st.tuples(st.floats(-1e6, 1e6), st.booleans()), min_size=1, max_size=20))
def test_one_row_and_many_rows_make_the_same_tensor(cells: list[tuple[float, bool]]) -> None:
    plan = TensorPlan("t", "FP32", ("a",))
    values = [None if null else value for value, null in cells]
    column = from_list(values, DType.FLOAT64, "f", nullable=True)
    whole = assembled(plan, [column], len(values)).raw
    single = b"".join(assembled(plan, [taken(column, [row])], 1).raw for row in range(len(values)))
    np.testing.assert_array_equal(np.frombuffer(whole, "<f4"), np.frombuffer(single, "<f4"))


def test_missing_is_nan_zero_or_empty() -> None:
    nothing = filled(None, DType.FLOAT64, 1)
    assert math.isnan(np.frombuffer(assembled(TensorPlan("t", "FP32", ("a",)), [nothing], 1).raw, "<f4")[0])
    assert assembled(TensorPlan("t", "INT64", ("a",)), [nothing], 1).raw == bytes(8)
    assert assembled(TensorPlan("t", "BYTES", ("a",)), [filled(None, DType.STRING, 1)], 1).raw == bytes(4)
    large = from_list([1e300], DType.FLOAT64, "f")
    assert math.isinf(np.frombuffer(assembled(TensorPlan("t", "FP32", ("a",)), [large], 1).raw, "<f4")[0])


@given(st.lists(st.binary(max_size=5), max_size=8))
def test_texts_go_round(texts: list[bytes]) -> None:
    assert split_texts(joined_texts(texts)) == texts


def test_slices_columns_and_occlusion() -> None:
    tensor = Tensor("x", "FP32", (3, 2), np.arange(6, dtype="<f4").tobytes())
    assert [np.frombuffer(part, "<f4").tolist() for part in row_slices(tensor, [1, 2])] == [[0, 1], [2, 3, 4, 5]]
    texts = Tensor("s", "BYTES", (2, 1), joined_texts([b"a", b"bc"]))
    assert row_slices(texts, [1, 1]) == [joined_texts([b"a"]), joined_texts([b"bc"])]
    second = output_column(OutputPlan("o", DType.FLOAT32, "x", 1), {"x": tensor}, 3)
    assert to_list(second) == [1.0, 3.0, 5.0]
    with pytest.raises(MizzenError, match="no column 2"):
        output_column(OutputPlan("o", DType.FLOAT32, "x", 2), {"x": tensor}, 3)
    assert to_list(
        scattered([(from_list([1], DType.INT64, "f"), [1]), (from_list([0], DType.INT64, "f"), [0])], 2)
    ) == [0, 1]
    assert to_list(replaced(from_list([1.0, 2.0], DType.FLOAT64, "f"), [True, False], None)) == [None, 2.0]
    assert to_list(replaced(from_list(["a", "b"], DType.STRING, "f"), [False, True], "z")) == ["a", "z"]


async def test_retries_have_a_budget() -> None:
    calls = 0

    async def attempt() -> None:
        nonlocal calls
        calls += 1
        raise Unavailable("down")

    retry = Retry(SystemClock(), ratio=0.1, reserve=2, pause_s=0)
    for _ in range(100):
        with pytest.raises(Unavailable):
            await retry.run(attempt, SystemClock().monotonic_s() + 5)
    assert calls <= 113  # 100 requests, 2 saved up, 10 earned
    calls = 0
    with pytest.raises(Unavailable):
        await Retry(SystemClock(), pause_s=0.05).run(attempt, SystemClock().monotonic_s() + 0.04)
    assert calls == 1, "there was no time for a second attempt"


async def test_pages_of_collections_hold_each_once() -> None:
    class Upstream:
        async def collections(self, _: Call) -> list[Any]:
            return [SimpleNamespace(name=name) for name in "ecadb"]

    retriever = Retriever(Upstream(), MagicMock(), SystemClock())  # type: ignore[arg-type]
    seen: list[list[str]] = []
    token = ""
    while not seen or token:
        found, token = await retriever.collections(MagicMock(), 2, token)
        seen.append([info.name for info in found])
    assert seen == [["a", "b"], ["c", "d"], ["e"]]
    assert (await retriever.collections(MagicMock(), 5, ""))[1] == "", "a full last page is the last one"


def test_weights_are_percent_and_endpoints_split_apart() -> None:
    routes = [Route("a", "a", weight=1), Route("b", "b", weight=59), Route("c", "c", weight=40)]
    picked = [_pick(routes, share) for share in range(100)]
    assert [picked.count(index) for index in range(3)] == [1, 59, 40]
    keys = {"tailnum": from_list([f"N{number}" for number in range(200)], DType.STRING, "")}

    def split(name: str) -> bytes:
        plan = MagicMock(routes=routes, sticky_key="tailnum")
        plan.name = name
        return route_rows(plan, keys, 200, "request")

    # Else the same entities would get the new model at every endpoint.
    assert split("late") == split("late") != split("early")


def test_a_bulkhead_lets_go() -> None:
    bulkhead = Bulkhead("m", 1)
    with bulkhead, pytest.raises(ResourceExhausted):
        bulkhead.__enter__()
    with bulkhead:
        pass
    assert bulkhead.in_flight == 0


def test_no_keys_no_other_host(tmp_path: Path) -> None:
    Settings(state=tmp_path, host="127.0.0.1")
    Settings(state=tmp_path, host="::1")
    with pytest.raises(ValidationError, match="API_KEYS_FILE"):
        Settings(state=tmp_path, host="0.0.0.0")
    Settings(state=tmp_path, host="0.0.0.0", api_keys_file=tmp_path / "keys")


def every_error() -> list[type[MizzenError]]:
    return MizzenError.__subclasses__()


def test_every_error_has_a_status_and_a_title() -> None:
    for kind in every_error():
        error = kind("text", field="f", ids={"a": "b"})
        assert status_of(error) == STATUS[error.code]
        assert TITLE[error.code]
        assert error.code.value.encode() in problem(error, "r")
    assert b"secret" not in problem(MizzenError("secret"), "r")


def test_the_errors_table_is_the_codes() -> None:
    """docs/errors.md names each code with its HTTP status."""
    text = (Path(__file__).parents[3] / "docs/errors.md").read_text()
    rows = {
        cells[0].strip("`"): int(cells[1])
        for line in text.splitlines()
        if len(cells := [cell.strip() for cell in line.strip("|").split("|")]) >= 3 and cells[1].isdecimal()
    }
    assert {code.value: status for code, status in STATUS.items() if code.value != "OK"} == {
        name: status for name, status in rows.items() if name not in BY_REASON
    }
    assert {name: rows[name] for name in BY_REASON} == dict(BY_REASON)


async def test_a_slow_model_holds_only_its_own_place() -> None:
    one, other = Bulkhead("slow", 2), Bulkhead("fast", 2)
    gate = asyncio.Event()

    async def hold(bulkhead: Bulkhead) -> None:
        with bulkhead:
            await gate.wait()

    waiting: list[asyncio.Task[Any]] = [asyncio.ensure_future(hold(one)) for _ in range(2)]
    await asyncio.sleep(0)
    with pytest.raises(ResourceExhausted):
        await hold(one)
    with other:
        pass
    gate.set()
    await asyncio.gather(*waiting)
