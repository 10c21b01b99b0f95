"""Header blocks of one HTTP/2 connection, decoded by `hpack` once as long as they mean the same.

What a block means depends on its bytes and on the connection's dynamic table. The table counts its changes, and whatever is
remembered is forgotten with the first one. Deadlines differ from call to call, so a block that ends with one as a plain literal, as
ours do, is looked up without it.
"""

from collections.abc import Callable
from typing import NamedTuple

import hpack
from hpack.table import HeaderTable

Fields = tuple[tuple[bytes, bytes], ...]
TIMEOUT = b"grpc-timeout"
_LITERAL = b"\x00" + bytes((len(TIMEOUT),)) + TIMEOUT
_REMEMBERED = 256
_LONGEST = 96 * 1024
_FIELD_SIZE = 32
_TIMEOUT_SIZE = len(TIMEOUT) + _FIELD_SIZE


class _CountedTable(HeaderTable):
    """Counts whatever may change what an index means. Its content can't say so: a new entry may lie where a dropped one lay."""

    def __init__(self) -> None:
        super().__init__()
        self.changes = 0

    def add(self, name: bytes, value: bytes) -> None:
        self.changes += 1
        super().add(name, value)

    @property
    def maxsize(self) -> int:
        return self._maxsize

    @maxsize.setter
    def maxsize(self, newmax: int) -> None:
        self.changes += 1
        _set_size(self, newmax)


def _set_size(table: HeaderTable, size: int) -> None:
    setter = HeaderTable.maxsize.fset  # type: ignore[attr-defined]  # a property, which hpack's types do not show
    setter(table, size)


class Block(NamedTuple):
    """A header block that was read: its fields, what is wrong with them (or None), and their size as RFC 9113 counts it.

    length: bytes that the body must have, where the fields say so and have no flaw.
    """

    fields: Fields
    flaw: str | None
    size: int
    length: int | None = None

    @property
    def has_status(self) -> bool:
        """Whether it begins an answer."""
        return bool(self.fields) and self.fields[0][0] == b":status"


Judge = Callable[[Fields], str | None]


class HeaderBlocks:
    """Decodes blocks in the order of their arrival. Raises hpack.HPACKError; the connection cannot go on after one."""

    def __init__(self, judge: Judge) -> None:
        """judge: what is wrong with the fields of a block, asked once for what is remembered."""
        self._decoder = hpack.Decoder(max_header_list_size=_LONGEST)
        self._table = self._decoder.header_table = _CountedTable()
        self._judge = judge
        self._known: dict[bytes, Block] = {}

    def decode(self, block: bytes) -> Block:
        """All fields of a block."""
        known = self._known.get(block)
        if known is not None:
            return known
        at = block.rfind(_LITERAL)
        if at > 0 and (known := self._known.get(block[:at])) is not None:
            start = at + len(_LITERAL) + 1
            size, timeout = block[start - 1], block[start:]
            if size < 127 and size == len(timeout) and timeout.isalnum():
                fields = (*known.fields, (TIMEOUT, timeout))
                return Block(fields, known.flaw, known.size + _TIMEOUT_SIZE + size, known.length)
        before = self._table.changes
        found, secret = self._decode(block)
        if self._table.changes != before:
            self._known.clear()
        elif not secret:
            self._remember(block, at, found)
        return found

    def _remember(self, block: bytes, at: int, found: Block) -> None:
        """Only blocks that leave the table as it is come here; one is kept whole, or up to where a deadline seems to begin."""
        if at > 0:
            block = block[:at]
            try:
                found, _ = self._decode(block)
            except hpack.HPACKError:
                return  # what looked like a field's beginning lay inside of another
        if len(self._known) >= _REMEMBERED:
            self._known.clear()
        self._known[block] = found

    def _decode(self, block: bytes) -> tuple[Block, bool]:
        """(the block, whether one of its fields is marked by the peer as never to be kept in a table)."""
        found = self._decoder.decode(block, raw=True)
        fields = tuple((bytes(name), bytes(value)) for name, value in found)
        size = sum(len(name) + len(value) + _FIELD_SIZE for name, value in fields)
        flaw = self._judge(fields)
        lengths = [int(value) for name, value in fields if name == b"content-length"] if flaw is None else []
        secret = not all(field.indexable for field in found)
        return Block(fields, flaw, size, lengths[0] if lengths else None), secret
