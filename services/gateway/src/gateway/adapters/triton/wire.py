"""Domain inference ↔ `inference.GRPCInferenceService` messages."""

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

from tritonclient.grpc import service_pb2

from gateway.domain.inference import InferAnswer, InferRequest, ModelInfo, Tensor, TensorInfo
from gateway.domain.model import Scalar

# Its classes are made at import time, which no type checker sees.
oip: Any = service_pb2


def write_parameters(parameters: Mapping[str, Scalar] | None, target: Any) -> None:
    """Request, input or output parameters; `target` is the map field."""
    for name, value in (parameters or {}).items():
        if isinstance(value, bool):
            target[name].bool_param = value
        elif isinstance(value, int):
            target[name].int64_param = value
        elif isinstance(value, float):
            target[name].double_param = value
        else:
            target[name].string_param = value


def read_parameters(source: Any) -> dict[str, Scalar] | None:
    """The reverse."""
    if not source:
        return None
    return {
        name: getattr(value, value.WhichOneof("parameter_choice") or "string_param") for name, value in source.items()
    }


def infer_message(request: InferRequest, tensors: Sequence[Tensor]) -> Any:
    """ModelInferRequest with raw contents; `tensors` may be other than the request's own (merged ones)."""
    message = oip.ModelInferRequest(
        model_name=request.model,
        model_version=request.version,
        id=request.id,
        raw_input_contents=[tensor.raw for tensor in tensors],
    )
    if request.parameters:
        write_parameters(request.parameters, message.parameters)
    for tensor in tensors:
        written = message.inputs.add(name=tensor.name, datatype=tensor.datatype, shape=tensor.shape)
        if tensor.parameters:
            write_parameters(tensor.parameters, written.parameters)
    for wanted in request.outputs:
        output = message.outputs.add(name=wanted.name)
        if wanted.parameters:
            write_parameters(wanted.parameters, output.parameters)
    return message


def infer_answer(message: Any, package_version: str = "") -> InferAnswer:
    """ModelInferResponse with raw contents, as Triton answers raw requests."""
    raws = message.raw_output_contents
    outputs = [
        Tensor(
            output.name,
            output.datatype,
            tuple(output.shape),
            raws[index] if index < len(raws) else b"",
            read_parameters(output.parameters),
        )
        for index, output in enumerate(message.outputs)
    ]
    return InferAnswer(
        message.model_name,
        message.model_version,
        outputs,
        message.id,
        read_parameters(message.parameters),
        package_version,
    )


def model_info(config: Any, metadata: Any) -> ModelInfo:
    """ModelConfig and ModelMetadataResponse as what the domain asks of a model."""
    parameters = {name: value.string_value for name, value in config.parameters.items()}
    policy = config.model_transaction_policy
    return ModelInfo(
        name=metadata.name,
        versions=tuple(metadata.versions),
        platform=metadata.platform,
        inputs=tuple(TensorInfo(i.name, i.datatype, tuple(i.shape)) for i in metadata.inputs),
        outputs=tuple(TensorInfo(o.name, o.datatype, tuple(o.shape)) for o in metadata.outputs),
        max_batch_size=0 if policy.decoupled else config.max_batch_size,
        stateful=config.HasField("sequence_batching") or policy.decoupled,
        schema_hash=parameters.get("mizzen.schema_hash", ""),
        package_version=parameters.get("mizzen.version", ""),
        baseline=_baseline(parameters.get("mizzen.baseline", "")),
    )


def _baseline(text: str) -> dict[str, Scalar | None]:
    try:
        found = json.loads(text or "{}")
    except ValueError:
        return {}
    if not isinstance(found, dict):
        return {}
    return {
        str(ref): None if isinstance(value, float) and math.isnan(value) else value
        for ref, value in found.items()
        if value is None or isinstance(value, bool | int | float | str)
    }
