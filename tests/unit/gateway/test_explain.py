"""Explanations in chunks are those of the straightforward way, and never more than a few chunks large."""

import asyncio
import math
from dataclasses import replace
from typing import Any
from unittest.mock import MagicMock

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chassis.clock import SystemClock
from chassis.errors import DeadlineExceeded, FailedPrecondition, ResourceExhausted, Unavailable
from gateway.domain.admission import Admission
from gateway.domain.explain import AT_ONCE, CHUNK_BYTES, CHUNK_ROWS, Explainer, weight_of
from gateway.domain.inference import InferAnswer, InferRequest, Tensor
from gateway.domain.limits import few_at_once
from gateway.domain.model import Call, Caller, Column, DType, PredictRequest, Scalar
from gateway.domain.plans import OutputPlan, Route, TensorPlan
from gateway.domain.predict import Predictor
from gateway.domain.tensors import TENSOR_NUMPY, joined_texts, split_texts

CLOCK = SystemClock()
ROUTE = Route("s", "m")


def call(seconds: float = 60) -> Call:
    return Call("r", Caller("t", "s", frozenset()), 0, CLOCK.monotonic_s() + seconds)


def plan_of(sources: list[tuple[str, tuple[str, ...]]]) -> Any:
    tensors = tuple(TensorPlan(f"t{at}", datatype, names) for at, (datatype, names) in enumerate(sources))
    plan = MagicMock(tensors=tensors, outputs=(OutputPlan("o", DType.FLOAT32, "out", 0),))
    plan.name = "e"
    return plan


def answered(tensors: list[Tensor]) -> np.ndarray[Any, Any]:
    """What the model says of each row: every element counts, by its place."""
    rows = tensors[0].shape[0]
    total = np.zeros(rows, "<f4")
    for tensor in tensors:
        if tensor.datatype == "BYTES":
            numbers = np.array([sum(text) for text in split_texts(tensor.raw)], "f8").reshape(rows, -1)
        else:
            numbers = np.frombuffer(tensor.raw, TENSOR_NUMPY[tensor.datatype]).reshape(rows, -1).astype("f8")
        weights = np.arange(1, numbers.shape[1] + 1)
        total += (np.nan_to_num(numbers, nan=-1.0) * weights).sum(axis=1).astype("<f4")
    return total


class Model:
    """An Inference that answers so, and remembers how much it was asked at once."""

    def __init__(self) -> None:
        self.rows: list[int] = []
        self.in_flight = self.most_in_flight = self.bytes = self.most_bytes = 0
        self.gate: asyncio.Event | None = None

    async def infer(self, request: InferRequest, info: Any, deadline_s: float) -> InferAnswer:
        size = sum(len(tensor.raw) for tensor in request.inputs)
        self.rows.append(request.inputs[0].shape[0])
        self.in_flight, self.bytes = self.in_flight + 1, self.bytes + size
        self.most_in_flight, self.most_bytes = (
            max(self.most_in_flight, self.in_flight), max(self.most_bytes, self.bytes),
        )  # fmt: skip
        try:
            await (asyncio.sleep(0) if self.gate is None else self.gate.wait())
        finally:
            self.in_flight, self.bytes = self.in_flight - 1, self.bytes - size
        raw = answered(request.inputs).tobytes()
        return InferAnswer("m", "1", [Tensor("out", "FP32", (request.inputs[0].shape[0], 1), raw)])


def occluded_one_by_one(
    plan: Any, tensors: list[Tensor], baseline: dict[str, Scalar | None], actual: np.ndarray[Any, Any]
) -> dict[str, list[float]]:
    """The straightforward way: a whole copy of the tensors for each column."""
    explained: dict[str, list[float]] = {}
    for index, tensor_plan in enumerate(plan.tensors):
        tensor = tensors[index]
        for column, source in enumerate(tensor_plan.sources):
            if source not in baseline:
                continue
            value = baseline[source]
            if tensor.datatype == "BYTES":
                elements = split_texts(tensor.raw)
                text = b"" if value is None else str(value).encode()
                elements[column :: tensor.shape[1]] = [text] * tensor.shape[0]
                raw = joined_texts(elements)
            else:
                matrix = np.frombuffer(tensor.raw, TENSOR_NUMPY[tensor.datatype]).reshape(tensor.shape).copy()
                missing = math.nan if tensor.datatype in ("FP32", "FP64") else 0
                matrix[:, column] = missing if value is None else float(value)
                raw = matrix.tobytes()
            changed = [*tensors[:index], Tensor(tensor.name, tensor.datatype, tensor.shape, raw), *tensors[index + 1 :]]
            moved = (actual.astype("f8") - answered(changed).astype("f8")).tolist()
            before = explained.get(source, [0.0] * len(moved))
            explained[source] = [a + b for a, b in zip(before, moved, strict=True)] if source in explained else moved
    return explained


@st.composite
def cases(draw: st.DrawFn) -> tuple[Any, list[Tensor], dict[str, Scalar | None], int]:
    rows = draw(st.integers(1, 9))
    names = ["a", "b", "c", "d"]
    sources: list[tuple[str, tuple[str, ...]]] = []
    tensors: list[Tensor] = []
    for _ in range(draw(st.integers(1, 3))):
        datatype = draw(st.sampled_from(["FP32", "FP64", "INT32", "INT64", "BOOL", "BYTES"]))
        columns = tuple(draw(st.lists(st.sampled_from(names), min_size=1, max_size=4)))
        sources.append((datatype, columns))
        count = rows * len(columns)
        if datatype == "BYTES":
            raw = joined_texts(draw(st.lists(st.binary(max_size=4), min_size=count, max_size=count)))
        else:
            numbers = draw(st.lists(st.integers(-9, 9), min_size=count, max_size=count))
            raw = np.array(numbers).astype(TENSOR_NUMPY[datatype]).tobytes()
        tensors.append(Tensor(f"t{len(tensors)}", datatype, (rows, len(columns)), raw))
    value = st.none() | st.integers(-5, 5) | st.floats(-5, 5) | st.booleans()
    baseline: dict[str, Scalar | None] = dict(draw(st.dictionaries(st.sampled_from(names), value)))
    # One column at least can be explained.
    baseline.setdefault(sources[0][1][0], 1)
    return plan_of(sources), tensors, baseline, draw(st.sampled_from([0, 1, 3, 8, 1024]))


@given(cases())
@settings(deadline=None)
def test_chunks_answer_what_whole_copies_answer(
    case: tuple[Any, list[Tensor], dict[str, Scalar | None], int],
) -> None:
    plan, tensors, baseline, max_rows = case
    model, actual = Model(), answered(tensors)
    info = MagicMock(baseline=baseline, max_batch_size=max_rows)
    column = Column(DType.FLOAT32, len(actual), actual.tobytes())
    explainer = Explainer(model, CLOCK)  # type: ignore[arg-type]
    explained = asyncio.run(explainer.explained(plan, ROUTE, call(), info, tensors, column))
    assert explained == occluded_one_by_one(plan, tensors, baseline, actual)
    assert max(model.rows) <= (max_rows or CHUNK_ROWS)


def wide(rows: int, text: bytes = b"UA") -> tuple[Any, list[Tensor], Any, Column]:
    """64 numbers and 3 texts a row, as the flights example has."""
    numbers, texts = tuple(f"n{at}" for at in range(64)), ("x", "y", "z")
    tensors = [
        Tensor("t0", "FP32", (rows, 64), np.ones((rows, 64), "<f4").tobytes()),
        Tensor("t1", "BYTES", (rows, 3), joined_texts([text] * rows * 3)),
    ]
    info = MagicMock(baseline=dict.fromkeys(numbers, 0.0) | dict.fromkeys(texts, "?"), max_batch_size=1024)
    column = Column(DType.FLOAT32, rows, answered(tensors).tobytes())
    return plan_of([("FP32", numbers), ("BYTES", texts)]), tensors, info, column


async def test_many_explanations_at_once_stay_a_few_chunks() -> None:
    plan, tensors, info, actual = wide(100)
    model = Model()
    explainer = Explainer(model, CLOCK)  # type: ignore[arg-type]
    explained = await asyncio.gather(
        *(explainer.explained(plan, ROUTE, call(), info, tensors, actual) for _ in range(12))
    )
    assert all(one == explained[0] for one in explained)
    assert sum(model.rows) == 12 * 67 * 100
    assert max(model.rows) <= CHUNK_ROWS
    assert model.most_in_flight <= AT_ONCE
    assert model.most_bytes <= AT_ONCE * CHUNK_ROWS * (64 * 4 + 3 * 6)


async def test_wide_rows_make_smaller_chunks() -> None:
    plan, tensors, info, actual = wide(20, text=b"x" * 4096)
    model = Model()
    await Explainer(model, CLOCK).explained(plan, ROUTE, call(), info, tensors, actual)  # type: ignore[arg-type]
    assert model.most_bytes <= AT_ONCE * CHUNK_BYTES


@pytest.mark.parametrize(("max_rows", "calls"), [(1024, 6), (64, 21), (1, 1340)])
async def test_an_explanation_weighs_as_many_calls_as_the_model_takes_for_it(max_rows: int, calls: int) -> None:
    plan, tensors, info, actual = wide(20)
    info.max_batch_size = max_rows
    model, place = Model(), MagicMock()
    explaining = replace(call(), place=place)
    await Explainer(model, CLOCK).explained(plan, ROUTE, explaining, info, tensors, actual)  # type: ignore[arg-type]
    assert len(model.rows) == calls
    place.grow.assert_called_once_with(calls)


async def test_a_model_that_hangs_ends_each_explanation_at_its_own_deadline() -> None:
    """The first holds every turn for a minute; the second, which waits for one, ends when its own time is over."""
    plan, tensors, info, actual = wide(100)
    model = Model()
    model.gate = asyncio.Event()
    explainer = Explainer(model, CLOCK)  # type: ignore[arg-type]
    first = asyncio.create_task(explainer.explained(plan, ROUTE, call(60), info, tensors, actual))
    while model.in_flight < AT_ONCE:
        await asyncio.sleep(0)
    with pytest.raises(DeadlineExceeded):
        await explainer.explained(plan, ROUTE, call(0.05), info, tensors, actual)
    model.gate.set()
    assert len(await first) == 67
    assert model.in_flight == 0


async def test_a_baseline_that_does_not_fit_is_the_packages_fault() -> None:
    plan, tensors, info, actual = wide(1)
    info.baseline["n0"] = "UA"
    with pytest.raises(FailedPrecondition) as refused:
        await Explainer(Model(), CLOCK).explained(plan, ROUTE, call(), info, tensors, actual)  # type: ignore[arg-type]
    assert refused.value.field == "options.explain"


async def test_few_at_once_keeps_the_order_and_ends_with_the_first_failure() -> None:
    async def doubled(number: int) -> int:
        await asyncio.sleep(0 if number % 2 else 0.001)
        return 2 * number

    assert await few_at_once(3, range(10), doubled) == [2 * number for number in range(10)]
    assert await few_at_once(3, (), doubled) == []
    begun: list[int] = []

    async def fails(number: int) -> int:
        begun.append(number)
        await asyncio.sleep(0)
        if number == 1:
            raise Unavailable("gone")
        await asyncio.Event().wait()
        return number

    with pytest.raises(Unavailable):
        await few_at_once(2, range(1000), fails)
    assert begun == [0, 1]


def test_an_explanation_takes_the_room_of_as_many_calls_as_it_amounts_to() -> None:
    plan, *_ = wide(1)
    assert (weight_of(plan, 1), weight_of(plan, 100)) == (1, 27)
    admission = Admission(CLOCK, MagicMock())
    slots = []
    refused = 0
    for _ in range(12):
        slots.append(slot := admission.admit("endpoint/e"))
        try:
            slot.grow(weight_of(plan, 100))
        except ResourceExhausted as error:
            assert (error.reason, bool(error.retry_after_s)) == ("OVERLOADED", True)
            refused += 1
            slots.pop().leave(ok=False)
    assert 2 <= 12 - refused < 12, "some are explained, the others are refused at once"
    slots += [admission.admit("endpoint/e") for _ in range(20)]
    admission.admit("endpoint/f").leave(ok=True)
    for slot in slots:
        slot.leave(ok=True)
    assert admission.process.in_flight == 0, "what was taken is given back"


async def test_a_refused_explanation_asks_nobody() -> None:
    features, inference, place = MagicMock(), MagicMock(), MagicMock()
    plan, *_ = wide(1)
    plan.max_rows, plan.max_explain_rows = 1000, 1000
    place.grow.side_effect = ResourceExhausted("full", reason="OVERLOADED")
    predictor = Predictor(features, inference, MagicMock(), CLOCK)
    asked = replace(call(), place=place)
    with pytest.raises(ResourceExhausted):
        await predictor.predict(asked, plan, PredictRequest({}, {}, 1000, explain=True))
    place.grow.assert_called_once_with(-(-1000 * 67 // CHUNK_ROWS))
    assert not features.mock_calls
    assert not inference.mock_calls
