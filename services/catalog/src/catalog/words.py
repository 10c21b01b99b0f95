"""What pydantic found wrong, in the house's words: reason and mend."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, get_args

from pydantic import BaseModel, ValidationError

from catalog.fields import FAULTS, IDENTIFIER_PATTERN, NAME_PATTERN, Fault, Location
from catalog.suggestions import meant

_PATTERNS = {
    NAME_PATTERN: ("an object name", "write lower case letters, digits and '-', 63 at most"),
    IDENTIFIER_PATTERN: ("a column name", "write lower case letters, digits and '_', and no digit first"),
}
_QUOTED = "put it in quotes"
_PLAIN: Mapping[str, tuple[str, str]] = {
    "missing": ("is missing", "add it"),
    "string_type": ("is no text", _QUOTED),
    "int_type": ("is no whole number", "write digits alone"),
    "int_parsing": ("is no whole number", "write digits alone"),
    "int_parsing_size": ("is no whole number that a machine has", "write fewer digits"),
    "int_from_float": ("is no whole number", "write digits alone"),
    "float_type": ("is no number", "write it in digits"),
    "float_parsing": ("is no number", "write it in digits"),
    "bool_type": ("is neither true nor false", "write true or false"),
    "bool_parsing": ("is neither true nor false", "write true or false"),
    "tuple_type": ("is no list", "write [a, b], or a line with - for each"),
    "list_type": ("is no list", "write [a, b], or a line with - for each"),
    "dict_type": ("is no mapping", "write its fields below it, one `name: value` each"),
    "model_type": ("is no mapping", "write its fields below it, one `name: value` each"),
}


_LENGTHS = ("too_short", "too_long")


def faults_of(error: ValidationError, content: Any, model: type[BaseModel]) -> list[Fault]:
    """Every fault of `content`, a `model` to be, with its place from the top; each place once for each reason."""
    faults: dict[Fault, None] = {}
    errors = error.errors(include_url=False)
    places = {found["loc"] for found in errors}
    for found in errors:
        # An entry that is wrong is told itself, and then its list isn't short of it.
        if found["type"] in _LENGTHS and any(place[: len(found["loc"])] == found["loc"] != place for place in places):
            continue
        if found["type"] == FAULTS:
            nested: Sequence[Fault] = found["ctx"][FAULTS]
            faults |= {Fault((*found["loc"], *each.at), each.reason, each.fix): None for each in nested}
        else:
            at = found["loc"] if found["type"] in ("missing", "extra_forbidden") else _reached(found["loc"], content)
            known = _fields_at(model, at[:-1]) if found["type"] == "extra_forbidden" else ()
            faults.setdefault(Fault(at, *_said(found, known)))
    return _each_place_once(faults)


def _each_place_once(faults: Mapping[Fault, None]) -> list[Fault]:
    """A value that fits none of several types has an error for each of them: one is enough."""
    firsts: dict[Location, Fault] = {}
    return [
        fault for fault in faults if firsts.setdefault(fault.at, fault) is fault or _is_apart(fault, firsts[fault.at])
    ]


def _is_apart(fault: Fault, first: Fault) -> bool:
    plain = {reason for reason, _ in _PLAIN.values()}
    return fault.reason not in plain or first.reason not in plain


def _reached(location: Location, content: Any) -> Location:
    """As far as the content goes: of several types that a value may have, pydantic adds the name."""
    at: list[int | str] = []
    for part in location:
        there = dict(enumerate(content)) if isinstance(content, list) else content
        if not isinstance(there, Mapping) or part not in there:
            break
        at.append(part)
        content = there[part]
    return tuple(at)


def _said(found: Any, known: Sequence[str]) -> tuple[str, str]:
    kind: str = found["type"]
    if kind == "extra_forbidden":
        return "there is no such field", meant(str(found["loc"][-1]), known, "fields here are")
    if kind in _PLAIN:
        return _PLAIN[kind]
    if kind in _TOLD:
        return _TOLD[kind](found["input"], found["ctx"])
    reason, _, fix = str(found["msg"]).removeprefix("Value error, ").partition(": ")
    return reason[0].lower() + reason[1:], fix


def _out_of_bounds(bound: str, words: str) -> Callable[[Any, Mapping[str, Any]], tuple[str, str]]:
    return lambda given, context: (f"{given!r} is out of bounds", f"write {words} {context[bound]}")


def _of_length(bound: str, words: str) -> Callable[[Any, Mapping[str, Any]], tuple[str, str]]:
    return lambda _, context: (f"has {context['actual_length']} entries", f"it takes {words} {context[bound]}")


def _none_of(given: Any, context: Mapping[str, Any]) -> tuple[str, str]:
    """pydantic's list is a text: 'A', 'B' or 'C'."""
    words = [word.strip(" '") for word in str(context["expected"]).replace(" or ", ", ").split(",")]
    return f"{given!r} is none of {', '.join(words)}", meant(str(given), words) or "write one of them"


def _unlike(given: Any, context: Mapping[str, Any]) -> tuple[str, str]:
    what, fix = _PATTERNS.get(context["pattern"], ("right", f"it has to match {context['pattern']}"))
    return f"{given!r} is not {what}", fix


_TOLD: Mapping[str, Callable[[Any, Mapping[str, Any]], tuple[str, str]]] = {
    "greater_than_equal": _out_of_bounds("ge", "at least"),
    "greater_than": _out_of_bounds("gt", "more than"),
    "less_than_equal": _out_of_bounds("le", "at most"),
    "less_than": _out_of_bounds("lt", "less than"),
    "too_short": _of_length("min_length", "at least"),
    "too_long": _of_length("max_length", "at most"),
    "enum": _none_of,
    "literal_error": _none_of,
    "string_pattern_mismatch": _unlike,
}


def _fields_at(model: type[BaseModel], location: Location) -> Sequence[str]:
    """Names of the fields that the model at that place has, as in YAML."""
    found: Any = model
    for part in location:
        if isinstance(part, str) and _is_model(found):
            field = next((f for name, f in found.model_fields.items() if part in (name, f.alias)), None)
            found = None if field is None else field.annotation
        found = _innermost(found, _is_model)
    if not _is_model(found):
        return ()
    return [field.alias or name for name, field in found.model_fields.items()]


def _innermost(annotation: Any, wanted: Callable[[Any], bool]) -> Any:
    """The model in `tuple[Model, ...]`, `Model | None` or `dict[str, Model]`; None without one."""
    if wanted(annotation):
        return annotation
    return next((found for part in get_args(annotation) if (found := _innermost(part, wanted))), None)


def _is_model(annotation: Any) -> bool:
    return isinstance(annotation, type) and issubclass(annotation, BaseModel)
