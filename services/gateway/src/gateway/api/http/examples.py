"""Bodies to begin with, made from the schemas: what /docs offers to try out."""

from collections.abc import Mapping
from typing import Any

Json = Mapping[str, Any]


def example(schema: Json, schemas: Json, depth: int = 0) -> Any:
    """A body of that schema: the schema's own examples, and of the rest what is required."""
    if "$ref" in schema:
        return example(schemas[schema["$ref"].rsplit("/", 1)[1]], schemas, depth + 1) if depth < 6 else {}
    for key in ("anyOf", "oneOf"):
        if key in schema and not schema.get("examples"):
            return example(schema[key][0], schemas, depth)
    for given in (
        schema.get("examples"),
        schema.get("enum"),
        [schema[key] for key in ("default", "const") if key in schema],
    ):
        if given:
            return given[0]
    if schema.get("type") == "array":
        return [example(schema.get("items", {}), schemas, depth)]
    if schema.get("type") == "object":
        wanted = schema.get("required", ())
        fields = schema.get("properties", {}).items()
        return {name: example(each, schemas, depth) for name, each in fields if name in wanted or each.get("examples")}
    return {"integer": 1, "number": 0.5, "boolean": True}.get(str(schema.get("type")), "…")
