"""CustomResourceDefinitions of our kinds, generated from the models: `python -m catalog.crds DIRECTORY` writes one file a kind."""

import sys
from pathlib import Path
from typing import Any

import yaml

from catalog.fields import GROUP_VERSION
from catalog.kinds.table import OURS, Kind

GROUP, _, VERSION = GROUP_VERSION.partition("/")
Schema = dict[str, Any]


_DROPPED = {"title", "additionalProperties", "$ref", "anyOf", "const", "exclusiveMinimum", "exclusiveMaximum"}


def structural(schema: Schema, definitions: dict[str, Schema]) -> Schema:
    """A pydantic JSON schema as Kubernetes' structural OpenAPI v3: references inlined, one type a node, null as `nullable`.

    A node that takes several types keeps whatever it gets (the model itself checks it when it is loaded).
    """
    if "$ref" in schema:
        schema = {
            **definitions[schema["$ref"].rpartition("/")[2]],
            **{key: schema[key] for key in schema if key != "$ref"},
        }
    kept = {
        key: value for key, value in schema.items() if key not in _DROPPED and not (key == "default" and value is None)
    }
    if "anyOf" in schema:
        options = [option for option in schema["anyOf"] if option.get("type") != "null"]
        nullable = {"nullable": True} if len(options) < len(schema["anyOf"]) else {}
        if len(options) > 1:
            return {**kept, **nullable, "x-kubernetes-preserve-unknown-fields": True}
        return {**structural(options[0], definitions), **kept, **nullable}
    if "const" in schema:
        kept["enum"] = [schema["const"]]
    for side in ("Minimum", "Maximum"):
        if f"exclusive{side}" in schema:
            kept |= {side.lower(): schema[f"exclusive{side}"], f"exclusive{side}": True}
    if "properties" in kept:
        kept["properties"] = {name: structural(inner, definitions) for name, inner in kept["properties"].items()}
    elif patterns := list(kept.pop("patternProperties", {}).values()):
        # Keys of a map can't be constrained there; the model refuses wrong ones when it is loaded.
        kept["additionalProperties"] = structural(patterns[0], definitions)
    elif isinstance(schema.get("additionalProperties"), dict):
        kept["additionalProperties"] = structural(schema["additionalProperties"], definitions)
    elif schema.get("type") == "object":
        kept["x-kubernetes-preserve-unknown-fields"] = True
    if "items" in kept:
        kept["items"] = structural(kept["items"], definitions)
    if not kept.keys() & {"type", "x-kubernetes-preserve-unknown-fields"}:
        kept["x-kubernetes-preserve-unknown-fields"] = True
    return kept


def _status() -> Schema:
    condition = {
        "type": "object",
        "required": ["type", "status", "reason", "lastTransitionTime"],
        "properties": {
            "type": {
                "type": "string",
                "description": "Accepted: whether the definition is right and in use; Materialized, Ingested or Trained: "
                "how far the Job is that works on it.",
            },
            "status": {"type": "string", "enum": ["True", "False", "Unknown"], "description": "Whether it holds."},
            "reason": {"type": "string", "description": "One word, CamelCase."},
            "message": {"type": "string", "description": "What is wrong, with the field and the mend."},
            "observedGeneration": {"type": "integer", "format": "int64", "description": "Generation it is about."},
            "lastTransitionTime": {"type": "string", "format": "date-time", "description": "When the status changed."},
        },
    }
    return {
        "type": "object",
        "description": "What the platform says of this definition.",
        "properties": {
            "observedGeneration": {"type": "integer", "format": "int64", "description": "Generation last looked at."},
            "conditions": {
                "type": "array",
                "description": "Conditions, one a type.",
                "items": condition,
                "x-kubernetes-list-type": "map",
                "x-kubernetes-list-map-keys": ["type"],
            },
        },
    }


def custom_resource_definition(kind: Kind) -> Schema:
    """The CustomResourceDefinition (apiextensions.k8s.io/v1) of one kind."""
    schema = kind.model.model_json_schema(by_alias=True)
    spec = structural(schema["properties"]["spec"], schema.get("$defs", {}))
    columns = [{"name": name, "type": "string", "jsonPath": path} for name, path in kind.columns]
    accepted = {"name": "Accepted", "type": "string", "jsonPath": '.status.conditions[?(@.type=="Accepted")].status'}
    age = {"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp"}
    root = {
        "type": "object",
        "description": (kind.model.__doc__ or "").splitlines()[0],
        "required": ["spec"],
        "properties": {
            "apiVersion": {"type": "string"},
            "kind": {"type": "string"},
            "metadata": {"type": "object"},
            "spec": spec,
            "status": _status(),
        },
    }
    version = {
        "name": VERSION,
        "served": True,
        "storage": True,
        "schema": {"openAPIV3Schema": root},
        "subresources": {"status": {}},
        "additionalPrinterColumns": [*columns, accepted, age],
    }
    names = {
        "kind": kind.name,
        "listKind": f"{kind.name}List",
        "plural": kind.plural,
        "singular": kind.name.lower(),
        "shortNames": list(kind.short),
    }
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{kind.plural}.{GROUP}"},
        "spec": {
            "group": GROUP,
            "names": {**names, "categories": ["mizzen"]},
            "scope": "Namespaced",
            "versions": [version],
        },
    }


def manifests() -> dict[str, str]:
    """File name → YAML text of every kind."""
    head = "# Generated from services/catalog by `make crds`; don't edit.\n"
    return {
        f"{kind.plural}.yaml": head + yaml.safe_dump(custom_resource_definition(kind), sort_keys=False, width=120)
        for kind in OURS
    }


def main(directory: Path) -> None:
    """Writes the files into `directory`."""
    directory.mkdir(parents=True, exist_ok=True)
    for name, text in manifests().items():
        (directory / name).write_text(text)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
