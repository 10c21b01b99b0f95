"""The example request of an endpoint: it fits the entities and inputs that are declared."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from catalog.examine.subject import Subject
from catalog.fields import DType, Field, Location
from catalog.found import DefinitionError, Found
from catalog.kinds.endpoint import Endpoint
from catalog.suggestions import meant


def check_examples(subject: Subject) -> Iterator[DefinitionError]:
    """A value a row for every entity and input, each of its type; and an instant only where the endpoint takes one."""
    for found, endpoint in subject.of(Endpoint):
        example = endpoint.spec.example
        if example is None:
            continue
        at: Location = ("spec", "example")
        given = {"entities": example.entities, "inputs": example.inputs}
        rows = max((len(values) for columns in given.values() for values in columns.values()), default=0)
        for part, declared in {"entities": endpoint.spec.entities, "inputs": endpoint.spec.inputs}.items():
            yield from _columns(found, (*at, part), declared, given[part], rows)
        if rows == 0 and endpoint.spec.entities:
            yield found.wrong(at, "has no row", "give each entity one value at least")
        if rows > endpoint.spec.limits.max_rows:
            yield found.wrong(at, f"has {rows} rows", f"limits.maxRows allows {endpoint.spec.limits.max_rows}")
        if "as_of" in example.options and endpoint.spec.clock == "server":
            fix = "remove it, or write clock: request"
            yield found.wrong((*at, "options", "as_of"), "as_of is refused where clock is server", fix)


def _columns(
    found: Found, at: Location, declared: Sequence[Field], given: Mapping[str, list[Any]], rows: int
) -> Iterator[DefinitionError]:
    fields = {field.name: field for field in declared}
    for name, values in given.items():
        if name not in fields:
            yield found.wrong((*at, name), f"{name} is not declared", meant(name, list(fields), "declared are"))
            continue
        if len(values) != rows:
            yield found.wrong((*at, name), f"has {len(values)} values where others have {rows}", "give one a row")
        fits, fix = _TYPES[fields[name].dtype]
        for place, value in enumerate(values):
            if not fits(value) and not (value is None and at[-1] == "inputs"):
                yield found.wrong((*at, name, place), f"{value!r} is no {fields[name].dtype}", fix)
    for name in fields:
        # A name that is wrong is said above, and the one that it should be is then not missing as well.
        if given.keys() <= fields.keys() and name not in given:
            yield found.wrong(at, f"has no {name}", "add it with one value a row")


def _whole(bits: int) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, int) and not isinstance(value, bool) and -(2**bits) <= value < 2**bits


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_instant(value: Any) -> bool:
    try:
        return isinstance(value, str) and datetime.fromisoformat(value).tzinfo is not None
    except ValueError:
        return False


_TYPES: Mapping[DType, tuple[Callable[[Any], bool], str]] = {
    DType.BOOL: (lambda value: isinstance(value, bool), "write true or false"),
    DType.INT32: (_whole(31), "write a whole number of 32 bits"),
    DType.INT64: (_whole(63), "write a whole number of 64 bits"),
    DType.FLOAT32: (_is_number, "write a number"),
    DType.FLOAT64: (_is_number, "write a number"),
    DType.STRING: (lambda value: isinstance(value, str), "put it in quotes"),
    DType.TIMESTAMP: (_is_instant, 'write an RFC 3339 instant in quotes, e.g. "2026-01-31T14:00:00Z"'),
}
