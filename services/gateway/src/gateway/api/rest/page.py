"""The page of /docs: the OpenAPI document as one HTML text without scripts that refers to nothing outside itself."""

import json
from collections.abc import Iterator, Mapping
from html import escape
from typing import Any

Json = Mapping[str, Any]
# Nothing may be loaded: a page that is made here needs nothing, and what a definition says can start nothing.
POLICY = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
_STYLE = """
:root{color-scheme:light dark;--line:#8884;--soft:#8881;--accent:#0a6cc4}
body{font:15px/1.5 system-ui,sans-serif;max-width:62rem;margin:0 auto;padding:1.5rem}
h2{margin:2.2rem 0 .6rem;border-bottom:1px solid var(--line)}h4{margin:1rem 0 .3rem}
code,pre{font:13px/1.45 ui-monospace,monospace}pre{background:var(--soft);padding:.7rem;overflow:auto;border-radius:6px}
details{border:1px solid var(--line);border-radius:6px;margin:.4rem 0;padding:.45rem .8rem}
summary{cursor:pointer}summary b{display:inline-block;min-width:4.5rem;color:var(--accent)}
summary span{opacity:.75;margin-left:.6rem}
table{border-collapse:collapse;width:100%}td,th{text-align:left;vertical-align:top;padding:.25rem .6rem .25rem 0;
border-bottom:1px solid var(--line)}a{color:var(--accent)}
"""


def page(document: Json) -> str:
    """HTML of an OpenAPI 3.1 document: operations by tag, then the schemas that they refer to."""
    info, schemas = document["info"], document.get("components", {}).get("schemas", {})
    title = escape(info["title"])
    return "".join(
        (
            f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{title} API</title>',
            f'<meta name="viewport" content="width=device-width"><style>{_STYLE}</style></head><body>',
            f"<h1>{title} API {escape(info['version'])}</h1><p>{escape(info.get('description', ''))}</p>",
            '<p>As a document for tools: <a href="openapi.json">openapi.json</a></p>',
            *_operations(document["paths"], schemas),
            "<h2>Schemas</h2>",
            *(_schema(name, schema) for name, schema in sorted(schemas.items())),
            "</body></html>",
        )
    )


def _operations(paths: Json, schemas: Json) -> Iterator[str]:
    by_tag: dict[str, list[str]] = {}
    for template, methods in paths.items():
        for method, operation in methods.items():
            by_tag.setdefault(operation["tags"][0], []).append(_operation(method.upper(), template, operation, schemas))
    for tag, found in by_tag.items():
        yield f"<h2>{escape(tag)}</h2>"
        yield from found


def _operation(method: str, template: str, operation: Json, schemas: Json) -> str:
    parts = [
        f'<details id="{escape(operation["operationId"])}"><summary><b>{method}</b> <code>{escape(template)}</code>'
    ]
    parts.append(f"<span>{escape(operation['summary'])}</span></summary>")
    parameters = operation.get("parameters", ())
    if parameters:
        parts += ["<h4>Parameters</h4><table>", *map(_parameter, parameters), "</table>"]
    if "requestBody" in operation:
        schema = _content(operation["requestBody"])
        body = json.dumps(example(schema, schemas), indent=2, ensure_ascii=False)
        parts.append(f"<h4>Body: {_kind(schema)}</h4><pre>{escape(body)}</pre>")
    parts += ["<h4>Answers</h4><table>", *(_answer(*each) for each in operation["responses"].items()), "</table>"]
    return "".join((*parts, "</details>"))


def _parameter(parameter: Json) -> str:
    needed = " · required" if parameter.get("required") else ""
    kind = f"{_kind(parameter['schema'])} in {escape(parameter['in'])}{needed}"
    return _row(f"<code>{escape(parameter['name'])}</code>", kind, escape(parameter.get("description", "")))


def _answer(status: str, response: Json) -> str:
    schema = _content(response)
    return _row(escape(status), _kind(schema) if schema else "", escape(response.get("description", "")))


def _content(holder: Json) -> Json:
    for content in holder.get("content", {}).values():
        schema: Json = content.get("schema", {})
        return schema
    return {}


def _schema(name: str, schema: Json) -> str:
    required = schema.get("required", ())
    rows = (
        _row(
            f"<code>{escape(field)}</code>",
            _kind(each) + (" · required" if field in required else ""),
            escape(each.get("description", "")) + _limits(each),
        )
        for field, each in schema.get("properties", {}).items()
    )
    head = f'<details id="schema-{escape(name)}"><summary><code>{escape(name)}</code>'
    said = f"<p>{escape(schema.get('description', ''))}</p>"
    return f"{head}</summary>{said}<table>{''.join(rows)}</table></details>"


def _row(*cells: str) -> str:
    return "<tr>" + "".join(f"<td>{cell}</td>" for cell in cells) + "</tr>"


def _limits(schema: Json) -> str:
    words = {"minimum": "≥", "maximum": "≤", "minLength": "length ≥", "maxLength": "length ≤", "default": "default"}
    found = [f"{word} {json.dumps(schema[key])}" for key, word in words.items() if schema.get(key) is not None]
    return escape(f" ({', '.join(found)})") if found else ""


def _kind(schema: Json) -> str:
    if "$ref" in schema:
        name = escape(schema["$ref"].rsplit("/", 1)[1])
        return f'<a href="#schema-{name}">{name}</a>'
    for key in ("anyOf", "oneOf"):
        if key in schema:
            return " or ".join(map(_kind, schema[key]))
    if "const" in schema or "enum" in schema:
        return " or ".join(escape(json.dumps(value)) for value in schema.get("enum", [schema.get("const")]))
    if schema.get("type") == "array":
        return f"list of {_kind(schema.get('items', {}))}"
    values = schema.get("additionalProperties")
    if schema.get("type") == "object" and isinstance(values, Mapping):
        return f"object of {_kind(values)}"
    return escape(str(schema.get("type", "any")))


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
