"""Inferences of one batching model as one: their rows are laid end to end, and its answer is cut. Pure."""

from chassis.errors import MizzenError
from gateway.domain.inference import InferAnswer, InferRequest, ModelInfo, Tensor
from gateway.domain.tensors import row_slices


def merges(request: InferRequest, info: ModelInfo, rows: int) -> bool:
    """Whether a request of so many rows may travel with others' of its model."""
    return (
        info.max_batch_size > 0
        and rows > 0
        and not request.alone
        and not info.stateful
        and not request.parameters
        and all(tensor.shape[:1] == (rows,) and not tensor.parameters for tensor in request.inputs)
        and all(not wanted.parameters for wanted in request.outputs)
    )


def joined(requests: list[InferRequest], rows: int) -> list[Tensor]:
    """The inputs of all, end to end."""
    return [
        Tensor(
            tensor.name,
            tensor.datatype,
            (rows, *tensor.shape[1:]),
            b"".join([request.inputs[index].raw for request in requests]),
        )
        for index, tensor in enumerate(requests[0].inputs)
    ]


def split(answer: InferAnswer, requests: list[InferRequest], counts: list[int]) -> list[InferAnswer | MizzenError]:
    """Each request's own rows of the answer to all."""
    slices = [row_slices(output, counts) for output in answer.outputs]
    return [
        InferAnswer(
            answer.model,
            answer.model_version,
            [
                Tensor(output.name, output.datatype, (counts[at], *output.shape[1:]), slices[index][at])
                for index, output in enumerate(answer.outputs)
            ],
            request.id,
            None,
            answer.package_version,
        )
        for at, request in enumerate(requests)
    ]
