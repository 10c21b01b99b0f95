"""External data of an ONNX file: plain files beside it, in which every byte is a tensor's."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

import onnx

from inference.examine.entries import FILE_NAME
from inference.examine.refusal import refusal

MAX_GAP = 64 * 1024
"""Exporters align large tensors to pages, the largest of which are this long."""
_MAX_RANK = 64
_KEYS = frozenset({"location", "offset", "length", "checksum"})
# What exporters call files of weights. Triton looks for libraries and Python in the same folder, by name.
_SUFFIXES = frozenset({"", ".data", ".bin", ".weights", ".weight", ".bias", ".onnx_data", ".pb"})
_BITS: Mapping[int, int] = {
    onnx.TensorProto.DataType.Value(name): bits
    for bits, names in {
        2: "UINT2 INT2",
        4: "UINT4 INT4 FLOAT4E2M1",
        8: "UINT8 INT8 BOOL FLOAT8E4M3FN FLOAT8E4M3FNUZ FLOAT8E5M2 FLOAT8E5M2FNUZ FLOAT8E8M0",
        16: "UINT16 INT16 FLOAT16 BFLOAT16",
        32: "UINT32 INT32 FLOAT",
        64: "UINT64 INT64 DOUBLE COMPLEX64",
        128: "COMPLEX128",
    }.items()
    for name in names.split()
}


@dataclass(frozen=True, slots=True, order=True)
class Span:
    """The bytes from ``start`` to ``end`` of ``file`` are the data of ``tensor``."""

    file: str
    start: int
    end: int
    tensor: str


def span_of(path: str, tensor: Any, sizes: Mapping[str, int]) -> Span:
    """Where the data of ``tensor`` lies, which is of the ONNX file ``path``.

    Raises InvalidArgument unless that is within a file beside ``path`` and as long as the tensor's type and shape need.
    """
    field = f"external_data of tensor {tensor.name!a}"
    entries = {entry.key: entry.value for entry in tensor.external_data}
    if len(entries) != len(tensor.external_data) or not entries.keys() <= _KEYS:
        raise refusal(path, "its keys are location, offset, length and checksum, each once", field=field)
    beside = _file(path, entries.get("location", ""), field, sizes)
    numbers = [entries.get("offset", "0"), entries.get("length", "0")]
    if not all(number.isascii() and number.isdecimal() and len(number) < 19 for number in numbers):
        raise refusal(path, "offset and length are numbers of bytes", field=field)
    start, length = map(int, numbers)
    if start + length > sizes[beside]:
        raise refusal(path, f"{beside.rpartition('/')[2]} is shorter than what it says", field=field)
    needed = _needed(path, tensor, field)
    if "length" not in entries and needed:
        length = sizes[beside] - start
    if length != needed:
        raise refusal(path, f"it has {length} bytes, and its type and shape need {needed}", field=field)
    return Span(beside, start, start + length, tensor.name)


def check_filled(root: Path, spans: Iterable[Span], sizes: Mapping[str, int]) -> None:
    """Raises InvalidArgument where a file has bytes that are no tensor's, but for zeros up to ``MAX_GAP`` that align the next."""
    for path, group in groupby(sorted(spans), key=lambda span: span.file):
        with (root / path).open("rb") as file:
            end, last = 0, ""
            for span in group:
                if span.start > end:
                    _check_gap(path, file, (end, span.start), last)
                if span.end >= end:
                    end, last = span.end, span.tensor
            _check_gap(path, file, (end, sizes[path]), last)


def _file(path: str, location: str, field: str, sizes: Mapping[str, int]) -> str:
    """The path of the file that ``location`` names."""
    if not FILE_NAME.fullmatch(location):
        raise refusal(
            path,
            f"it keeps data at {location!a}, outside of its folder",
            field=field,
            mend="Put the file beside it",
        )
    if Path(location).suffix not in _SUFFIXES:
        raise refusal(
            path,
            f"{location} is no name for data",
            field=field,
            mend=f"Name it with one of {', '.join(sorted(_SUFFIXES - {''}))}",
        )
    beside = f"{path.rpartition('/')[0]}/{location}"
    if beside not in sizes or beside == path:
        raise refusal(path, f"{location} is not in the package", field=field, mend="Put the file beside it")
    return beside


def _needed(path: str, tensor: Any, field: str) -> int:
    """The bytes that the type and the shape of ``tensor`` need: small elements are packed."""
    bits = _BITS.get(tensor.data_type)
    if bits is None:
        raise refusal(path, f"data of type {tensor.data_type} doesn't lie in a file", field=field)
    if len(tensor.dims) > _MAX_RANK or any(size < 0 for size in tensor.dims):
        raise refusal(path, f"its shape is not one of up to {_MAX_RANK} sizes", field=field)
    count: int = math.prod(tensor.dims)
    return (count * bits + 7) // 8


def _check_gap(path: str, file: Any, gap: tuple[int, int], last: str) -> None:
    start, end = gap
    file.seek(start)
    if end - start > MAX_GAP or any(file.read(end - start)):
        where = f"after tensor {last!a}" if start else "before its first tensor"
        raise refusal(
            path,
            f"{end - start} bytes {where} (from {start}) are no tensor's, nor zeros that align the next",
            mend="Save the model anew with its external data",
        )
