"""YAML text → definitions, with the file, line and field of everything that is wrong."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from catalog.fields import Location
from catalog.found import DefinitionError, Found
from catalog.kinds.table import KINDS, AnyDefinition
from catalog.suggestions import meant
from catalog.words import faults_of
from catalog.yaml_text import content_of, decoded, documents, dotted, keys_twice, line_of, written

_MODELS = {(kind.api_version, kind.name): kind.model for kind in KINDS}
_OURS = {group for group, _ in _MODELS}
MAX_FILE_BYTES = 1_000_000


def parse_file(path: Path) -> tuple[list[AnyDefinition], list[DefinitionError]]:
    """Definitions of one file and what is wrong in it; foreign kinds are passed over."""
    found, errors = find_in_file(path)
    return [each.definition for each in found], errors


def parse_text(data: bytes | str, file: str) -> tuple[list[AnyDefinition], list[DefinitionError]]:
    """The same for text; `file` is the name shown. Never raises on bad input."""
    found, errors = find_in_text(data, file)
    return [each.definition for each in found], errors


def find_in_file(path: Path) -> tuple[list[Found], list[DefinitionError]]:
    """As parse_file, with the place of each definition."""
    try:
        data = path.read_bytes()
    except OSError as error:
        return [], [DefinitionError(str(path), 0, "", f"can't be read: {error.strerror}")]
    return find_in_text(data, str(path))


def find_in_text(data: bytes | str, file: str) -> tuple[list[Found], list[DefinitionError]]:
    """As parse_text, with the place of each definition."""
    if len(data) > MAX_FILE_BYTES:
        return [], [DefinitionError(file, 0, "", f"is larger than {MAX_FILE_BYTES} bytes")]
    try:
        text = data if isinstance(data, str) else decoded(data)
        nodes = documents(text)
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError, ValueError) as error:
        mark = getattr(error, "problem_mark", None)
        reason = getattr(error, "problem", None) or "is no YAML text"
        return [], [DefinitionError(file, mark.line + 1 if mark else 0, "", str(reason))]
    definitions: list[Found] = []
    errors: list[DefinitionError] = []
    for node in nodes:
        definition, wrong = _parse_node(node, file)
        errors.extend(wrong)
        if definition is not None:
            definitions.append(Found(definition, file, node.start_mark.line + 1, written(text, node), node))
    return definitions, errors


def parse_object(content: Any, file: str = "") -> tuple[AnyDefinition | None, list[DefinitionError]]:
    """The same for one object as the Kubernetes API gives it: no lines, and `status` is passed over."""
    return _validated(content, file, lambda _: 0)


def _parse_node(node: yaml.Node, file: str) -> tuple[AnyDefinition | None, list[DefinitionError]]:
    line = node.start_mark.line + 1
    try:
        content: Any = content_of(node)
    except (yaml.YAMLError, ValueError, TypeError, OverflowError) as error:
        mark = getattr(error, "problem_mark", None)
        return None, [
            DefinitionError(file, mark.line + 1 if mark else line, "", str(getattr(error, "problem", None) or error))
        ]
    definition, errors = _validated(content, file, lambda location: line_of(node, location))
    kind, name, is_ours = _named(content)
    twice = [
        DefinitionError(
            file, second, dotted(at), f"is written twice, first in line {first}", kind, name, fix="remove one"
        )
        for at, first, second in (keys_twice(node) if is_ours else ())
    ]
    return (None, [*twice, *errors]) if twice else (definition, errors)


def _named(content: Any) -> tuple[str, str, bool]:
    """(kind, name, whether the kind is one that is read) of a document."""
    if not isinstance(content, dict):
        return "", "", False
    group, kind = str(content.get("apiVersion", "")), str(content.get("kind", ""))
    metadata = content.get("metadata")
    name = str(metadata.get("name", "")) if isinstance(metadata, dict) else ""
    return kind, name, (group, kind) in _MODELS


def _validated(
    content: Any, file: str, line_at: Callable[[Location], int]
) -> tuple[AnyDefinition | None, list[DefinitionError]]:
    if not isinstance(content, dict):
        reason = "is not a mapping with apiVersion, kind, metadata and spec"
        return None, [DefinitionError(file, line_at(()), "", reason)]
    if not content.keys() & {"apiVersion", "kind", "metadata", "spec"}:
        return None, []  # other YAML that lies beside definitions, such as values of a chart
    kind, name, is_ours = _named(content)
    group = str(content.get("apiVersion", ""))
    if not is_ours:
        return None, [] if group not in _OURS and group and kind else [_no_kind(group, kind, name, file, line_at)]
    model = _MODELS[group, kind]
    try:
        return model.model_validate({key: value for key, value in content.items() if key != "status"}), []
    except ValidationError as error:
        return None, [
            DefinitionError(file, line_at(fault.at), dotted(fault.at), fault.reason, kind, name, fix=fault.fix)
            for fault in faults_of(error, content, model)
        ]


def _no_kind(group: str, kind: str, name: str, file: str, line_at: Callable[[Location], int]) -> DefinitionError:
    field = "kind" if group in _OURS or not kind else "apiVersion"
    known = sorted(name for of, name in _MODELS if of == group) if field == "kind" else sorted(_OURS)
    fix = meant(kind if field == "kind" else group, known, "there are")
    reason = f"there is no kind {kind!r} in apiVersion {group!r}"
    return DefinitionError(file, line_at((field,)), field, reason, kind or "?", name or "?", fix=fix)
