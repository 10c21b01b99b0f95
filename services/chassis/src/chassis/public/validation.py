"""What pydantic finds wrong with a request, in the words of our APIs: the place as `documents[3].metadata`, then what is wrong."""

from collections.abc import Mapping, Sequence
from typing import Any

from chassis.errors import InvalidArgument

UNKNOWN = "unknown_field"
"""Type of an error of our own: its context has the field's `name`, its message the fields that are there."""
# Where pydantic's own words are of Python.
_SAID = {"missing": "is missing", "model_type": "must be an object", "model_attributes_type": "must be an object"}
_OURS = (("Input should", "must"), ("String should", "must"), ("List should", "must"), ("Value error, ", ""))


def refusal(found: Mapping[str, Any], location: Sequence[int | str] | None = None) -> InvalidArgument:
    """One of `ValidationError.errors()`. `location` stands in for its own."""
    field = dotted(found["loc"] if location is None else location)
    said: str = _SAID.get(found["type"]) or found["msg"]
    if found["type"] == UNKNOWN:
        name = found["ctx"]["name"]
        field = f"{field}.{name}" if field else name
        return InvalidArgument(f"there is no field {field}; {said}", reason="UNKNOWN_FIELD", field=field)
    if found["type"] == "extra_forbidden":
        return InvalidArgument(f"there is no field {field}", reason="UNKNOWN_FIELD", field=field)
    for theirs, ours in _OURS:
        if said.startswith(theirs):
            said = ours + said.removeprefix(theirs)
    return InvalidArgument(f"{field or 'the body'} {said}", reason="INVALID_VALUE", field=field or "body")


def dotted(location: Sequence[int | str]) -> str:
    """`documents[3].metadata`."""
    text = ""
    for part in location:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return text
