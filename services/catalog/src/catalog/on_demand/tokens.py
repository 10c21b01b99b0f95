"""SQL text → tokens."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum


class Shape(StrEnum):
    """What a token is."""

    NUMBER = "number"
    TEXT = "text"
    NAME = "name"
    WORD = "word"
    SIGN = "sign"
    END = "end"


@dataclass(frozen=True, slots=True)
class Token:
    """`text` is what it says (a name without its quotes, a keyword in lower case), `at` where it starts, in characters."""

    shape: Shape
    text: str
    at: int


WORDS = frozenset({"and", "or", "not", "is", "null", "true", "false", "case", "when", "then", "else", "end"})
_PATTERN = re.compile(
    r"(?P<space>\s+|--[^\n]*|/\*.*?\*/)"
    r"|(?P<number>(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?(?![A-Za-z0-9_.]))"
    r"|'(?P<text>(?:[^']|'')*)'"
    r'|"(?P<quoted>(?:[^"]|"")*)"'
    r"|(?P<name>[A-Za-z_][A-Za-z0-9_]*)"
    r"|(?P<sign><>|!=|<=|>=|==|\*\*|//|\|\||::|->>?|[^\s\w])"
    r"|(?P<other>\S+)",
    re.DOTALL,
)


def tokens(text: str) -> Iterator[Token]:
    """All tokens, an END last. Comments and space are passed over; what SQL doesn't know is a SIGN."""
    for match in _PATTERN.finditer(text):
        kind, found, at = match.lastgroup, match.group(), match.start()
        if kind == "number":
            yield Token(Shape.NUMBER, found, at)
        elif kind == "text":
            yield Token(Shape.TEXT, match["text"].replace("''", "'"), at)
        elif kind == "quoted":
            yield Token(Shape.NAME, match["quoted"].replace('""', '"'), at)
        elif kind == "name":
            lower = found.lower()
            yield Token(Shape.WORD if lower in WORDS else Shape.NAME, lower, at)
        elif kind in ("sign", "other"):
            yield Token(Shape.SIGN, found, at)
    yield Token(Shape.END, "", len(text))
