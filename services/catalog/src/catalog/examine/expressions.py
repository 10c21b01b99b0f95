"""On-demand SQL and defaults of feature views."""

from collections.abc import Iterator
from datetime import datetime

from catalog.examine.subject import Subject, some
from catalog.fields import DType, Location
from catalog.found import DefinitionError, Found
from catalog.kinds.feature_view import AS_OF, Feature, FeatureView
from catalog.on_demand import KINDS, Kind, OnDemandRefused, parse_on_demand

_DEFAULTS: dict[DType, tuple[type | tuple[type, ...], str]] = {
    DType.BOOL: (bool, "write true or false"),
    DType.STRING: (str, "put it in quotes"),
    DType.FLOAT32: ((int, float), "write a number"),
    DType.FLOAT64: ((int, float), "write a number"),
}
_BITS = {DType.INT32: 31, DType.INT64: 63}


def check_expressions(subject: Subject) -> Iterator[DefinitionError]:
    """On-demand SQL that is not in the allow-list or names what isn't there, and defaults of another type."""
    for found, view in subject.of(FeatureView):
        yield from some(_on_demand(found, view))
        for place, feature in enumerate(view.spec.features):
            fix = _default_fault(feature)
            if fix:
                at: Location = ("spec", "features", place, "default")
                yield found.wrong(at, f"{feature.default!r} is no {feature.dtype}", fix)


def _on_demand(found: Found, view: FeatureView) -> Iterator[DefinitionError]:
    columns = {field.name: KINDS[field.dtype] for field in (*view.spec.features, *view.spec.inputs)}
    columns[AS_OF] = Kind.INSTANT
    for place, feature in enumerate(view.spec.on_demand):
        try:
            parse_on_demand(feature.sql, columns, KINDS[feature.dtype])
        except OnDemandRefused as error:
            at: Location = ("spec", "onDemand", place, "sql")
            line = feature.sql.count("\n", 0, error.at)
            yield found.wrong(at, f"on-demand SQL {error.reason}", error.fix, in_text=line)


def _default_fault(feature: Feature) -> str:
    """How to mend the default; empty where it is right."""
    value, dtype = feature.default, feature.dtype
    if value is None:
        return ""
    if dtype is DType.TIMESTAMP and isinstance(value, str):
        return "" if _is_instant(value) else "write an RFC 3339 instant, e.g. 2026-01-31T14:00:00Z"
    wanted, fix = _DEFAULTS.get(dtype, (int, "write a whole number"))
    if not isinstance(value, wanted) or (isinstance(value, bool) and dtype is not DType.BOOL):
        return fix
    bits = _BITS.get(dtype)
    fits = bits is None or -(2**bits) <= int(value) < 2**bits
    return "" if fits else f"write a whole number of {(bits or 0) + 1} bits"


def _is_instant(text: str) -> bool:
    try:
        return datetime.fromisoformat(text).tzinfo is not None
    except ValueError:
        return False
