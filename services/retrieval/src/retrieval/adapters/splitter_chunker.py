"""Cuts documents with semantic-text-splitter: along headings, paragraphs and sentences, never inside a word."""

import asyncio
import re
from bisect import bisect_right
from collections.abc import Sequence

from semantic_text_splitter import MarkdownSplitter, TextSplitter

from retrieval.domain.model import Chunk, DocumentInput

_HEADING = re.compile(r"^(#{1,6})\s+(.+?)\s*#*$")
_FENCE = re.compile(r"^\s{0,3}(```|~~~)")


class SplitterChunker:
    """Chunker. Runs in a thread: a large document takes milliseconds."""

    async def chunks(self, document: DocumentInput, max_characters: int, overlap_characters: int) -> Sequence[Chunk]:
        return await asyncio.to_thread(cut, document.text, document.media_type, max_characters, overlap_characters)


def cut(text: str, media_type: str, max_characters: int, overlap_characters: int) -> list[Chunk]:
    """The chunks of one text, in order, with the lines that they start and end on."""
    overlap = min(overlap_characters, max_characters // 2)
    markdown = media_type == "text/markdown"
    splitter = MarkdownSplitter(max_characters, overlap) if markdown else TextSplitter(max_characters, overlap)
    starts = _line_starts(text)
    headings = _headings(text) if markdown else []
    chunks: list[Chunk] = []
    for offset, piece in splitter.chunk_indices(text):
        first = bisect_right(starts, offset)
        last = bisect_right(starts, offset + len(piece) - 1)
        chunks.append(Chunk(len(chunks), _path(headings, first), piece, first, last))
    return chunks


def _line_starts(text: str) -> list[int]:
    return [0, *(match.end() for match in re.finditer("\n", text))]


def _headings(text: str) -> list[tuple[int, int, str]]:
    """(line, level, words) of each heading outside of code."""
    found: list[tuple[int, int, str]] = []
    fenced = False
    for number, line in enumerate(text.split("\n"), start=1):
        if _FENCE.match(line):
            fenced = not fenced
        elif not fenced and (match := _HEADING.match(line)):
            found.append((number, len(match[1]), match[2]))
    return found


def _path(headings: list[tuple[int, int, str]], line: int) -> str:
    """The headings that stand over `line`, outermost first; one on the line itself is in the chunk's text."""
    path: list[tuple[int, str]] = []
    for number, level, words in headings:
        if number >= line:
            break
        path = [*(item for item in path if item[0] < level), (level, words)]
    return " > ".join(words for _, words in path)
