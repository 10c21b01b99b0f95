"""Endpoints and predictions: public protos ↔ domain, pure."""

from typing import Any, cast

from google.protobuf import struct_pb2

from gateway.api.grpc.columns import WIRE, columns, instant_us, write_features, write_values
from gateway.domain.model import PredictAnswer, PredictRequest
from gateway.domain.plans import EndpointPlan, Field
from gateway.domain.rows import Rows
from mizzen.gateway.v1 import gateway_pb2 as pb


def predict_request(message: pb.PredictRequest, plan: EndpointPlan) -> PredictRequest:
    """PredictRequest → domain."""
    rows = Rows(plan.max_rows)
    entities = columns(message.entities, plan.entities, "entities", rows)
    inputs = columns(message.inputs, plan.inputs, "inputs", rows, nullable=True)
    options = message.options
    as_of_us = instant_us(options.as_of, "options.as_of") if options.HasField("as_of") else None
    return PredictRequest(entities, inputs, rows.count, as_of_us, options.features, options.explain)


def predict_response(answer: PredictAnswer, *, raw: bool) -> pb.PredictResponse:
    """Domain → PredictResponse."""
    message = pb.PredictResponse(
        request_id=answer.request_id,
        endpoint=answer.endpoint,
        routes=answer.routes,
        model_versions=answer.model_versions,
        timings_ms=answer.timings_ms,
        degraded=answer.degraded,
    )
    for name, column in answer.outputs.items():
        write_values(column, message.outputs[name], raw=raw)
    if answer.features is not None:
        write_features(answer.features, message.features, raw=raw)
    for ref, moved in (answer.explanations or {}).items():
        message.explanations.add(ref=ref, contributions=moved)
    return message


def endpoint_message(plan: EndpointPlan, *, ready: bool) -> pb.Endpoint:
    """Domain → Endpoint."""
    example = struct_pb2.Struct()
    example.update(cast(Any, dict(plan.example)))
    message = pb.Endpoint(
        name=plan.name,
        description=plan.description,
        entities=[_field(field) for field in plan.entities],
        inputs=[_field(field) for field in plan.inputs],
        outputs=[_field(Field(o.name, o.dtype, o.unit, o.description)) for o in plan.outputs],
        features=plan.references,
        schema_hash=plan.schema_hash,
        example=example,
        ready=ready,
    )
    for route in plan.routes:
        message.routes.add(inference_service=route.service, model=route.model, weight=route.weight)
    if plan.shadow is not None:
        message.routes.add(inference_service=plan.shadow.service, model=plan.shadow.model, shadow=True)
    return message


def _field(field: Field) -> pb.Field:
    return pb.Field(
        name=field.name,
        dtype=WIRE[field.dtype],
        unit=field.unit,
        description=field.description,
    )
