"""Units of text that can be quoted: sentences, list items, table rows, code blocks, each with its lines."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

MAX_UNIT = 400
MIN_UNIT = 20

_FENCE = re.compile(r"^\s{0,3}(```|~~~)")
_ITEM = re.compile(r"^\s*(?:[-*+]|\d+[.)])\s+")
_HEADING = re.compile(r"^\s{0,3}#{1,6}\s")
_LINK = re.compile(r"!?\[([^\]]*)\]\([^)\n]*\)")
_RULE = re.compile(r"^[\s|:=*_-]*$")
_SENTENCE_END = re.compile(r"(?<=[.!?])[\"')\]]*\s+(?=[\"'(\[`*]*[A-Z0-9])")


@dataclass(frozen=True, slots=True)
class Unit:
    """A quotable piece: its text on one line (code keeps its lines), first and last line counted from 0."""

    text: str
    first: int
    last: int


def units(text: str) -> list[Unit]:
    """The quotable pieces of a chunk in order. Headings and rules are none; short fragments are left out."""
    found: list[Unit] = []
    for block in _blocks(text.split("\n")):
        found.extend(_sentences(block))
    return [unit for unit in found if len(unit.text) >= MIN_UNIT]


def without_targets(text: str) -> str:
    """Markdown text whose links are their words only: targets are noise to words and vectors alike."""
    return _LINK.sub(r"\1", text)


def _blocks(lines: list[str]) -> Iterator[list[tuple[int, str]]]:
    """Lines that belong together: a paragraph, a list item with what hangs on it, a table row, a code block."""
    block: list[tuple[int, str]] = []
    fenced = False
    for number, line in enumerate(lines):
        fence = bool(_FENCE.match(line))
        if fenced or fence:
            if fence and not fenced and block:
                yield block
                block = []
            block.append((number, line))
            if fence and fenced:
                yield block
                block = []
            fenced = fenced != fence
            continue
        alone = _HEADING.match(line) or line.lstrip().startswith("|")
        if block and (alone or not line.strip() or _ITEM.match(line)):
            yield block
            block = []
        if alone and not _HEADING.match(line):
            yield [(number, _cells(line))]
        elif not alone and not _RULE.match(line):
            block.append((number, line))
    if block:
        yield block


def _cells(row: str) -> str:
    return " | ".join(cell.strip() for cell in row.strip().strip("|").split("|"))


def _sentences(block: list[tuple[int, str]]) -> Iterator[Unit]:
    if _FENCE.match(block[0][1]):
        body = [line for _, line in block if not _FENCE.match(line)]
        yield Unit("\n".join(body).strip("\n")[:MAX_UNIT], block[0][0], block[-1][0])
        return
    text, places = "", []
    for number, line in block:
        piece = line.strip() if not text else " " + line.strip()
        places += [number] * len(piece)
        text += piece
    start = 0
    ends = [match.end() for match in _SENTENCE_END.finditer(text)] + [len(text)]
    for end in ends:
        sentence = without_targets(text[start:end]).strip()
        if sentence and not _RULE.match(sentence):
            yield Unit(sentence[:MAX_UNIT], places[start], places[end - 1])
        start = end
