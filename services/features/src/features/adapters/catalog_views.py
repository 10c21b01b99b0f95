"""Definitions of the catalog → views as the domain sees them. A view that can't be compiled leaves its predecessor serving."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from catalog import Catalog, DefinitionError, FeatureView, Field
from catalog.kinds.feature_view import Feature
from chassis.errors import InvalidArgument
from features.adapters.sqlglot_expressions import parse_expression
from features.domain.expression import Kind
from features.domain.model import KINDS, NUMPY, Column, Definitions, DType, OnDemand, Source, View
from features.domain.rows import TEXT, Layout

_PYTHON: Mapping[DType, tuple[type, ...]] = {
    DType.BOOL: (bool,),
    DType.STRING: (str,),
    DType.FLOAT32: (int, float),
    DType.FLOAT64: (int, float),
}
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def load_definitions(catalog: Catalog, before: Definitions) -> tuple[Definitions, list[DefinitionError]]:
    """(definitions, what was refused). Refused views stay as they were in `before`."""
    views: dict[str, View] = {}
    refused: list[DefinitionError] = []
    for name, definition in catalog.feature_views.items():
        try:
            views[name] = compile_view(definition)
        except InvalidArgument as error:
            refused.append(
                DefinitionError("", 0, error.field or "", error.message, definition.kind, definition.metadata.name)
            )
            if name in before.views:
                views[name] = before.views[name]
    return Definitions(views, _references(catalog)), refused


def _references(catalog: Catalog) -> Mapping[str, frozenset[str]]:
    references: dict[str, frozenset[str]] = {}
    for name, endpoint in catalog.endpoints.items():
        try:
            references[catalog.schema_hash(name)] = frozenset(endpoint.references)
        except KeyError:
            # The catalog reports endpoints whose columns don't exist.
            continue
    return references


def compile_view(definition: FeatureView) -> View:
    """One view. InvalidArgument whose `field` is the place in the definition."""
    spec = definition.spec
    stored = tuple(_stored(feature, f"spec.features[{i}].default") for i, feature in enumerate(spec.features))
    inputs = tuple(_column(field) for field in spec.inputs)
    names: dict[str, Kind] = {column.name: KINDS[column.dtype] for column in (*stored, *inputs)}
    names["as_of"] = Kind.INSTANT
    on_demand: list[OnDemand] = []
    for i, feature in enumerate(spec.on_demand):
        column = _column(feature)
        expression = parse_expression(feature.sql, names, KINDS[column.dtype], f"spec.onDemand[{i}].sql")
        on_demand.append(OnDemand(column, feature.sql, expression))
    return View(
        name=definition.reference_name,
        description=spec.description,
        keys=tuple(_column(entity) for entity in spec.entities),
        stored=stored,
        inputs=inputs,
        on_demand=tuple(on_demand),
        ttl_us=None if definition.ttl_s is None else definition.ttl_s * 1_000_000,
        layout=Layout([(column.name, str(column.dtype), NUMPY.get(column.dtype, TEXT)) for column in stored]),
        source=_source(definition),
    )


def _source(definition: FeatureView) -> Source | None:
    source = definition.spec.source
    return None if source is None else Source(dict(source.tables), source.sql, source.timestamp_column)


def _column(field: Field, default: Any = None) -> Column:
    return Column(field.name, DType(str(field.dtype)), default, field.unit, field.description)


def _stored(feature: Feature, field: str) -> Column:
    return _column(feature, _default(DType(str(feature.dtype)), feature.default, field))


def _default(dtype: DType, value: float | int | str | bool | None, field: str) -> float | int | str | bool | None:
    if value is None:
        return None
    if dtype is DType.TIMESTAMP and isinstance(value, str):
        return _instant_us(value, field)
    wanted = _PYTHON.get(dtype, (int,))
    is_right = isinstance(value, wanted) and (dtype is DType.BOOL or not isinstance(value, bool))
    if is_right and dtype in (DType.INT32, DType.INT64):
        limit = 2**31 if dtype is DType.INT32 else 2**63
        is_right = -limit <= int(value) < limit
    if not is_right:
        raise InvalidArgument(f"{value!r} is no {dtype}", reason="DEFAULT_INVALID", field=field)
    return float(value) if dtype in (DType.FLOAT32, DType.FLOAT64) else value


def _instant_us(text: str, field: str) -> int:
    try:
        instant = datetime.fromisoformat(text)
        return (instant - _EPOCH) // timedelta(microseconds=1)
    except (ValueError, TypeError) as error:
        raise InvalidArgument(f"{text!r} is no RFC 3339 instant", reason="DEFAULT_INVALID", field=field) from error
