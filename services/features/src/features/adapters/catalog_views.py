"""Definitions of the catalog → views as the domain sees them."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from catalog import Catalog, FeatureView, Field
from catalog.kinds.feature_view import Feature
from features.adapters.catalog_expressions import parse_expression
from features.domain.expression import Kind
from features.domain.model import KINDS, NUMPY, Column, Definitions, DType, OnDemand, Source, View
from features.domain.rows import TEXT, Layout

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def load_definitions(catalog: Catalog) -> Definitions:
    """What the catalog took, ready for use. Its examination has refused whatever could not be compiled."""
    views = {name: compile_view(definition) for name, definition in catalog.feature_views.items()}
    return Definitions(views, _references(catalog))


def compiled(catalog: Catalog) -> Definitions:
    """The same for a job. InvalidArgument with everything that can't be read or is wrong with a feature view."""
    catalog.check("FeatureView")
    return load_definitions(catalog)


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
    """One view that the catalog took."""
    spec = definition.spec
    stored = tuple(_stored(feature) for feature in spec.features)
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


def _stored(feature: Feature) -> Column:
    return _column(feature, _default(DType(str(feature.dtype)), feature.default))


def _default(dtype: DType, value: float | int | str | bool | None) -> float | int | str | bool | None:
    if dtype is DType.TIMESTAMP and isinstance(value, str):
        return (datetime.fromisoformat(value) - _EPOCH) // timedelta(microseconds=1)
    return float(value) if dtype in (DType.FLOAT32, DType.FLOAT64) and value is not None else value
