"""Stored SQL of feature views, bound against the tables, and the columns that it has to give."""

import re
from collections.abc import Iterable, Iterator, Mapping

from catalog.examine.outside import Bound, SqlFault
from catalog.examine.subject import Findings, NotChecked, Subject, some
from catalog.fields import Location
from catalog.found import DefinitionError, Found
from catalog.kinds.feature_view import FeatureView
from catalog.on_demand import KINDS, Kind
from catalog.suggestions import meant


def check_stored_sql(subject: Subject) -> Findings:
    """Every view's SQL: its tables, its syntax, its columns; and that it gives keys, timestamp and every stored feature."""
    tables, unbound = subject.outside.tables, 0
    for found, view in subject.of(FeatureView):
        if view.spec.source is None:
            continue
        bound = None if tables is None else tables.bind(view)
        if bound is None:
            unbound += 1
        elif isinstance(bound, SqlFault):
            yield _fault(found, bound)
        else:
            yield from some(_columns(found, view, bound))
    if unbound:
        yield NotChecked(f"stored SQL of {unbound} feature views isn't bound: their tables are not known here (yet)")


def _fault(found: Found, fault: SqlFault) -> DefinitionError:
    source: Location = ("spec", "source")
    if fault.table:
        return found.wrong((*source, "tables", fault.table), fault.reason, fault.fix)
    return found.wrong((*source, "sql"), fault.reason, fault.fix, in_text=fault.line)


def _columns(found: Found, view: FeatureView, bound: Bound) -> Iterator[DefinitionError]:
    given = {name.lower(): kind for name, kind in bound.columns.items()}
    for part, fields in {"entities": view.spec.entities, "features": view.spec.features}.items():
        for place, field in enumerate(fields):
            at: Location = ("spec", part, place)
            if field.name not in given:
                yield _absent(found, (*at, "name"), field.name, given)
            elif _family(given[field.name]) not in _CAST_FROM[KINDS[field.dtype]]:
                reason = f"the stored SQL gives {field.name} as {given[field.name]}, which is no {field.dtype}"
                yield found.wrong((*at, "dtype"), reason, "cast it in the SQL, or declare another type")
    moment = view.spec.source.timestamp_column if view.spec.source is not None else ""
    where: Location = ("spec", "source", "timestampColumn")
    if moment not in given:
        yield _absent(found, where, moment, given)
    elif _family(given[moment]) not in _CAST_FROM[Kind.INSTANT]:
        reason = f"the stored SQL gives {moment} as {given[moment]}, which is no timestamp"
        yield found.wrong(where, reason, "make it one in the SQL, e.g. by to_timestamp(seconds)")


def _absent(found: Found, at: Location, name: str, given: Iterable[str]) -> DefinitionError:
    return found.wrong(at, f"the stored SQL gives no column {name}", meant(name, sorted(given), "it gives"))


def _family(duckdb_type: str) -> str:
    """number, boolean, text or instant; the type itself for what no feature can be made of, such as a list."""
    word = re.split(r"[^A-Z]", duckdb_type.upper())[0]
    return duckdb_type if duckdb_type.endswith("]") else _FAMILIES.get(word, duckdb_type)


_FAMILIES: Mapping[str, str] = {
    **dict.fromkeys(("TINYINT", "SMALLINT", "INTEGER", "BIGINT", "HUGEINT", "FLOAT", "DOUBLE", "DECIMAL"), "number"),
    **dict.fromkeys(("UTINYINT", "USMALLINT", "UINTEGER", "UBIGINT", "UHUGEINT", "BIGNUM"), "number"),
    **dict.fromkeys(("VARCHAR", "ENUM", "UUID"), "text"),
    **dict.fromkeys(("TIMESTAMP", "DATE"), "instant"),
    "BOOLEAN": "boolean",
}
_CAST_FROM: Mapping[Kind, tuple[str, ...]] = {
    Kind.NUMBER: ("number", "boolean", "text"),
    Kind.BOOL: ("number", "boolean", "text"),
    Kind.TEXT: ("number", "boolean", "text", "instant"),
    Kind.INSTANT: ("instant", "text"),
}
"""Families that DuckDB casts to a kind; texts are cast value by value."""
