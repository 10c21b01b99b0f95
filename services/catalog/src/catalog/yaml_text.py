"""YAML text → nodes, within limits; places of fields in them."""

import codecs
from collections.abc import Iterator
from typing import Any

import yaml

from catalog.fields import Location

MAX_NESTING = 64
_NOTHING = "tag:yaml.org,2002:null"  # a document with nothing in it


def decoded(data: bytes) -> str:
    """As YAML has it: UTF-16 with a byte order mark, else UTF-8."""
    utf_16 = data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    return data.decode("utf-16" if utf_16 else "utf-8-sig")


def documents(text: str) -> list[yaml.Node]:
    """The documents that hold something. YAMLError for what is no YAML, has aliases or is nested too deeply."""
    depth = 0
    for event in yaml.parse(text, Loader=yaml.SafeLoader):
        # Aliases are refused: definitions have no use for them and they can blow up.
        if isinstance(event, yaml.AliasEvent):
            raise yaml.MarkedYAMLError(problem="aliases (*name) are not taken", problem_mark=event.start_mark)
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth > MAX_NESTING:
            raise yaml.MarkedYAMLError(problem=f"is nested deeper than {MAX_NESTING}", problem_mark=event.start_mark)
    return [
        node for node in yaml.compose_all(text, Loader=yaml.SafeLoader) if node is not None and node.tag != _NOTHING
    ]


def written(text: str, node: yaml.Node) -> str:
    """The text of a document's node. Its first line keeps its indentation, which all others share."""
    start, end = node.start_mark, node.end_mark
    indented = "" if getattr(node, "flow_style", False) else " " * start.column
    return indented + text[start.index : end.index].rstrip() + "\n"


def content_of(node: yaml.Node) -> Any:
    """The node as Python has it. YAMLError or ValueError for what can't be."""
    loader = yaml.SafeLoader("")
    try:
        return loader.construct_document(node)
    finally:
        loader.dispose()


def keys_twice(node: yaml.Node, at: Location = ()) -> Iterator[tuple[Location, int, int]]:
    """(field, line of the first, line of the second) of each key that one mapping has twice; YAML would keep the last."""
    if isinstance(node, yaml.SequenceNode):
        for place, entry in enumerate(node.value):
            yield from keys_twice(entry, (*at, place))
    if isinstance(node, yaml.MappingNode):
        firsts: dict[str, int] = {}
        for key, value in node.value:
            name, line = str(key.value), int(key.start_mark.line) + 1
            if name in firsts:
                yield (*at, name), firsts[name], line
            firsts.setdefault(name, line)
            yield from keys_twice(value, (*at, name))


def dotted(location: Location) -> str:
    """`spec.features[0].name`."""
    text = ""
    for part in location:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return text


def line_of(node: yaml.Node, location: Location, in_text: int | None = None) -> int:
    """Line of the deepest node that the location reaches, from 1. `in_text`: of that line of its text, from 0."""
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
    if in_text is not None and isinstance(node, yaml.ScalarNode):
        # The text of a block (| or >) begins on the line after its sign.
        line = int(node.start_mark.line) + in_text + (1 if node.style in ("|", ">") else 0)
        line = min(line, int(node.end_mark.line))
    return line + 1
