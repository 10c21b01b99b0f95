"""Header blocks of one HTTP/2 connection, decoded by `hpack` once as long as they mean the same.

What a block means depends on its bytes and on the connection's dynamic table. The table counts its changes, and whatever is
remembered is forgotten with the first one. Deadlines differ from call to call, so a block that ends with one as a plain literal, as
ours do, is looked up without it.
"""

import hpack
from hpack.table import HeaderTable

Fields = tuple[tuple[bytes, bytes], ...]
TIMEOUT = b"grpc-timeout"
_LITERAL = b"\x00" + bytes((len(TIMEOUT),)) + TIMEOUT
_REMEMBERED = 256
_LONGEST = 64 * 1024


class _CountedTable(HeaderTable):
    """Counts whatever may change what an index means. Its content can't say so: a new entry may lie where a dropped one lay."""

    def __init__(self) -> None:
        super().__init__()
        self.changes = 0

    def add(self, name: bytes, value: bytes) -> None:
        """See HeaderTable."""
        self.changes += 1
        super().add(name, value)

    @property
    def maxsize(self) -> int:
        """See HeaderTable."""
        return self._maxsize

    @maxsize.setter
    def maxsize(self, newmax: int) -> None:
        self.changes += 1
        _set_size(self, newmax)


def _set_size(table: HeaderTable, size: int) -> None:
    setter = HeaderTable.maxsize.fset  # type: ignore[attr-defined]  # a property, which hpack's types do not show
    setter(table, size)


class HeaderBlocks:
    """Decodes blocks in the order of their arrival. Raises hpack.HPACKError; the connection cannot go on after one."""

    def __init__(self) -> None:
        self._decoder = hpack.Decoder(max_header_list_size=_LONGEST)
        self._table = self._decoder.header_table = _CountedTable()
        self._known: dict[bytes, Fields] = {}

    def decode(self, block: bytes) -> Fields:
        """All fields of a block."""
        known = self._known.get(block)
        if known is not None:
            return known
        at = block.rfind(_LITERAL)
        if at > 0 and (known := self._known.get(block[:at])) is not None:
            start = at + len(_LITERAL) + 1
            size = block[start - 1]
            if size < 127 and start + size == len(block):
                return (*known, (TIMEOUT, block[start:]))
        before = self._table.changes
        fields, secret = self._decode(block)
        if self._table.changes != before:
            self._known.clear()
        elif not secret:
            self._remember(block, at, fields)
        return fields

    def _remember(self, block: bytes, at: int, fields: Fields) -> None:
        """Only blocks that leave the table as it is come here; one is kept whole, or up to where a deadline seems to begin."""
        if at > 0:
            block = block[:at]
            try:
                fields, _ = self._decode(block)
            except hpack.HPACKError:
                return  # what looked like a field's beginning lay inside of another
        if len(self._known) >= _REMEMBERED:
            self._known.clear()
        self._known[block] = fields

    def _decode(self, block: bytes) -> tuple[Fields, bool]:
        """(the fields, whether one of them is marked by the peer as never to be kept in a table)."""
        found = self._decoder.decode(block, raw=True)
        fields = tuple((bytes(name), bytes(value)) for name, value in found)
        return fields, not all(field.indexable for field in found)
