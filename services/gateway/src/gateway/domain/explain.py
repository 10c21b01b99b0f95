"""How much each column moved the first output: the answer with that column set to its baseline is taken from the answer."""

from collections.abc import Mapping

import numpy as np

from chassis.errors import FailedPrecondition
from gateway.domain.columns import NUMPY
from gateway.domain.inference import Tensor
from gateway.domain.model import Column, DType, Scalar
from gateway.domain.plans import EndpointPlan
from gateway.domain.tensors import occluded


def occlusion_tensors(
    plan: EndpointPlan, tensors: list[Tensor], baseline: Mapping[str, Scalar | None]
) -> tuple[list[str], list[Tensor]]:
    """The references that have a baseline, and tensors of rows × references: run k has the k-th one at its baseline.

    FailedPrecondition when the model package declares no baseline at all.
    """
    places = [
        (index, column, source)
        for index, tensor_plan in enumerate(plan.tensors)
        for column, source in enumerate(tensor_plan.sources)
        if source in baseline
    ]
    if not places:
        message = "the model package declares no baseline (mizzen.baseline), so its answers can't be explained"
        raise FailedPrecondition(message, reason="NO_BASELINE", field="options.explain")
    runs: list[Tensor] = []
    for index, tensor in enumerate(tensors):
        own = [(column, source) for at, column, source in places if at == index]
        changed = iter(occluded(tensor, [c for c, _ in own], [baseline[s] for _, s in own]))
        raw = b"".join(next(changed) if at == index else tensor.raw for at, _, _ in places)
        shape = (tensor.shape[0] * len(places), *tensor.shape[1:])
        runs.append(Tensor(tensor.name, tensor.datatype, shape, raw))
    return [source for _, _, source in places], runs


def contributions(references: list[str], actual: Column, runs: Column) -> dict[str, list[float]]:
    """Per reference and row: answer − answer at baseline. A reference used twice is added up."""
    if actual.dtype in (DType.STRING, DType.TIMESTAMP):
        raise FailedPrecondition(
            "only a numeric output can be explained", reason="NOT_NUMERIC", field="options.explain"
        )
    base = np.frombuffer(actual.raw, NUMPY[actual.dtype]).astype(np.float64)
    changed = np.frombuffer(runs.raw, NUMPY[runs.dtype]).astype(np.float64).reshape(len(references), actual.rows)
    moved = base[None, :] - changed
    answer: dict[str, list[float]] = {}
    for index, reference in enumerate(references):
        row = moved[index].tolist()
        answer[reference] = [a + b for a, b in zip(answer[reference], row, strict=True)] if reference in answer else row
    return answer
