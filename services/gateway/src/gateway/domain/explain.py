"""How much each column moved the first output: the answer with that column set to its baseline is taken from the answer.

Rows × columns inferences are many: they go to the model in small chunks, few at once, so that no explanation holds the event loop,
the memory or the model for long.
"""

import asyncio
import math
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from chassis.errors import DeadlineExceeded, FailedPrecondition
from gateway.domain.columns import NUMPY
from gateway.domain.inference import InferRequest, ModelInfo, Tensor, WantedOutput
from gateway.domain.limits import few_at_once, remaining_s
from gateway.domain.model import Call, Column, DType, Scalar
from gateway.domain.plans import EndpointPlan, Route
from gateway.domain.ports import Clock, Inference
from gateway.domain.tensors import FLOATS, TENSOR_NUMPY, joined_texts, output_column, split_texts

CHUNK_ROWS = 256
CHUNK_BYTES = 1024 * 1024
AT_ONCE = 4


def weight_of(plan: EndpointPlan, rows: int) -> int:
    """How many ordinary calls an explanation amounts to at least: rows × columns inferences, of which a chunk costs what a call
    costs. It is known before anything is read; how large the model's chunks are is not."""
    return -(-rows * sum(len(tensor.sources) for tensor in plan.tensors) // CHUNK_ROWS)


class Occlusion:
    """The runs of one explanation. Run number n is row `n % rows` with the column of place `n // rows` at its baseline."""

    def __init__(self, plan: EndpointPlan, tensors: Sequence[Tensor], baseline: Mapping[str, Scalar | None]) -> None:
        """FailedPrecondition when the model package declares no baseline, or one that its tensor cannot hold."""
        places = [
            (index, column, source)
            for index, tensor_plan in enumerate(plan.tensors)
            for column, source in enumerate(tensor_plan.sources)
            if source in baseline
        ]
        if not places:
            message = "the model package declares no baseline (mizzen.baseline), so its answers can't be explained"
            raise FailedPrecondition(message, reason="NO_BASELINE", field="options.explain")
        self.references = [source for _, _, source in places]
        self._rows = tensors[0].shape[0]
        self.runs = self._rows * len(places)
        self._run_bytes = 1 + sum(len(tensor.raw) for tensor in tensors) // self._rows
        self._tensors = [
            _Occluded(tensor, [(column, baseline[source]) if at == index else None for at, column, source in places])
            for index, tensor in enumerate(tensors)
        ]

    def spans(self, max_rows: int) -> Iterator[tuple[int, int]]:
        """The runs in chunks of bounded rows and bytes, as (first, end). `max_rows` 0: the model has no bound of its own."""
        size = self._size(max_rows)
        for start in range(0, self.runs, size):
            yield start, min(start + size, self.runs)

    def calls(self, max_rows: int) -> int:
        """How many chunks these are."""
        return -(-self.runs // self._size(max_rows))

    def _size(self, max_rows: int) -> int:
        return max(1, min(max_rows or CHUNK_ROWS, CHUNK_ROWS, CHUNK_BYTES // self._run_bytes))

    def tensors(self, start: int, end: int) -> list[Tensor]:
        """The input tensors of the runs from `start` to before `end`, a run a row."""
        place, row = np.divmod(np.arange(start, end), self._rows)
        return [tensor.taken(row, place) for tensor in self._tensors]


class _Occluded:
    """One input tensor: its elements, and for each place the column that changes and to what; column -1: none of its own."""

    def __init__(self, tensor: Tensor, changes: list[tuple[int, Scalar | None] | None]) -> None:
        self._tensor = tensor
        self._columns = np.array([-1 if change is None else change[0] for change in changes])
        values = [None if change is None else change[1] for change in changes]
        if tensor.datatype == "BYTES":
            elements = [joined_texts([text]) for text in split_texts(tensor.raw)]
            spare = [joined_texts([b"" if value is None else str(value).encode()]) for value in values]
            self._matrix = _objects(elements).reshape(tensor.shape)
            self._values = _objects(spare)
            return
        self._matrix = np.frombuffer(tensor.raw, TENSOR_NUMPY[tensor.datatype]).reshape(tensor.shape)
        missing = math.nan if tensor.datatype in FLOATS else 0.0
        try:
            numbers = np.array([missing if value is None else float(value) for value in values], "f8")
        except ValueError:
            message = f"the model package's baseline has a text for a column of the numeric tensor {tensor.name}"
            raise FailedPrecondition(message, reason="NO_BASELINE", field="options.explain") from None
        with np.errstate(over="ignore", invalid="ignore"):
            self._values = numbers.astype(self._matrix.dtype)

    def taken(self, row: NDArray[np.int_], place: NDArray[np.int_]) -> Tensor:
        tensor, column = self._tensor, self._columns[place]
        matrix = self._matrix[row]
        own = np.flatnonzero(column >= 0)
        matrix[own, column[own]] = self._values[place[own]]
        raw = b"".join(matrix.ravel().tolist()) if tensor.datatype == "BYTES" else matrix.tobytes()
        return Tensor(tensor.name, tensor.datatype, (len(row), *tensor.shape[1:]), raw)


def _objects(values: list[bytes]) -> NDArray[np.generic]:
    made = np.empty(len(values), object)
    made[:] = values
    return made


class Explainer:
    """Runs explanations. The chunks of one endpoint take turns, so that several explanations go on side by side."""

    def __init__(self, inference: Inference, clock: Clock) -> None:
        self._inference = inference
        self._clock = clock
        self._turns: dict[str, asyncio.Semaphore] = {}

    async def explained(
        self, plan: EndpointPlan, route: Route, call: Call, info: ModelInfo, tensors: list[Tensor], actual: Column
    ) -> dict[str, list[float]]:
        """Per reference and row: `actual` − the answer at baseline. Raises MizzenError, DeadlineExceeded with the call's."""
        if actual.dtype in (DType.STRING, DType.TIMESTAMP):
            message = "only a numeric output can be explained"
            raise FailedPrecondition(message, reason="NOT_NUMERIC", field="options.explain")
        occlusion = Occlusion(plan, tensors, info.baseline)
        # More than was thought, where the model takes few rows at once.
        call.weigh(occlusion.calls(info.max_batch_size))
        turns = self._turns.setdefault(plan.name, asyncio.Semaphore(AT_ONCE))
        output = plan.outputs[0]

        async def run(span: tuple[int, int]) -> bytes:
            async with turns:
                request = InferRequest(
                    route.model, occlusion.tensors(*span), route.version, outputs=[WantedOutput(output.tensor)],
                    service=route.service, alone=True,
                )  # fmt: skip
                answer = await self._inference.infer(request, info, call.deadline_s)
            answered = {tensor.name: tensor for tensor in answer.outputs}
            return output_column(output, answered, span[1] - span[0]).raw

        try:
            async with asyncio.timeout(remaining_s(self._clock, call.deadline_s)):
                raws = await few_at_once(AT_ONCE, occlusion.spans(info.max_batch_size), run)
        except TimeoutError:
            message = "the deadline passed before the answer was explained; explain fewer rows, or give more time"
            raise DeadlineExceeded(message, reason="DEADLINE_EXCEEDED") from None
        return contributions(occlusion.references, actual, Column(actual.dtype, occlusion.runs, b"".join(raws)))


def contributions(references: list[str], actual: Column, runs: Column) -> dict[str, list[float]]:
    """Per reference and row: answer − answer at baseline. A reference used twice is added up."""
    base = np.frombuffer(actual.raw, NUMPY[actual.dtype]).astype(np.float64)
    changed = np.frombuffer(runs.raw, NUMPY[runs.dtype]).astype(np.float64).reshape(len(references), actual.rows)
    moved = base[None, :] - changed
    answer: dict[str, NDArray[np.float64]] = {}
    for reference, row in zip(references, moved, strict=True):
        answer[reference] = answer[reference] + row if reference in answer else row
    return {reference: row.tolist() for reference, row in answer.items()}
