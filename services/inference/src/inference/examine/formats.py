"""Binary formats beside ONNX: safetensors, PNG, raw external data; and what no file of a package is, by its first bytes."""

from __future__ import annotations

import json
import math
import re
import struct
from pathlib import Path
from typing import Any

from inference.examine.documents import parse_json
from inference.examine.refusal import refusal

_HEAD = 512
# First bytes of what can carry code or other files, whatever the file is called.
_MAGIC = (
    (b"PK\x03\x04", "a zip archive"),
    (b"PK\x05\x06", "a zip archive"),
    (b"\x1f\x8b\x08", "a gzip archive"),
    (b"\xfd7zXZ\x00", "an xz archive"),
    (b"\x28\xb5\x2f\xfd", "a zstd archive"),
    (b"7z\xbc\xaf\x27\x1c", "a 7z archive"),
    (b"Rar!\x1a\x07", "a rar archive"),
    (b"!<arch>\n", "a library archive"),
    (b"\x7fELF", "a program"),
    (b"MZ\x90\x00", "a program"),
)
_PICKLE = re.compile(rb"\x80[\x02-\x05]", re.DOTALL)
_DTYPE_BITS = {
    **{"BOOL": 8, "U8": 8, "I8": 8, "F8_E4M3": 8, "F8_E5M2": 8, "F8_E8M0": 8, "U16": 16, "I16": 16, "F16": 16},
    **{"BF16": 16, "U32": 32, "I32": 32, "F32": 32, "U64": 64, "I64": 64, "F64": 64, "C64": 64},
}
_MAX_HEADER = 16 * 2**20
_PNG = b"\x89PNG\r\n\x1a\n"
_PNG_END = b"\x00\x00\x00\x00IEND\xaeB`\x82"


def refuse_disguised(root: Path, path: str) -> None:
    """Raises InvalidArgument for an archive, a program or a pickle, whatever its name is."""
    with (root / path).open("rb") as file:
        head = file.read(_HEAD)
        file.seek(max(0, file.seek(0, 2) - 1))
        last = file.read(1)
    kind = next((name for magic, name in _MAGIC if head.startswith(magic)), "")
    if head[257:262] == b"ustar":
        kind = "a tar archive"
    elif head.startswith(b"BZh") and head[4:10] == b"1AY&SY":
        kind = "a bzip2 archive"
    elif not kind and _PICKLE.match(head) and last == b".":
        kind = "a Python pickle"
    if kind:
        raise refusal(path, f"its content is that of {kind}", mend="Put the data itself into the package")


def check_safetensors(root: Path, path: str) -> None:
    """Raises InvalidArgument unless the file is one of safetensors, its tensors one after another and nothing beside them."""
    with (root / path).open("rb") as file:
        head = file.read(8)
        size = struct.unpack("<Q", head)[0] if len(head) == 8 else 0
        if not 2 <= size <= _MAX_HEADER:
            raise refusal(path, "it is not a safetensors file: its header has no proper size")
        header = parse_json(file.read(size), path)
        data = file.seek(0, 2) - 8 - size
    if not isinstance(header, dict):
        raise refusal(path, "it is not a safetensors file: its header is no object")
    metadata = header.pop("__metadata__", {})
    if not isinstance(metadata, dict) or not all(isinstance(value, str) for value in metadata.values()):
        raise refusal(path, "it isn't made of texts", field="__metadata__")
    spans = sorted(_span(path, name, tensor) for name, tensor in header.items())
    position = 0
    for start, end in spans:
        if start != position:
            raise refusal(path, "its tensors overlap or leave bytes between them")
        position = end
    if position != data:
        raise refusal(path, f"its header describes {position} bytes of data, and it has {data}")


def _span(path: str, name: str, tensor: Any) -> tuple[int, int]:
    field = f"tensor {ascii(name)[:80]}"
    try:
        dtype, shape, (start, end) = tensor["dtype"], tensor["shape"], tensor["data_offsets"]
        numbers = [*shape, start, end]
    except (KeyError, TypeError, ValueError):
        raise refusal(path, "it has no dtype, shape and data_offsets", field=field) from None
    if not isinstance(dtype, str) or dtype not in _DTYPE_BITS or len(tensor) != 3:
        raise refusal(path, f"dtype {json.dumps(dtype)[:40]} is none of safetensors'", field=field)
    if not all(type(number) is int and 0 <= number < 2**63 for number in numbers):
        raise refusal(path, "shape and data_offsets are whole numbers", field=field)
    if math.prod(shape) * _DTYPE_BITS[dtype] != (end - start) * 8:
        raise refusal(path, "its shape doesn't fill its data_offsets", field=field)
    return start, end


def check_png(root: Path, path: str) -> None:
    """Raises InvalidArgument unless the file begins and ends as a PNG does."""
    content = (root / path).read_bytes()
    if not content.startswith(_PNG) or not content.endswith(_PNG_END):
        raise refusal(path, "it is not a PNG picture")
