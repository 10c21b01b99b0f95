"""JSON ↔ domain, pure. Errors name the field: `entities.tailnum[3]`."""

from collections.abc import Mapping, Sequence
from typing import Any

import orjson

from chassis.errors import InvalidArgument
from gateway.api.http.request import refuse_unknown
from gateway.api.mizzen.features.json import features_json
from gateway.domain.columns import from_list, parse_instant, to_list
from gateway.domain.model import Column, PredictAnswer, PredictRequest
from gateway.domain.plans import EndpointPlan, Field
from gateway.domain.rows import Rows

_PREDICT = frozenset({"entities", "inputs", "options"})
_OPTIONS = frozenset({"as_of", "features", "explain"})
_READ = frozenset({"features", "entities", "inputs"})
_EMPTY: Mapping[str, Any] = {}


def _object(body: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    value = body.get(name, _EMPTY)
    if type(value) is not dict and value is not _EMPTY:
        raise InvalidArgument(f"{name} must be a JSON object", reason="INVALID_VALUE", field=name)
    return value


def columns(
    given: Mapping[str, Any], declared: Sequence[Field], where: str, rows: Rows, *, nullable: bool = False
) -> dict[str, Column]:
    """Lists by name → columns, one for each declared field, all of one length."""
    made: dict[str, Column] = {}
    for field in declared:
        name = field.name
        place = f"{where}.{name}"
        values = given.get(name)
        if type(values) is not list:
            problem = "is missing" if name not in given else "must be a list, one element a row"
            raise InvalidArgument(f"{place} {problem}", reason="INVALID_VALUE", field=place)
        rows.see(len(values), place)
        made[name] = from_list(values, field.dtype, place, nullable=nullable)
    if len(given) != len(made):
        refuse_unknown(given, frozenset(made), where)
    return made


def predict_request(body: Mapping[str, Any], plan: EndpointPlan) -> PredictRequest:
    """The body of `:predict`."""
    refuse_unknown(body, _PREDICT)
    entities_in, inputs_in, rows = _object(body, "entities"), _object(body, "inputs"), Rows(plan.max_rows)
    entities = columns(entities_in, plan.entities, "entities", rows)
    inputs = columns(inputs_in, plan.inputs, "inputs", rows, nullable=True)
    request = PredictRequest(entities, inputs, rows.count)
    if "options" in body:
        options = _object(body, "options")
        refuse_unknown(options, _OPTIONS, "options")
        if options.get("as_of") is not None:
            request.as_of_us = parse_instant(options["as_of"], "options.as_of")
        request.features = _flag(options, "features")
        request.explain = _flag(options, "explain")
    return request


def _flag(options: Mapping[str, Any], name: str) -> bool:
    value = options.get(name, False)
    if type(value) is not bool:
        field = f"options.{name}"
        raise InvalidArgument(f"{field} must be true or false", reason="INVALID_VALUE", field=field)
    return value


def read_parts(body: Mapping[str, Any]) -> tuple[tuple[str, ...], Mapping[str, Any], Mapping[str, Any]]:
    """References, entities and inputs of `features:read`, not typed yet."""
    refuse_unknown(body, _READ)
    references = body.get("features")
    if type(references) is not list or set(map(type, references)) - {str}:
        message = "features must be a list of references view:feature"
        raise InvalidArgument(message, reason="INVALID_VALUE", field="features")
    return tuple(references), _object(body, "entities"), _object(body, "inputs")


def predict_json(answer: PredictAnswer) -> dict[str, object]:
    """What `:predict` answers."""
    body: dict[str, object] = {
        "request_id": answer.request_id,
        "endpoint": answer.endpoint,
        "outputs": {name: to_list(column) for name, column in answer.outputs.items()},
        "routes": answer.routes,
        "model_versions": answer.model_versions,
        "timings_ms": answer.timings_ms,
        "degraded": answer.degraded,
    }
    if answer.features is not None:
        body["features"] = orjson.Fragment(features_json(answer.features))
    if answer.explanations is not None:
        body["explanations"] = answer.explanations
    return body


def endpoint_json(plan: EndpointPlan, *, ready: bool) -> dict[str, object]:
    """How an endpoint is described."""
    return {
        "name": plan.name,
        "description": plan.description,
        "entities": [_field(field) for field in plan.entities],
        "inputs": [_field(field) for field in plan.inputs],
        "outputs": [_field(Field(o.name, o.dtype, o.unit, o.description)) for o in plan.outputs],
        "features": list(plan.references),
        "routes": [
            {"inference_service": r.service, "model": r.model, "weight": r.weight, "shadow": False} for r in plan.routes
        ]
        + (
            [{"inference_service": plan.shadow.service, "model": plan.shadow.model, "weight": 0, "shadow": True}]
            if plan.shadow
            else []
        ),
        "schema_hash": plan.schema_hash,
        "example": plan.example,
        "ready": ready,
    }


def _field(field: Field) -> dict[str, str]:
    return {
        "name": field.name,
        "dtype": field.dtype.value,
        "unit": field.unit,
        "description": field.description,
    }
