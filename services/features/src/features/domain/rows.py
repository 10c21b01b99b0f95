"""Packed rows: one binary value per (tenant, entity, view).

    header    u8 layout version · u8 0 · u16 columns · u64 schema hash · i64 event timestamp (µs UTC), little-endian
    nulls     one bit a column in packed order, 1 = null
    fixed     columns by descending width; a text column is its length in bytes (u32) here
    variable  the texts' UTF-8, in packed order

Columns of one width lie together, so that a batch of rows becomes columns by one transposition, without touching values.
"""

import hashlib
import struct
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

LAYOUT_VERSION = 1
TIMESTAMP_AT = 12
HEADER = struct.Struct("<BBHQq")
NEVER_US = -(2**63)
TEXT = "text"


@dataclass(frozen=True, slots=True)
class Group:
    """Columns of one width: bytes [start, start + width·len(columns)) of a row."""

    width: int
    start: int
    columns: tuple[int, ...]


@dataclass(slots=True)
class Decoded:
    """A batch of rows by column, in declared order. A row that isn't there has the timestamp NEVER_US."""

    timestamps_us: NDArray[np.int64]
    raws: list[bytes]
    texts: dict[int, list[str]]
    nulls: NDArray[np.bool_] | None
    mismatched: int


def schema_hash(columns: Sequence[tuple[str, str]]) -> int:
    """64 bits over the (name, type) pairs in order."""
    text = "\n".join(f"{name} {dtype}" for name, dtype in columns)
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "little")


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
        self.fixed = HEADER.size + self._bitmap + sum(kind.itemsize for kind in self._types)
        self._head = HEADER.pack(LAYOUT_VERSION, 0, self.count, self.schema_hash, 0)[:TIMESTAMP_AT]
        self._head_array = np.frombuffer(self._head, np.uint8)
        self._head_words = np.frombuffer(self._head, "<u4")
        self._absent = self._head + NEVER_US.to_bytes(8, "little", signed=True) + bytes(self.fixed - HEADER.size)
        self._nulls_at = slice(HEADER.size, HEADER.size + self._bitmap)
        self._no_nulls = bytes(self._bitmap)
        self._spans = self._single_spans()

    def _grouped(self) -> tuple[Group, ...]:
        groups: list[Group] = []
        start = HEADER.size + self._bitmap
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

    def encode(
        self,
        timestamps_us: NDArray[np.int64],
        columns: Sequence[NDArray[np.generic] | Sequence[str]],
        nulls: Sequence[NDArray[np.bool_] | None],
    ) -> list[bytes]:
        """Packs rows: columns in declared order, one element a row; a null's element is ignored."""
        rows = len(timestamps_us)
        fixed = np.zeros((rows, self.fixed), np.uint8)
        fixed[:, :TIMESTAMP_AT] = self._head_array
        fixed[:, TIMESTAMP_AT : HEADER.size] = _as_bytes(timestamps_us, np.dtype("<i8"))
        fixed[:, self._nulls_at] = self._pack_nulls(nulls, rows)
        variable = [_encode_texts(columns[i], nulls[i]) if i in self.texts else None for i in range(self.count)]
        for column, span in enumerate(self._spans):
            texts, null = variable[column], nulls[column]
            values = np.asarray(columns[column] if texts is None else [len(text) for text in texts])
            kind = self._types[column]
            if null is not None and texts is None:
                values = np.where(null, np.zeros((), kind), values)
            fixed[:, span] = _as_bytes(values, kind)
        data = fixed.tobytes()
        packed = [data[at : at + self.fixed] for at in range(0, rows * self.fixed, self.fixed)]
        ordered = [texts for i in self._order if (texts := variable[i]) is not None]
        if not ordered:
            return packed
        return [b"".join(parts) for parts in zip(packed, *ordered, strict=True)]

    def _pack_nulls(self, nulls: Sequence[NDArray[np.bool_] | None], rows: int) -> NDArray[np.uint8]:
        matrix = np.zeros((rows, self.count), np.bool_)
        for place, column in enumerate(self._order):
            mask = nulls[column]
            if mask is not None:
                matrix[:, place] = mask
        return np.packbits(matrix, axis=1, bitorder="little")

    def decode(self, rows: Sequence[bytes | None]) -> Decoded:
        """Unpacks rows by column. None and rows of another layout count as not there; the latter in `mismatched`."""
        if len(rows) == 1:
            row = rows[0]
            if row is not None and row[:TIMESTAMP_AT] == self._head and len(row) == self.fixed:
                return self._decode_one(row)
        if not self.texts:
            try:
                joined = b"".join(rows)  # type: ignore[arg-type]  # a None raises and takes the long way
            except TypeError:
                joined = b""
            if len(joined) == len(rows) * self.fixed:
                heads = np.ndarray((len(rows), TIMESTAMP_AT // 4), "<u4", joined, 0, (self.fixed, 4))
                if (heads == self._head_words).all():
                    return self._decode_joined(joined, len(rows), 0)
        known = [self._known(row) for row in rows]
        mismatched = sum(1 for row, own in zip(rows, known, strict=True) if row is not None and own is self._absent)
        if not self.texts:
            return self._decode_joined(b"".join(known), len(rows), mismatched)
        decoded = self._decode_joined(b"".join(row[: self.fixed] for row in known), len(rows), mismatched)
        self._decode_texts(known, decoded)
        return decoded

    def _known(self, row: bytes | None) -> bytes:
        if row is None or row[:TIMESTAMP_AT] != self._head or len(row) < self.fixed:
            return self._absent
        if self.texts:
            lengths = sum(int.from_bytes(row[self._spans[i]], "little") for i in self.texts)
            return row if len(row) == self.fixed + lengths else self._absent
        return row if len(row) == self.fixed else self._absent

    def _decode_one(self, row: bytes) -> Decoded:
        timestamps = np.frombuffer(row, "<i8", 1, TIMESTAMP_AT)
        raws = [row[span] for span in self._spans]
        nulls = None if row[self._nulls_at] == self._no_nulls else self._unpack_nulls(row, 1)
        return Decoded(timestamps, raws, {i: [""] for i in self.texts}, nulls, 0)

    def _decode_joined(self, joined: bytes, rows: int, mismatched: int) -> Decoded:
        timestamps = np.ndarray((rows,), "<i8", joined, TIMESTAMP_AT, (self.fixed,))
        raws: list[bytes] = [b""] * self.count
        for width, start, columns in ((group.width, group.start, group.columns) for group in self.groups):
            block = np.ndarray((len(columns), rows), f"<u{width}", joined, start, (width, self.fixed)).tobytes()
            step = width * rows
            for place, column in enumerate(columns):
                raws[column] = block[place * step : (place + 1) * step]
        return Decoded(timestamps, raws, {}, self._unpack_nulls(joined, rows), mismatched)

    def _unpack_nulls(self, joined: bytes, rows: int) -> NDArray[np.bool_] | None:
        bits = np.ndarray((rows, self._bitmap), np.uint8, joined, HEADER.size, (self.fixed, 1))
        if not bits.any():
            return None
        packed_order = np.unpackbits(bits, axis=1, count=self.count, bitorder="little").astype(np.bool_)
        nulls = np.empty_like(packed_order)
        nulls[:, self._order] = packed_order
        return nulls

    def _decode_texts(self, rows: Sequence[bytes], decoded: Decoded) -> None:
        at = [self.fixed] * len(rows)
        for column in (i for i in self._order if i in self.texts):
            lengths = np.frombuffer(decoded.raws[column], "<u4").tolist()
            ends = [start + length for start, length in zip(at, lengths, strict=True)]
            decoded.texts[column] = [row[start:end].decode() for row, start, end in zip(rows, at, ends, strict=True)]
            at = ends


def _as_bytes(values: NDArray[np.generic], kind: np.dtype[np.generic]) -> NDArray[np.uint8]:
    return np.ascontiguousarray(values, kind).view(np.uint8).reshape(len(values), kind.itemsize)


def _encode_texts(texts: NDArray[np.generic] | Sequence[str], nulls: NDArray[np.bool_] | None) -> list[bytes]:
    if nulls is None:
        return [str(text).encode() for text in texts]
    return [b"" if null else str(text).encode() for text, null in zip(texts, nulls.tolist(), strict=True)]
