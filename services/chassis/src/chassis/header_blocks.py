"""Header blocks of one HTTP/2 connection, decoded by `hpack` once as long as they mean the same.

A block means what it meant before while the peer's table did not change; then its bytes are looked up. Deadlines differ from call
to call, so a block that ends with one as a plain literal, as ours do, is looked up without it.
"""

import hpack

Fields = tuple[tuple[bytes, bytes], ...]
TIMEOUT = b"grpc-timeout"
_LITERAL = b"\x00" + bytes((len(TIMEOUT),)) + TIMEOUT
_REMEMBERED = 256
_LONGEST = 64 * 1024


class HeaderBlocks:
    """Decodes blocks in the order of their arrival. Raises hpack.HPACKError."""

    def __init__(self) -> None:
        self._decoder = hpack.Decoder(max_header_list_size=_LONGEST)
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
        before = self._table()
        fields = self._decode(block)
        if self._table() != before:
            self._known.clear()
        else:
            self._remember(block if at <= 0 else block[:at])
        return fields

    def _remember(self, block: bytes) -> None:
        """Only blocks that leave the table as it is come here, whole or up to where a field seems to begin."""
        try:
            fields = self._decode(block)
        except hpack.HPACKError:
            return  # what looked like a field's beginning lay inside of another
        if len(self._known) >= _REMEMBERED:
            self._known.clear()
        self._known[block] = fields

    def _decode(self, block: bytes) -> Fields:
        return tuple((bytes(name), bytes(value)) for name, value in self._decoder.decode(block, raw=True))

    def _table(self) -> tuple[object, ...]:
        """Changes whenever the table does."""
        table = self._decoder.header_table
        entries = table.dynamic_entries
        return len(entries), id(entries[0]) if entries else 0, table.maxsize
