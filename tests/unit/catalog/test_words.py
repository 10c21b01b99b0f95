"""What is wrong is told in the house's words, at its place, with its mend."""

from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from catalog import parse_object, parse_text
from catalog.suggestions import meant
from tests.unit.catalog.test_definitions import ENDPOINT, VIEW

COLLECTION = """\
apiVersion: mizzen.dev/v1alpha1
kind: Collection
metadata: {name: one}
spec: {search: {candidates: 5}, sources: [{path: a}]}
"""
SERVICE = """\
apiVersion: serving.kserve.io/v1beta1
kind: InferenceService
metadata: {name: one}
spec: {predictor: {model: {modelFormat: {name: triton}, storageUri: "pvc://models/one/1"}}}
"""
THEIRS = (
    "input should",
    "field required",
    "extra inputs",
    "unable to parse",
    "value error",
    "valid ",
    "pydantic",
    "assertion",
)
WRONG: tuple[Any, ...] = (None, "", "text", "Ünicode", 0, -1, 1e300, 10**30, True, [], ["a"], [{}], {}, {"a": 1})


def told(text: str) -> list[tuple[int, str, str, str]]:
    _, errors = parse_text(text, "x.yaml")
    return [(error.line, error.field, error.reason, error.fix) for error in errors]


@pytest.mark.parametrize(
    ("text", "old", "new", "line", "field", "reason", "fix"),
    [
        (VIEW, "  ttl: 6h\n", "  ttl: 6\n", 9, "spec.ttl", "is no text", "put it in quotes"),
        (VIEW, "{name: age, dtype", "{dtype", 11, "spec.features[0].name", "is missing", "add it"),
        (VIEW, "  features:\n    -", "  features:\n    x:", 10, "spec.features", "is no list",
         "write [a, b], or a line with - for each"),
        (VIEW, "sql: age > 20}", "sql: age > 20, unti: x}", 13, "spec.onDemand[0].unti",
         "there is no such field", "did you mean unit?"),
        (VIEW, "  ttl: 6h\n", "  ttl: 6h\n  colour: red\n", 10, "spec.colour", "there is no such field",
         "fields here are description, entities, source, features, inputs, onDemand, ttl"),
        (VIEW, "name: age, dtype", "name: Age, dtype", 11, "spec.features[0].name", "'Age' is not a column name",
         "write lower case letters, digits and '_', and no digit first"),
        (VIEW, "unit: years", "default: [1]", 11, "spec.features[0].default", "is no number", "write it in digits"),
        (ENDPOINT, "model: delay}]", "model: delay, weight: 101}]", 12, "spec.traffic.routes[0].weight", "101 is out of bounds",
         "write at most 100"),
        (ENDPOINT, "routes: [{inferenceService: delay, model: delay}]", "routes: []", 12, "spec.traffic.routes",
         "has 0 entries", "it takes at least 1"),
        (ENDPOINT, "datatype: FP32", "datatype: fp32", 9, "spec.model.tensors[0].datatype",
         "'fp32' is none of BOOL, INT32, INT64, FP32, FP64, BYTES", "did you mean FP32?"),
        (ENDPOINT, "  traffic:\n", "  clock: sever\n  traffic:\n", 11, "spec.clock", "'sever' is none of server, request",
         "did you mean server?"),
        (ENDPOINT, "  traffic:\n", "  limits: {maxRows: many}\n  traffic:\n", 11, "spec.limits.maxRows", "is no whole number",
         "write digits alone"),
        (ENDPOINT, "  traffic:\n", "  monitoring: {labels: {output: probability, wait: long}}\n  traffic:\n", 11,
         "spec.monitoring.labels.wait", "'long' is no duration", "write a whole number and s, m, h or d, e.g. 6h"),
        *((COLLECTION, "path: a}", f"path: {path}}}", 4, "spec.sources[0].path", f"{path!r} leads out of the project",
           "write a glob below it, e.g. docs/**/*.md") for path in ("/etc/*.md", "../*.md", "a/../../b")),
        (COLLECTION, "path: a}", "path: docs/**.md}", 4, "spec.sources[0].path", "'docs/**.md' is no glob",
         "write ** as a whole part, e.g. docs/**/*.md"),
        (SERVICE, '"pvc://models/one/1"', "models/one", 4, "spec.predictor.model.storageUri", "'models/one' has no scheme",
         "write e.g. pvc://models/NAME/DIGEST"),
    ],
)  # fmt: skip
def test_each_kind_of_fault(text: str, old: str, new: str, line: int, field: str, reason: str, fix: str) -> None:
    assert text.count(old) == 1
    found = told(text.replace(old, new))
    assert found == [(line, field, reason, fix)]


def changed(content: Any, value: Any) -> Iterator[Any]:
    """`content` with one of its parts after the other replaced."""
    yield value
    parts = content.items() if isinstance(content, dict) else enumerate(content) if isinstance(content, list) else ()
    for key, part in parts:
        for new in changed(part, value):
            copy = dict(content) if isinstance(content, dict) else list(content)
            copy[key] = new
            yield copy


@pytest.mark.parametrize("text", [VIEW, ENDPOINT, COLLECTION, SERVICE])
@pytest.mark.parametrize("value", WRONG, ids=repr)
def test_no_value_anywhere_brings_anothers_words(text: str, value: Any) -> None:
    for content in changed(yaml.safe_load(text), value):
        _, errors = parse_object(content)
        for error in errors:
            assert error.reason
            assert not any(word in error.says.lower() for word in THEIRS), error


def test_a_key_that_is_written_twice_is_told_wherever_it_is() -> None:
    text = VIEW.replace("unit: years}", "unit: years, unit: days}") + "spec: {}\n"
    assert [each for each in told(text) if "twice" in each[2]] == [
        (11, "spec.features[0].unit", "is written twice, first in line 11", "remove one"),
        (14, "spec", "is written twice, first in line 4", "remove one"),
    ]
    assert parse_text("a: 1\na: 2\n", "values.yaml") == ([], []), "foreign YAML is its owner's"


def test_several_faults_of_one_definition_are_told_together() -> None:
    text = VIEW.replace("dtype: STRING", "dtype: BOOL").replace("{name: old, ", "{name: age, ")
    assert [field for _, field, _, _ in told(text)] == ["spec.onDemand[0].name", "spec.entities[0].dtype"]


def test_what_is_meant() -> None:
    assert meant("temprature", ["humidity", "temperature"]) == "did you mean temperature?"
    assert meant("temp", ["temperature"]) == "did you mean temperature?"
    assert meant("featureview", ["FeatureView"]) == "did you mean FeatureView?"
    assert meant("x", ["a", "b"], "there are") == "there are a, b"
    assert meant("x", [], "there are") == "there are none"
    assert meant("x", [f"name{i}" for i in range(10)], "there are").endswith("name7 and 2 more")
    assert meant("x", ["a"]) == ""
