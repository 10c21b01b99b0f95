"""What describes a model: JSON, tokenizers, text and SVG plots, each parsed."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from inference.examine.refusal import refusal

MAX_DOCUMENT_BYTES = 16 * 2**20
MAX_TOKENIZER_BYTES = 64 * 2**20  # a vocabulary of 256,000 words and its merges takes half of it
_MAX_DEPTH = 64
_TOKENIZER = frozenset(
    {
        *("version", "truncation", "padding", "added_tokens", "normalizer", "pre_tokenizer", "post_processor"),
        *("decoder", "model"),
    }
)
_TOKENIZER_MODELS = frozenset({"BPE", "WordPiece", "WordLevel", "Unigram"})
_DOCTYPE = re.compile(
    r'<!DOCTYPE svg PUBLIC "-//W3C//DTD SVG 1\.[01]//EN"\s+"http://www\.w3\.org/[A-Za-z0-9/.-]+\.dtd"\s*>'
)
_XML = re.compile(r"\A\s*<\?xml [^?<>]*\?>")
_SVG_NAMESPACE = "{http://www.w3.org/2000/svg}"
_SVG_NAMES = """
    svg g defs title desc style path line rect circle ellipse polyline polygon text tspan textPath use symbol marker clipPath
    mask linearGradient radialGradient stop pattern
"""
_SVG_ELEMENTS = frozenset(_SVG_NAMES.split())
# A backslash can write any of the rest in CSS, and `//` is in every address.
_SVG_OUT = re.compile(
    r"javascript:|data:|//|\\|url\(\s*[\"']?(?!#)|@import|expression\(|(?:image|set|src|fade)\(", re.IGNORECASE
)


def parse_json(content: bytes, path: str) -> Any:
    """The value. Raises InvalidArgument for what is no JSON of RFC 8259, for a key twice in an object and for deep nesting."""
    try:
        value = json.loads(content.decode(), object_pairs_hook=_once, parse_constant=_no_constant, parse_float=_finite)
    except (ValueError, RecursionError) as error:
        raise refusal(path, f"it is not JSON ({str(error)[:200]})") from None
    if _depth(value) > _MAX_DEPTH:
        raise refusal(path, f"it is nested deeper than {_MAX_DEPTH}")
    return value


def check_json(root: Path, path: str) -> None:
    """Raises InvalidArgument unless the file is JSON."""
    parse_json((root / path).read_bytes(), path)


def check_tokenizer(root: Path, path: str) -> None:
    """Raises InvalidArgument unless the file is a tokenizer of the library `tokenizers`: vocabulary and rules, no code."""
    value = parse_json((root / path).read_bytes(), path)
    if not isinstance(value, dict) or not isinstance(value.get("model"), dict):
        raise refusal(path, "it is not a tokenizer: it has no model", field="model")
    if foreign := sorted(value.keys() - _TOKENIZER):
        raise refusal(path, "a tokenizer has no such field", field=ascii(foreign[0])[1:-1][:80], mend="Remove it")
    kind = value["model"].get("type", "BPE" if "merges" in value["model"] else None)
    if not isinstance(kind, str) or kind not in _TOKENIZER_MODELS:
        raise refusal(path, f"it has to be {', '.join(sorted(_TOKENIZER_MODELS))}", field="model.type")


def check_text(root: Path, path: str) -> None:
    """Raises InvalidArgument unless the file is UTF-8 without control characters."""
    _text(root, path)


def check_svg(root: Path, path: str) -> None:
    """Raises InvalidArgument unless the file is a drawing alone: no script, no link out, no entity."""
    text = _text(root, path)
    # Looked at first, as it could hide the beginning of a comment.
    if "<?" in _XML.sub("", text, count=1):
        raise refusal(path, "a plot has no processing instructions", mend="Draw it again, or as PNG")
    if "<!" in _DOCTYPE.sub("", re.sub(r"<!--.*?-->", "", text, flags=re.DOTALL)):
        raise refusal(path, "a plot declares no entities", mend="Draw it again without DOCTYPE")
    try:
        tree = ElementTree.fromstring(text)  # noqa: S314 - it declares no entity
    except (ElementTree.ParseError, ValueError, RecursionError):
        raise refusal(path, "it is not an SVG picture") from None
    for element in tree.iter():
        name = str(element.tag).removeprefix(_SVG_NAMESPACE)
        if name not in _SVG_ELEMENTS:
            raise refusal(path, f"a plot has no element {ascii(name)[:80]}", mend="Draw it again, or as PNG")
        for key, value in element.attrib.items():
            attribute = key.rpartition("}")[2].lower()
            if (
                attribute.startswith("on")
                or attribute == "base"
                or (attribute in ("href", "src") and not value.startswith("#"))
            ):
                raise refusal(path, f"a plot has no attribute {ascii(attribute)[:80]}", mend="Draw it again, or as PNG")
            if _SVG_OUT.search(value):
                raise refusal(path, f"attribute {ascii(attribute)[:80]} leads out of the plot")
        if name == "style" and _SVG_OUT.search("".join(element.itertext())):
            raise refusal(path, "its style leads out of the plot")


CHECKS: dict[str, Callable[[Path, str], None]] = {
    ".json": check_json,
    ".md": check_text,
    ".txt": check_text,
    ".csv": check_text,
    ".svg": check_svg,
}


def _text(root: Path, path: str) -> str:
    try:
        text = (root / path).read_bytes().decode()
    except UnicodeDecodeError as error:
        raise refusal(path, f"it is not UTF-8 at byte {error.start}") from None
    if re.search(r"[\x00-\x08\x0b\x0e-\x1f\x7f]", text):
        raise refusal(path, "it has control characters, which text has not")
    return text


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) != len(pairs):
        raise ValueError("a key is there twice in one object")
    return value


def _finite(text: str) -> float:
    number = float(text)
    if math.isinf(number):
        raise ValueError(f"{text[:80]} is larger than any number of JSON's readers")
    return number


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is no number of JSON")


def _depth(value: Any) -> int:
    level, depth = [value], 0
    while level:
        level = [
            inner
            for each in level
            if isinstance(each, (dict, list))
            for inner in (each.values() if isinstance(each, dict) else each)
            if isinstance(inner, (dict, list))
        ]
        depth += 1
    return depth
