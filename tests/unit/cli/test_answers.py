"""What the end of the screen says."""

import json
import shlex
from pathlib import Path

from catalog import parse_text
from catalog.kinds.collection import Collection
from cli import answers, jobs
from cli.settings import Settings

CASE = answers.Case(
    "flight-delay",
    {"entities": {"tailnum": ["N1'2"]}, "inputs": {}, "options": {"as_of": "2013-11-01T10:00:00Z"}},
    title="UA 1 EWR–IAH",
    truth="41 minutes late",
)
ANSWER = {
    "outputs": {"probability": [0.4217]},
    "features": {"a:x": {"values": [1.5]}, "a:y": {"values": [None]}},
    "explanations": {"a:x": [0.2], "a:y": [-0.3], "a:z": [0.01], "a:w": [0.001]},
}


def test_prediction_beside_the_truth_and_what_moved_it() -> None:
    lines = answers.prediction_lines(CASE, ANSWER)
    assert lines == [
        "UA 1 EWR–IAH: probability 0.422   (what happened: 41 minutes late)",
        "  -0.300  a:y",
        "  +0.200  a:x = 1.5",
        "  +0.010  a:z",
    ]


def test_explanations_as_a_list() -> None:
    told = {"explanations": [{"ref": "a:x", "contributions": [0.5, 1]}]}
    assert answers.explanations(told) == [("a:x", 0.5)]
    assert answers.explanations({}) == []


def test_a_cited_answer_names_file_and_line() -> None:
    answer = {"text": "It says so.", "citations": [{"source": "docs/a.md", "line_start": 12, "quote": "so\n  it is"}]}
    assert answers.answer_lines("Why?", answer) == ["“Why?”", "  It says so.", "  [1] docs/a.md:12  so it is"]


def test_lines_to_paste_are_whole_commands() -> None:
    lines = answers.try_lines(Settings(), CASE, "handbook", "What's up?")
    assert [line.split()[0] for line in lines] == ["curl", "curl", "curl", "grpcurl"]
    words = shlex.split(lines[0])
    body = json.loads(words[words.index("-d") + 1])
    assert body["entities"] == {"tailnum": ["N1'2"]}
    assert body["options"] == {"as_of": "2013-11-01T10:00:00Z", "explain": True}
    assert json.loads(shlex.split(lines[1])[-1]) == {"question": "What's up?"}


class RecordingApi:
    """Stands in for the public API."""

    def __init__(self) -> None:
        self.batches: list[list[dict[str, object]]] = []
        self.deleted: list[str] = []

    def upsert_documents(self, _: str, documents: list[dict[str, object]]) -> None:
        self.batches.append(documents)

    def documents(self, _: str) -> list[dict[str, str]]:
        came = {
            "docs/a.md": "docs/a.md",
            "docs/gone.md": "docs/gone.md",
            "of the API": "",
            "docs/of.it": "https://elsewhere",
        }
        return [{"id": document, "source": source} for document, source in came.items()]

    def delete_document(self, _: str, document: str) -> None:
        self.deleted.append(document)


def test_ingest_sends_every_source_once_and_removes_what_is_gone(tmp_path: Path) -> None:
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "a.md").write_text("# A title\n\ntext")
    (tmp_path / "docs" / "b.txt").write_text("x" * (jobs.BATCH_CHARACTERS + 1))
    found, _ = parse_text(
        "apiVersion: mizzen.dev/v1alpha1\nkind: Collection\nmetadata: {name: c}\n"
        "spec: {sources: [{path: 'docs/**/*'}, {path: docs/a.md}]}",
        "c.yaml",
    )
    collection = found[0]
    assert isinstance(collection, Collection)
    api = RecordingApi()
    said: list[str] = []
    told = jobs.ingest(api, collection, tmp_path, said.append)  # type: ignore[arg-type]
    assert told == "2 documents, 1 removed"
    assert [[each["id"] for each in batch] for batch in api.batches] == [["docs/a.md"], ["docs/b.txt"]]
    assert api.batches[0][0]["title"] == "A title"
    assert api.batches[0][0]["media_type"] == "text/markdown"
    assert api.deleted == ["docs/gone.md"]
    before = jobs.sources_digest(collection, tmp_path)
    (tmp_path / "docs" / "a.md").write_text("other")
    assert jobs.sources_digest(collection, tmp_path) != before
