"""Which path of the table a request names: one look-up a segment.

The target is split at its slashes first, then each segment is percent-decoded alone, once. So `x%3Apredict` is `x:predict`, a `%2F`
is part of a name or an id and never a border between segments, and nothing else is normalised: no case, no dots, no empty segments.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Generic, Protocol, TypeVar
from urllib.parse import unquote_to_bytes

from chassis.errors import InvalidArgument
from gateway.domain.retrieve import MAX_ID

# What names of endpoints, collections, models and versions are made of.
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")


class Row(Protocol):
    """A row of the table: `template` has `{name}` for a name in a segment, and may end in `/{id}`, which takes all that is left."""

    @property
    def method(self) -> str:
        """HTTP's."""

    @property
    def template(self) -> str:
        """`/v1/endpoints/{name}:predict`."""


R = TypeVar("R", bound=Row)


@dataclass(slots=True)
class Node(Generic[R]):
    """What a path's beginning leads to: the rows that end here, by method, and what may follow."""

    rows: dict[str, R] = field(default_factory=dict)
    names: tuple[str, ...] = ()
    literal: "dict[str, Node[R]]" = field(default_factory=dict)
    # What follows a name: "" for the bare name, else the verb after its colon.
    named: "dict[str, Node[R]]" = field(default_factory=dict)
    tail: "Node[R] | None" = None

    @property
    def allow(self) -> str:
        """The Allow header."""
        return ", ".join(sorted({*self.rows, "OPTIONS"}))


class PathTree(Generic[R]):
    """All rows of a table."""

    def __init__(self, rows: Sequence[R]) -> None:
        """ValueError for a row that comes twice."""
        self._root: Node[R] = Node()
        for row in rows:
            self._add(row)

    def _add(self, row: R) -> None:
        node, names = self._root, []
        for segment in row.template.split("/")[1:]:
            parameter = re.fullmatch(r"\{(\w+)\}(?::(\w+))?", segment)
            if parameter is None:
                node = node.literal.setdefault(segment, Node())
                continue
            names.append(parameter[1])
            if parameter[1] == "id":
                node.tail = node = node.tail or Node()
            else:
                node = node.named.setdefault(parameter[2] or "", Node())
        for method in ("GET", "HEAD") if row.method == "GET" else (row.method,):
            if method in node.rows:
                raise ValueError(f"{method} {row.template} comes twice")
            node.rows[method] = row
        node.names = tuple(names)

    def find(self, raw_path: bytes) -> tuple[Node[R], Mapping[str, str]] | None:
        """The node of a target's path and the values of its parameters; None where the table has no such path.

        InvalidArgument when the path is not UTF-8 after decoding.
        """
        segments = segments_of(raw_path)
        node, values = self._root, []
        for index, segment in enumerate(segments):
            if node.tail is not None:
                node = node.tail
                values.append("/".join(segments[index:]))
                if not 1 <= len(values[-1]) <= MAX_ID or "\0" in values[-1]:
                    return None
                break
            below = node.literal.get(segment)
            if below is None:
                name, colon, verb = segment.partition(":")
                below = node.named.get(verb)
                if below is None or (colon and not verb) or NAME.fullmatch(name) is None:
                    return None
                values.append(name)
            node = below
        return (node, dict(zip(node.names, values, strict=True))) if node.rows else None


def segments_of(raw_path: bytes) -> list[str]:
    """The decoded segments after the first slash."""
    if not raw_path.startswith(b"/"):
        return []
    try:
        if b"%" not in raw_path:
            return raw_path.decode("ascii").split("/")[1:]
        return [unquote_to_bytes(segment).decode() for segment in raw_path.split(b"/")[1:]]
    except UnicodeDecodeError:
        message = "the path is not UTF-8 once its percent-encoding is taken away"
        raise InvalidArgument(message, reason="INVALID_PATH", field="path") from None
