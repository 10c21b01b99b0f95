"""Columns of endpoints: each exists, and the endpoint takes what its views need, in a type that they take."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from catalog.examine.subject import Subject, some
from catalog.fields import DType, Field, Location
from catalog.found import DefinitionError, Found
from catalog.kinds.endpoint import Endpoint
from catalog.kinds.feature_view import reference_name
from catalog.on_demand import KINDS
from catalog.suggestions import meant

OWN = ("entity", "input")
"""Columns that an endpoint declares itself; the model of the kind looks after them."""


def check_references(subject: Subject) -> Iterator[DefinitionError]:
    """Every fault of every endpoint's columns."""
    views = subject.catalog.feature_views
    for found, endpoint in subject.of(Endpoint):
        missing = list(some(_missing(found, endpoint, subject.columns)))
        yield from missing
        # A column that is misspelt in a tensor is watched under its right name.
        yield from () if missing else some(_watched(found, endpoint))
        used = [views[name] for name in used_views(endpoint) if name in views]
        entities = {view.reference_name: view.spec.entities for view in used}
        inputs = {view.reference_name: view.spec.inputs for view in used}
        yield from _needed(found, "entities", endpoint.spec.entities, entities)
        yield from _needed(found, "inputs", endpoint.spec.inputs, inputs)
        yield from _ambiguous(found, inputs)


def used_views(endpoint: Endpoint) -> list[str]:
    """Reference names of the views that an endpoint's tensors take columns of, each once."""
    return list(dict.fromkeys(reference.partition(":")[0] for reference in endpoint.references))


def columns_of(endpoint: Endpoint) -> Iterator[tuple[Location, str]]:
    """Each column of each tensor, with its place."""
    for place, tensor in enumerate(endpoint.spec.model.tensors):
        for at, column in enumerate(tensor.features):
            yield ("spec", "model", "tensors", place, "features", at), column


def _missing(found: Found, endpoint: Endpoint, views: Mapping[str, Mapping[str, Field]]) -> Iterator[DefinitionError]:
    for at, column in columns_of(endpoint):
        view, _, feature = column.partition(":")
        if view in OWN:
            continue
        if view not in views:
            reason = f"{column}: there is no feature view {view}"
            yield found.wrong(at, reason, _view_meant(view, views), missing=True)
        elif feature not in views[view]:
            reason = f"{column}: feature view {view} has no feature {feature}"
            yield found.wrong(at, reason, meant(feature, list(views[view]), "its features are"), missing=True)


def _view_meant(view: str, views: Mapping[str, Any]) -> str:
    written = reference_name(view)
    if written != view and written in views:
        return f"in references it is written {written}, as SQL names take no '-'"
    return meant(written, sorted(views), "there are")


def _watched(found: Found, endpoint: Endpoint) -> Iterator[DefinitionError]:
    known = [
        *dict.fromkeys(column for _, column in columns_of(endpoint)),
        *(f"output:{output.name}" for output in endpoint.spec.model.outputs),
    ]
    names = frozenset(known)
    for place, column in enumerate(endpoint.spec.monitoring.watch):
        if column not in names:
            at: Location = ("spec", "monitoring", "watch", place)
            yield found.wrong(
                at, f"{column} is no column of its tensors and no output", meant(column, known, "these are")
            )


def _needed(
    found: Found, part: str, declared: Sequence[Field], needed: Mapping[str, Sequence[Field]]
) -> Iterator[DefinitionError]:
    given = {field.name: (place, field.dtype) for place, field in enumerate(declared)}
    said: set[str] = set()
    for view, fields in needed.items():
        for field in fields:
            if field.name in said:
                continue
            if field.name not in given:
                said.add(field.name)
                reason = f"feature view {view} needs {field.name}, which the endpoint does not take"
                yield found.wrong(("spec", part), reason, f"add {{name: {field.name}, dtype: {field.dtype}}}")
            elif not _fits(part, given[field.name][1], field.dtype):
                said.add(field.name)
                place, dtype = given[field.name]
                reason = f"{field.name} is {dtype} here and {field.dtype} in feature view {view}"
                yield found.wrong(("spec", part, place, "dtype"), reason, f"write {field.dtype}")


def _fits(part: str, given: DType, needed: DType) -> bool:
    """Any number serves as an input where one is needed, and any whole number as a key."""
    is_fraction = given in (DType.FLOAT32, DType.FLOAT64)
    return KINDS[given] is KINDS[needed] and (part == "inputs" or not is_fraction)


def _ambiguous(found: Found, inputs: Mapping[str, Sequence[Field]]) -> Iterator[DefinitionError]:
    firsts: dict[str, tuple[str, DType]] = {}
    for view, fields in inputs.items():
        for field in fields:
            other, dtype = firsts.setdefault(field.name, (view, field.dtype))
            if dtype is not field.dtype:
                reason = f"input {field.name} is {dtype} in feature view {other} and {field.dtype} in {view}"
                yield found.wrong(("spec", "model", "tensors"), reason, "give both views one type")
