"""Cutting, stemming and quoting text, with line numbers that hold."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from retrieval.adapters.snowball_analyzer import SnowballAnalyzer
from retrieval.adapters.splitter_chunker import SplitterChunker, cut
from retrieval.domain.model import DocumentInput
from retrieval.domain.sentences import units

MARKDOWN = """# Runbooks

Intro to the runbooks.

## Drain a node

Use `mizzen drain`. It waits
for work in flight! Then it exits.

- first step of the drain
- second step, which
  goes on here

```sh
# not a heading
mizzen down --now
```

| metric | meaning of it |
|---|---|
| lag | seconds behind the stream |

## Restart

Nothing to see in this part.
"""


def test_chunks_carry_their_lines_and_headings() -> None:
    chunks = cut(MARKDOWN, "text/markdown", 120, 0)
    lines = MARKDOWN.split("\n")
    assert [chunk.position for chunk in chunks] == list(range(len(chunks)))
    for chunk in chunks:
        assert chunk.text.split("\n")[0] in lines[chunk.line_start - 1]
        assert chunk.text.split("\n")[-1] in lines[chunk.line_end - 1]
        assert len(chunk.text) <= 120
    last = chunks[-1]
    assert "Nothing to see" in last.text
    assert last.heading.startswith("Runbooks")
    steps = next(chunk for chunk in chunks if "mizzen down" in chunk.text)
    assert steps.heading == "Runbooks > Drain a node"


@given(
    st.text(alphabet=st.characters(exclude_categories=["Cs"]), max_size=400),
    st.sampled_from(["text/plain", "text/markdown"]),
)
def test_any_text_is_cut_into_chunks_within_its_lines(text: str, media_type: str) -> None:
    lines = text.count("\n") + 1
    for chunk in cut(text, media_type, 100, 20):
        assert 1 <= chunk.line_start <= chunk.line_end <= lines
        assert chunk.text in text
        assert len(chunk.text) <= 100


async def test_a_blank_document_has_no_chunks() -> None:
    assert await SplitterChunker().chunks(DocumentInput("a", " \n\n "), 900, 100) == []


def test_an_overlap_larger_than_a_chunk_is_taken_back() -> None:
    assert len(cut("one two three four five six seven eight nine ten " * 10, "text/plain", 100, 2000)) > 4


@pytest.mark.parametrize(
    ("text", "terms"),
    [
        ("The models are running", ["model", "run"]),
        ("MIZZEN_STATE is set", ["mizzen_state", "mizzen", "state", "set"]),
        ("kill -9 of v2.51", ["kill", "9", "v2", "51"]),
        ("Größe, naïve; 日本語!", ["größe", "naïv", "日本語"]),
        ("what is it?", []),
        ("", []),
    ],
)
def test_terms_are_stems_without_stop_words(text: str, terms: list[str]) -> None:
    assert SnowballAnalyzer().terms(text) == terms


def test_an_endless_word_is_cut() -> None:
    assert SnowballAnalyzer().terms("x" * 10_000) == ["x" * 64]


def test_quotable_units_are_sentences_items_rows_and_code_with_their_lines() -> None:
    found = {unit.text: (unit.first + 1, unit.last + 1) for unit in units(MARKDOWN)}
    assert found == {
        "Intro to the runbooks.": (3, 3),
        "It waits for work in flight!": (7, 8),
        "- first step of the drain": (10, 10),
        "- second step, which goes on here": (11, 12),
        "# not a heading\nmizzen down --now": (14, 17),
        "metric | meaning of it": (19, 19),
        "lag | seconds behind the stream": (21, 21),
        "Nothing to see in this part.": (25, 25),
    }


@given(st.text(max_size=300))
def test_units_lie_within_their_text(text: str) -> None:
    last = text.count("\n")
    assert all(0 <= unit.first <= unit.last <= last for unit in units(text))


def test_links_are_quoted_by_their_words() -> None:
    (unit,) = units('Read the [errors](docs/errors.md#L3 "def x") page, and ![the picture](a.svg) there.')
    assert unit.text == "Read the errors page, and the picture there."
