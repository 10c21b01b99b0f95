"""YAML text → definitions, with the file, line and field of everything that is wrong."""

import codecs
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from catalog.kinds.table import KINDS, AnyDefinition

_MODELS = {(kind.api_version, kind.name): kind.model for kind in KINDS}
_OURS = {group for group, _ in _MODELS}
MAX_FILE_BYTES = 1_000_000
_NOTHING = "tag:yaml.org,2002:null"  # a document with nothing in it
MAX_NESTING = 64


@dataclass(frozen=True, slots=True)
class DefinitionError:
    """One thing that is wrong with one definition."""

    file: str
    line: int
    field: str
    reason: str
    kind: str = ""
    name: str = ""
    missing_reference: bool = False  # the definition itself is right, and what it refers to is not there

    def __str__(self) -> str:
        """`file:line: field: reason`."""
        place = f"{self.file}:{self.line}" if self.file else f"{self.kind} {self.name}"
        return f"{place}: {self.field}: {self.reason}" if self.field else f"{place}: {self.reason}"


@dataclass(frozen=True, slots=True)
class Found:
    """A definition and where it stands. `text` is a YAML document of this one definition, as its author wrote it."""

    definition: AnyDefinition
    file: str = ""
    line: int = 0
    text: str = ""

    @property
    def place(self) -> str:
        """`file:line`; empty for an object of the Kubernetes API."""
        return f"{self.file}:{self.line}" if self.file else ""


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
        text = data if isinstance(data, str) else _decoded(data)
        nodes = [node for node in _compose(text) if node is not None and node.tag != _NOTHING]
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
            definitions.append(Found(definition, file, node.start_mark.line + 1, _written(text, node)))
    return definitions, errors


def _decoded(data: bytes) -> str:
    """As YAML has it: UTF-16 with a byte order mark, else UTF-8."""
    utf_16 = data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    return data.decode("utf-16" if utf_16 else "utf-8-sig")


def _written(text: str, node: yaml.Node) -> str:
    """The text of a document's node. Its first line keeps its indentation, which all others share."""
    start, end = node.start_mark, node.end_mark
    return (
        ("" if getattr(node, "flow_style", False) else " " * start.column)
        + text[start.index : end.index].rstrip()
        + "\n"
    )


def _compose(data: str) -> list[yaml.Node | None]:
    depth = 0
    for event in yaml.parse(data, Loader=yaml.SafeLoader):
        # Aliases are refused: definitions have no use for them and they can blow up.
        if isinstance(event, yaml.AliasEvent):
            raise yaml.MarkedYAMLError(problem="aliases (*name) are not taken", problem_mark=event.start_mark)
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth > MAX_NESTING:
            raise yaml.MarkedYAMLError(problem=f"is nested deeper than {MAX_NESTING}", problem_mark=event.start_mark)
    return list(yaml.compose_all(data, Loader=yaml.SafeLoader))


def _parse_node(node: yaml.Node, file: str) -> tuple[AnyDefinition | None, list[DefinitionError]]:
    line = node.start_mark.line + 1
    try:
        content: Any = _construct(node)
    except (yaml.YAMLError, ValueError, TypeError, OverflowError) as error:
        mark = getattr(error, "problem_mark", None)
        return None, [
            DefinitionError(file, mark.line + 1 if mark else line, "", str(getattr(error, "problem", None) or error))
        ]
    return _validated(content, file, lambda location: _line(node, location))


def parse_object(content: Any, file: str = "") -> tuple[AnyDefinition | None, list[DefinitionError]]:
    """The same for one object as the Kubernetes API gives it: no lines, and `status` is passed over."""
    return _validated(content, file, lambda _: 0)


def _validated(
    content: Any, file: str, line_of: Callable[[tuple[int | str, ...]], int]
) -> tuple[AnyDefinition | None, list[DefinitionError]]:
    line = line_of(())
    if not isinstance(content, dict):
        return None, [DefinitionError(file, line, "", "is not a mapping with apiVersion, kind, metadata and spec")]
    if not content.keys() & {"apiVersion", "kind", "metadata", "spec"}:
        return None, []  # other YAML that lies beside definitions, such as values of a chart
    group, kind = str(content.get("apiVersion", "")), str(content.get("kind", ""))
    model = _MODELS.get((group, kind))
    metadata = content.get("metadata")
    name = str(metadata.get("name", "")) if isinstance(metadata, dict) else ""
    if model is None:
        if group in _OURS or not group or not kind:
            reason = f"there is no kind {kind!r} in apiVersion {group!r}"
            return None, [DefinitionError(file, line, "kind", reason, kind or "?", name or "?")]
        return None, []
    try:
        return model.model_validate({key: value for key, value in content.items() if key != "status"}), []
    except ValidationError as error:
        return None, [
            DefinitionError(file, line_of(found["loc"]), _dotted(found["loc"]), _reason(found), kind, name)
            for found in error.errors(include_url=False, include_context=False)
        ]


def _construct(node: yaml.Node) -> Any:
    loader = yaml.SafeLoader("")
    try:
        return loader.construct_document(node)
    finally:
        loader.dispose()


def _reason(found: Any) -> str:
    if found["type"] == "extra_forbidden":
        return "there is no such field"
    message = str(found["msg"]).removeprefix("Value error, ")
    return message[0].lower() + message[1:]


def _dotted(location: tuple[int | str, ...]) -> str:
    text = ""
    for part in location:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return text


def _line(node: yaml.Node, location: tuple[int | str, ...]) -> int:
    """Line of the deepest node that the location reaches."""
    line = int(node.start_mark.line)
    for part in location:
        if isinstance(node, yaml.MappingNode):
            pair = next(((key, value) for key, value in node.value if key.value == part), None)
            if pair is None:
                break
            line, node = int(pair[0].start_mark.line), pair[1]
        elif isinstance(node, yaml.SequenceNode) and isinstance(part, int) and part < len(node.value):
            node = node.value[part]
            line = int(node.start_mark.line)
    return line + 1
