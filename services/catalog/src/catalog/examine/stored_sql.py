"""Stored SQL of feature views, bound against the tables, and the columns that it has to give."""

from collections.abc import Iterator

from catalog.examine.outside import Bound, SqlFault
from catalog.examine.subject import Findings, NotChecked, Subject
from catalog.fields import Location
from catalog.found import DefinitionError, Found
from catalog.kinds.feature_view import FeatureView
from catalog.suggestions import meant


def check_stored_sql(subject: Subject) -> Findings:
    """Every view's SQL: its tables, its syntax, its columns; and that it gives keys, timestamp and every stored feature."""
    tables = subject.outside.tables
    for found, view in subject.of(FeatureView):
        if view.spec.source is None:
            continue
        bound = None if tables is None else tables.bind(view)
        if bound is None:
            why = "the tables are not known here" if tables is None else "there is no table yet"
            yield NotChecked(f"stored SQL of {view.metadata.name} isn't bound: {why}")
        elif isinstance(bound, SqlFault):
            yield _fault(found, bound)
        else:
            yield from _columns(found, view, bound)


def _fault(found: Found, fault: SqlFault) -> DefinitionError:
    source: Location = ("spec", "source")
    if fault.table:
        return found.wrong((*source, "tables", fault.table), fault.reason, fault.fix)
    return found.wrong((*source, "sql"), fault.reason, fault.fix, in_text=fault.line)


def _columns(found: Found, view: FeatureView, bound: Bound) -> Iterator[DefinitionError]:
    given = {name.lower() for name in bound.columns}
    source = view.spec.source
    wanted: dict[Location, str] = {
        **{("spec", "entities", place, "name"): field.name for place, field in enumerate(view.spec.entities)},
        **{("spec", "features", place, "name"): field.name for place, field in enumerate(view.spec.features)},
        **({("spec", "source", "timestampColumn"): source.timestamp_column} if source is not None else {}),
    }
    for at, name in wanted.items():
        if name not in given:
            yield found.wrong(at, f"the stored SQL gives no column {name}", meant(name, sorted(given), "it gives"))
