"""Packed rows: one binary value per (tenant, entity, view), little-endian.

    header    u8 layout: 4, or 5 where a value is null · i56 event timestamp (µs UTC) · u32 low half of the schema hash
    fixed     columns by descending width; a text column is its length in bytes (u32) here
    nulls     in layout 5 only: one bit a column in packed order, 1 = null
    variable  the texts' UTF-8, in packed order
    checksum  u32, the CRC-32 of all bytes before

Rows of layouts 2 and 3, which are the same without a checksum, are read and no longer written.

Columns of one width lie together, so that a batch of rows becomes columns by one transposition, without touching values. The header
is small because it is paid for in every row: the layout and the timestamp are one int64, and most rows have no null.
"""

import hashlib
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

UNSUMMED, UNSUMMED_WITH_NULLS, WHOLE, WITH_NULLS = 2, 3, 4, 5
_LAYOUTS = range(UNSUMMED, WITH_NULLS + 1)
_SUMMED = (WHOLE, WITH_NULLS)
_SUM_BYTES = 4
_INTACT = 0x2144DF1C  # the CRC-32 of anything that is followed by its own CRC-32
HEADER = struct.Struct("<qI")
HASH_AT = 8
# No event timestamp reaches it: 56 bits are the years 829 to 3111.
NEVER_US = -(2**55)
TEXT = "text"
_HASH_MASK = 2**32 - 1


@dataclass(frozen=True, slots=True)
class Group:
    """Columns of one width: bytes [start, start + width·len(columns)) of a row."""

    width: int
    start: int
    columns: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Run:
    """Columns that lie one after the other in a row and are of one width: bytes [start, start + width·count)."""

    width: int
    start: int
    count: int


class Decoded:
    """A batch of rows by column, in declared order. A row that isn't there has the timestamp NEVER_US.

    `fixed` holds the rows' fixed parts, one every `pitch` bytes; columns are cut out of it when asked for. `damaged` marks rows
    whose bytes are not those that were written; None where there is none.
    """

    __slots__ = (
        "_raws",
        "damaged",
        "fixed",
        "layout",
        "mismatched",
        "nulls",
        "pitch",
        "rows",
        "texts",
        "timestamps_us",
    )

    def __init__(self, layout: "Layout", fixed: bytes, rows: int, pitch: int, mismatched: int = 0) -> None:
        self.layout = layout
        self.fixed = fixed
        self.rows = rows
        self.pitch = pitch
        self.timestamps_us: NDArray[np.int64] = np.ndarray((rows,), "<i8", fixed, 0, (pitch,)) >> 8
        self.damaged: NDArray[np.bool_] | None = None
        self.texts: dict[int, list[str]] = {}
        self.nulls: NDArray[np.bool_] | None = None
        self.mismatched = mismatched
        self._raws: list[bytes] | None = None

    @property
    def raws(self) -> list[bytes]:
        """Each column, little-endian and dense."""
        if self._raws is None:
            self._raws = self.layout.cut(self.fixed, self.rows, self.pitch)
        return self._raws

    def block(self, run: Run) -> bytes:
        """The columns of a run, one after the other."""
        shape, strides = (run.count, self.rows), (run.width, self.pitch)
        return np.ndarray(shape, f"<u{run.width}", self.fixed, run.start, strides).tobytes()


def schema_hash(columns: Sequence[tuple[str, str]]) -> int:
    """64 bits over the (name, type) pairs in order."""
    text = "\n".join(f"{name} {dtype}" for name, dtype in columns)
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "little")


def event_timestamp_us(row: bytes) -> int:
    """A packed row's, microseconds UTC; NEVER_US for anything else."""
    if len(row) < HEADER.size or row[0] not in _LAYOUTS:
        return NEVER_US
    return int.from_bytes(row[1:HASH_AT], "little", signed=True)


class Layout:
    """How the stored columns of one view are packed.

    `columns` are (name, type, NumPy type) in declared order; the NumPy type is TEXT for text.
    """

    def __init__(self, columns: Sequence[tuple[str, str, str]]) -> None:
        self.count = len(columns)
        self.schema_hash = schema_hash([(name, dtype) for name, dtype, _ in columns])
        self._types = [np.dtype("<u4") if kind == TEXT else np.dtype(kind) for _, _, kind in columns]
        self.texts = tuple(i for i, (_, _, kind) in enumerate(columns) if kind == TEXT)
        self._bitmap = (self.count + 7) // 8
        self._order = sorted(range(self.count), key=lambda i: -self._types[i].itemsize)
        self.groups = self._grouped()
        self.fixed = HEADER.size + sum(kind.itemsize for kind in self._types)
        self._hash = (self.schema_hash & _HASH_MASK).to_bytes(4, "little")
        self._hash_number = self.schema_hash & _HASH_MASK
        # Two objects with the same bytes: which of them stands for a row says why the row isn't there.
        self._absent, self._damaged = (
            HEADER.pack(NEVER_US << 8 | UNSUMMED, self._hash_number) + bytes(self.fixed - HEADER.size) for _ in range(2)
        )
        self._whole_size = self.fixed + _SUM_BYTES
        self._spans = self._single_spans()

    def _grouped(self) -> tuple[Group, ...]:
        groups: list[Group] = []
        start = HEADER.size
        for width in sorted({kind.itemsize for kind in self._types}, reverse=True):
            members = tuple(i for i in self._order if self._types[i].itemsize == width)
            groups.append(Group(width, start, members))
            start += width * len(members)
        return tuple(groups)

    def _single_spans(self) -> list[slice]:
        spans = [slice(0, 0)] * self.count
        for group in self.groups:
            for place, column in enumerate(group.columns):
                at = group.start + place * group.width
                spans[column] = slice(at, at + group.width)
        return spans

    def run(self, column: int) -> Run:
        """Where one column lies."""
        span = self._spans[column]
        return Run(span.stop - span.start, span.start, 1)

    def whole(self, row: bytes | None) -> int | None:
        """The event timestamp of a row of this layout without nulls and texts, microseconds UTC; None for any other."""
        if row is None or len(row) != self._whole_size or row[0] != WHOLE or row[HASH_AT : HEADER.size] != self._hash:
            return None
        if crc32(row) != _INTACT:
            return None
        return int.from_bytes(row[1:HASH_AT], "little", signed=True)

    def encode(
        self,
        timestamps_us: NDArray[np.int64],
        columns: Sequence[NDArray[np.generic] | Sequence[str]],
        nulls: Sequence[NDArray[np.bool_] | None],
    ) -> list[bytes]:
        """Packs rows: columns in declared order, one element a row; a null's element is ignored.

        Event timestamps lie between NEVER_US and -NEVER_US.
        """
        rows = len(timestamps_us)
        gone = self._pack_nulls(nulls, rows)
        has_null: Any = gone.any(axis=1)
        fixed = np.zeros((rows, self.fixed), np.uint8)
        stamps = (timestamps_us.astype(np.int64) << 8) | np.where(has_null, WITH_NULLS, WHOLE)
        fixed[:, :HASH_AT] = _as_bytes(stamps, np.dtype("<i8"))
        fixed[:, HASH_AT : HEADER.size] = np.frombuffer(self._hash, np.uint8)
        variable = [_encode_texts(columns[i], nulls[i]) if i in self.texts else None for i in range(self.count)]
        for column, span in enumerate(self._spans):
            texts, null = variable[column], nulls[column]
            values = np.asarray(columns[column] if texts is None else [len(text) for text in texts])
            kind = self._types[column]
            if null is not None and texts is None:
                values = np.where(null, np.zeros((), kind), values)
            fixed[:, span] = _as_bytes(values, kind)
        data = fixed.tobytes()
        parts = [[data[at : at + self.fixed] for at in range(0, rows * self.fixed, self.fixed)]]
        if has_null.any():
            bits = zip(gone, has_null.tolist(), strict=True)
            parts.append([one.tobytes() if has else b"" for one, has in bits])
        parts += [texts for i in self._order if (texts := variable[i]) is not None]
        packed = parts[0] if len(parts) == 1 else [b"".join(pieces) for pieces in zip(*parts, strict=True)]
        return [row + crc32(row).to_bytes(_SUM_BYTES, "little") for row in packed]

    def _pack_nulls(self, nulls: Sequence[NDArray[np.bool_] | None], rows: int) -> NDArray[np.uint8]:
        matrix = np.zeros((rows, self.count), np.bool_)
        for place, column in enumerate(self._order):
            mask = nulls[column]
            if mask is not None:
                matrix[:, place] = mask
        return np.packbits(matrix, axis=1, bitorder="little")

    def decode(self, rows: Sequence[bytes | None]) -> Decoded:
        """Unpacks rows by column. None, rows of another layout and damaged rows count as not there."""
        if not self.texts and (joined := self._joined(rows)) is not None:
            return Decoded(self, joined, len(rows), self._whole_size)
        known = [self._known(row) for row in rows]
        mismatched = sum(row is not None and own is self._absent for row, own in zip(rows, known, strict=True))
        decoded = Decoded(self, b"".join([row[: self.fixed] for row in known]), len(rows), self.fixed, mismatched)
        if any(own is self._damaged for own in known):
            decoded.damaged = np.array([own is self._damaged for own in known])
        decoded.nulls = self._unpack_nulls(known)
        if self.texts:
            self._decode_texts(known, decoded)
        return decoded

    def _joined(self, rows: Sequence[bytes | None]) -> bytes | None:
        """All rows one after the other when all are there, intact, without nulls and of this layout."""
        size = self._whole_size
        try:
            if set(map(len, rows)) != {size} or set(map(crc32, rows)) != {_INTACT}:  # type: ignore[arg-type]  # None has no length
                return None
        except TypeError:
            return None
        joined: bytes = b"".join(rows)  # type: ignore[arg-type]  # None left above
        hashes = np.ndarray((len(rows),), "<u4", joined, HASH_AT, (size,))
        is_whole = hashes.tobytes() == self._hash * len(rows) and joined[::size] == bytes((WHOLE,)) * len(rows)
        return joined if is_whole else None

    def _known(self, row: bytes | None) -> bytes:
        """The row without its checksum, `_damaged`, or `_absent` when it isn't one of this layout."""
        if row is None:
            return self._absent
        if not is_intact(row):
            return self._damaged
        if row[HASH_AT : HEADER.size] != self._hash or row[0] not in _LAYOUTS:
            return self._absent
        body = row[:-_SUM_BYTES] if row[0] in _SUMMED else row
        if len(body) < self.fixed:
            return self._absent
        size = self._texts_at(body)
        if self.texts:
            size += sum(int.from_bytes(body[self._spans[i]], "little") for i in self.texts)
        return body if len(body) == size else self._absent

    def _texts_at(self, row: bytes) -> int:
        return self.fixed + (self._bitmap if _has_nulls(row) else 0)

    def cut(self, fixed: bytes, rows: int, pitch: int) -> list[bytes]:
        """Each column of rows whose fixed parts lie `pitch` bytes apart."""
        if rows == 1:
            return [fixed[span] for span in self._spans]
        raws: list[bytes] = [b""] * self.count
        for width, start, columns in ((group.width, group.start, group.columns) for group in self.groups):
            block = np.ndarray((len(columns), rows), f"<u{width}", fixed, start, (width, pitch)).tobytes()
            step = width * rows
            for place, column in enumerate(columns):
                raws[column] = block[place * step : (place + 1) * step]
        return raws

    def _unpack_nulls(self, rows: Sequence[bytes]) -> NDArray[np.bool_] | None:
        """One row of bools a row, in declared order; None where no value is null."""
        places = [place for place, row in enumerate(rows) if _has_nulls(row)]
        if not places:
            return None
        joined = b"".join([rows[place][self.fixed : self.fixed + self._bitmap] for place in places])
        bits = np.frombuffer(joined, np.uint8).reshape(len(places), self._bitmap)
        packed_order = np.unpackbits(bits, axis=1, count=self.count, bitorder="little").astype(np.bool_)
        nulls = np.zeros((len(rows), self.count), np.bool_)
        nulls[np.ix_(places, self._order)] = packed_order
        return nulls

    def _decode_texts(self, rows: Sequence[bytes], decoded: Decoded) -> None:
        at = [self._texts_at(row) for row in rows]
        for column in (i for i in self._order if i in self.texts):
            lengths = np.frombuffer(decoded.raws[column], "<u4").tolist()
            ends = [start + length for start, length in zip(at, lengths, strict=True)]
            decoded.texts[column] = [row[start:end].decode() for row, start, end in zip(rows, at, ends, strict=True)]
            at = ends


def is_intact(row: bytes) -> bool:
    """Whether a stored row may be what was written. Rows without a checksum may, unless only their first byte says that they
    are such rows: with the layout of a row with a checksum, the checksum would be right."""
    if len(row) < HEADER.size:
        return False
    if row[0] in _SUMMED:
        return crc32(row) == _INTACT
    return all(crc32(row[1:], crc32(bytes((layout,)))) != _INTACT for layout in _SUMMED)


def _has_nulls(row: bytes) -> bool:
    return row[0] in (UNSUMMED_WITH_NULLS, WITH_NULLS)


def _as_bytes(values: NDArray[np.generic], kind: np.dtype[np.generic]) -> NDArray[np.uint8]:
    return np.ascontiguousarray(values, kind).view(np.uint8).reshape(len(values), kind.itemsize)


def _encode_texts(texts: NDArray[np.generic] | Sequence[str], nulls: NDArray[np.bool_] | None) -> list[bytes]:
    if nulls is None:
        return [str(text).encode() for text in texts]
    return [b"" if null else str(text).encode() for text, null in zip(texts, nulls.tolist(), strict=True)]
