"""The schema hash: ties an endpoint to its feature views and to the model's tensors."""

import hashlib
import json
from collections.abc import Mapping

from catalog.fields import REFERENCE
from catalog.kinds.endpoint import Endpoint
from catalog.kinds.feature_view import FeatureView, OnDemandFeature


def split_reference(reference: str) -> tuple[str, str]:
    """`view:feature` as (view, feature); ValueError when it is not one."""
    match = REFERENCE.match(reference)
    if match is None:
        raise ValueError(f"{reference!r} is no feature reference: write view:feature")
    return match["view"], match["feature"]


def _column(column: str, endpoint: Endpoint, views: Mapping[str, FeatureView]) -> list[str]:
    view, _, name = column.partition(":")
    declared = {"entity": endpoint.spec.entities, "input": endpoint.spec.inputs}.get(view)
    if declared is not None:
        return [column, next(str(field.dtype) for field in declared if field.name == name), ""]
    if view not in views:
        raise KeyError(f"{column}: there is no feature view {view}")
    feature = views[view].column(name)
    if feature is None:
        raise KeyError(f"{column}: feature view {view} has no feature {name}")
    return [column, str(feature.dtype), feature.sql if isinstance(feature, OnDemandFeature) else ""]


def schema_hash(endpoint: Endpoint, views: Mapping[str, FeatureView]) -> str:
    """First 16 hex digits of SHA-256 over the model's input columns in order: name, type and on-demand SQL.

    `views` is keyed by reference name. KeyError, with the sentence to show, when a column does not exist.
    """
    tensors = [
        [tensor.name, tensor.datatype, [_column(column, endpoint, views) for column in tensor.features]]
        for tensor in endpoint.spec.model.tensors
    ]
    text = json.dumps(tensors, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]
