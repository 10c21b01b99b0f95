"""Definitions of the catalog → plans of the domain."""

from collections.abc import Sequence
from typing import Any

from catalog import Catalog, FeatureView, source_from
from catalog import Endpoint as Definition
from catalog.fields import Field as FieldDefinition
from catalog.kinds.endpoint import Route as RouteDefinition
from chassis.lifecycle import Runtime
from gateway.adapters.part import Part
from gateway.adapters.prometheus_metrics import PrometheusMetrics
from gateway.domain.endpoints import Endpoints
from gateway.domain.model import DType, Scalar
from gateway.domain.plans import EndpointPlan, Field, OutputPlan, Route, TensorPlan, ViewPlan
from gateway.settings import Settings


def plans(catalog: Catalog) -> dict[str, EndpointPlan]:
    """Every endpoint as a plan; one whose references do not exist says so in `broken`."""
    return {name: _plan(endpoint, catalog) for name, endpoint in catalog.endpoints.items()}


def views(catalog: Catalog) -> dict[str, ViewPlan]:
    """What a read of each feature view takes."""
    return {
        name: ViewPlan(_fields(view.spec.entities), _fields(view.spec.inputs))
        for name, view in catalog.feature_views.items()
    }


def embedders(catalog: Catalog) -> list[Route]:
    """The models that collections embed with."""
    embeddings = [collection.spec.embedding for collection in catalog.collections.values()]
    return [Route(embedding.inference_service, embedding.model) for embedding in embeddings]


def hosted(catalog: Catalog) -> list[Route]:
    """The models that InferenceServices say they hold, beside one of their own name."""
    return [Route(service.name, model) for service in catalog.inference_services.values() for model in service.models]


def _plan(endpoint: Definition, catalog: Catalog) -> EndpointPlan:
    spec = endpoint.spec
    references = endpoint.references
    used = _views(references, catalog)
    broken = ""
    schema_hash = ""
    try:
        schema_hash = catalog.schema_hash(endpoint.name)
    except KeyError as error:
        broken = str(error.args[0])
    join_keys = dict.fromkeys(entity.name for view in used for entity in view.spec.entities)
    view_inputs = dict.fromkeys(field.name for view in used for field in view.spec.inputs)
    entities, inputs = {field.name for field in spec.entities}, {field.name for field in spec.inputs}
    missing = [name for name in join_keys if name not in entities] + [n for n in view_inputs if n not in inputs]
    if missing and not broken:
        broken = f"its feature views need {', '.join(missing)}, which it does not take"
    features = {ref: column for ref in references if (column := _column(ref, catalog)) is not None}
    return EndpointPlan(
        name=endpoint.name,
        description=spec.description,
        entities=_fields(spec.entities),
        inputs=_fields(spec.inputs),
        references=references,
        telling=_telling(references, catalog),
        join_keys=tuple(join_keys),
        view_inputs=tuple(view_inputs),
        tensors=tuple(TensorPlan(tensor.name, tensor.datatype, tensor.features) for tensor in spec.model.tensors),
        outputs=tuple(
            OutputPlan(o.name, DType(o.dtype.value), o.tensor, o.column, o.unit, o.description)
            for o in spec.model.outputs
        ),
        routes=tuple(_route(route) for route in spec.traffic.routes),
        shadow=None if spec.traffic.shadow is None else _route(spec.traffic.shadow),
        sticky_key=spec.traffic.sticky_key,
        request_clock=spec.clock == "request",
        on_stale=spec.on_stale,
        default_when_down=spec.on_store_down == "default",
        max_rows=spec.limits.max_rows,
        max_explain_rows=spec.limits.max_explain_rows,
        deadline_s=spec.limits.deadline_ms / 1000,
        max_in_flight=spec.limits.max_in_flight,
        schema_hash=schema_hash,
        defaults={ref: default for ref, (_, default) in features.items()},
        dtypes={ref: dtype for ref, (dtype, _) in features.items()},
        example=_example(endpoint),
        broken=broken,
    )


def _views(references: tuple[str, ...], catalog: Catalog) -> list[FeatureView]:
    names = dict.fromkeys(reference.partition(":")[0] for reference in references)
    return [catalog.feature_views[name] for name in names if name in catalog.feature_views]


def _column(reference: str, catalog: Catalog) -> tuple[DType, Scalar | None] | None:
    view, _, name = reference.partition(":")
    if view not in catalog.feature_views:
        return None
    column = catalog.feature_views[view].column(name)
    return None if column is None else (DType(column.dtype.value), getattr(column, "default", None))


def _telling(references: Sequence[str], catalog: Catalog) -> tuple[int, ...]:
    """See EndpointPlan. A row's stored columns are unavailable together; of what is computed, only what is made of these."""
    stored: dict[str, int] = {}
    computed: dict[str, list[int]] = {}
    for at, reference in enumerate(references):
        view, _, name = reference.partition(":")
        if view in catalog.feature_views and any(name == one.name for one in catalog.feature_views[view].spec.features):
            stored.setdefault(view, at)
        else:
            computed.setdefault(view, []).append(at)
    return (*stored.values(), *(at for view, places in computed.items() if view not in stored for at in places))


def _fields(fields: tuple[FieldDefinition, ...]) -> tuple[Field, ...]:
    return tuple(Field(field.name, DType(field.dtype.value), field.unit, field.description) for field in fields)


def _route(route: RouteDefinition) -> Route:
    return Route(route.inference_service, route.model, route.version or "", route.weight)


_SAMPLES: dict[str, Any] = {
    "BOOL": True,
    "INT32": 1,
    "INT64": 1,
    "FLOAT32": 1.0,
    "FLOAT64": 1.0,
    "STRING": "text",
    "TIMESTAMP": "2026-01-01T00:00:00Z",
}


def _example(endpoint: Definition) -> dict[str, object]:
    example = endpoint.spec.example
    if example is not None:
        return {k: v for k, v in example.model_dump().items() if v}
    made: dict[str, object] = {"entities": {f.name: [_SAMPLES[f.dtype.value]] for f in endpoint.spec.entities}}
    if endpoint.spec.inputs:
        made["inputs"] = {f.name: [_SAMPLES[f.dtype.value]] for f in endpoint.spec.inputs}
    return made


async def definitions_of(runtime: Runtime[Settings], seen: PrometheusMetrics) -> Part[Endpoints]:
    """The endpoints that are loaded now: those of the source that the settings name, which a task follows."""
    settings, endpoints, log = runtime.settings, Endpoints(), runtime.log
    source = source_from(settings.definitions, room=settings.room)

    def swap(catalog: Catalog) -> None:
        load(catalog, endpoints)
        seen.definitions_refused(len(catalog.errors))
        log.info("definitions loaded", endpoints=sorted(catalog.endpoints), refused=len(catalog.errors))

    swap(await source.load())
    return Part(endpoints, background=[("definitions", lambda: source.watch(swap))], close=[source.close])


def load(catalog: Catalog, endpoints: Endpoints) -> None:
    """Swaps the plans for those of `catalog`."""
    named = [*hosted(catalog), *embedders(catalog)]
    endpoints.swap(plans(catalog), views(catalog), list(catalog.inference_services), named)
