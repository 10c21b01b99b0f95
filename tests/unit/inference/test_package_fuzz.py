"""Whatever the bytes of a package are, the reader either takes it or refuses it in its own words."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chassis.errors import InvalidArgument
from inference.examine import examine_model
from tests.unit.inference.onnx_models import doubling
from tests.unit.inference.poisons import MODEL, safetensors

WORDS = [
    *("instance_group", "parameters", "model_warmup", "input", "dims", "value", "key", "version_policy", "specific"),
    *(
        "optimization",
        "true",
        "string_value",
        "count",
        "name",
        "TYPE_FP32",
        "-1",
        "1e999",
        "inf",
        "99999999999999999999",
    ),
    *("{", "}", "[", "]", ":", '"', "\\377", "\\", "#", "<", ">", ";", ",", "\u202e", "\x00"),
    "[type.googleapis.com/inference.ModelConfig]",
]


@pytest.fixture(scope="module")
def root() -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as folder:
        made = doubling(Path(folder) / "package")
        (made / MODEL / "package").mkdir()
        yield made


def mutated(data: st.DataObject, content: bytes) -> bytes:
    """`content` with some spans cut out, doubled, or replaced by words of the format or by any bytes."""
    for _ in range(data.draw(st.integers(1, 4))):
        start = data.draw(st.integers(0, len(content)))
        end = min(len(content), start + data.draw(st.integers(0, 40)))
        word = st.lists(st.sampled_from(WORDS), max_size=4).map(lambda words: " ".join(words).encode())
        new = data.draw(st.one_of(st.binary(max_size=16), word, st.just(content[start:end] * 2)))
        content = content[:start] + new + content[end:]
    return content


def examined(root: Path, path: str, content: bytes) -> None:
    file = root / MODEL / path
    before = file.read_bytes() if file.exists() else None
    file.write_bytes(content)
    try:
        examine_model(root, MODEL)
    except InvalidArgument as refused:
        assert refused.message.startswith(MODEL)
        assert refused.field
    finally:
        file.unlink()
        if before is not None:
            file.write_bytes(before)


@settings(max_examples=400, deadline=None)
@given(data=st.data())
def test_mutated_configurations(root: Path, data: st.DataObject) -> None:
    content = (root / MODEL / "config.pbtxt").read_bytes()
    examined(root, "config.pbtxt", mutated(data, content))


@settings(max_examples=200, deadline=None)
@given(data=st.data())
def test_mutated_graphs(root: Path, data: st.DataObject) -> None:
    content = (root / MODEL / "1/model.onnx").read_bytes()
    examined(root, "1/model.onnx", mutated(data, content))


@settings(max_examples=200, deadline=None)
@given(
    header=st.one_of(
        st.recursive(
            st.one_of(st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False), st.text(max_size=5)),
            lambda inner: st.one_of(
                st.lists(inner, max_size=4),
                st.dictionaries(
                    st.sampled_from(["w", "dtype", "shape", "data_offsets", "__metadata__"]), inner, max_size=4
                ),
            ),
            max_leaves=12,
        ),
        st.fixed_dictionaries(
            {
                "w": st.fixed_dictionaries(
                    {
                        "dtype": st.sampled_from(["F32", "X", 1, None]),
                        "shape": st.lists(st.integers(-2, 3), max_size=3),
                        "data_offsets": st.lists(st.integers(-4, 20), max_size=3),
                    }
                )
            }
        ),
    ),
    data=st.binary(max_size=16),
)
def test_any_safetensors(root: Path, header: object, data: bytes) -> None:
    examined(root, "1/w.safetensors", safetensors(header, data))


@pytest.mark.parametrize("name", ["a.json", "a.svg", "a.md", "a.png", "manifest.json"])
@settings(max_examples=60, deadline=None)
@given(
    content=st.one_of(
        st.binary(max_size=60),
        st.text(max_size=60).map(str.encode),
        st.lists(st.sampled_from(["<svg>", "</svg>", "<g", ">", "<!--", "-->", '"', "&a;", "{", "}", "[", "1"])).map(
            lambda parts: "".join(parts).encode()
        ),
    )
)
def test_any_document(root: Path, name: str, content: bytes) -> None:
    examined(root, f"package/{name}", content)
