"""Definitions: what is taken, what is refused and in which words."""

import asyncio
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from catalog import (
    Catalog,
    DefinitionError,
    DirectorySource,
    FeatureView,
    InferenceService,
    parse_text,
    read_directory,
    schema_hash,
)

VIEW = """\
apiVersion: mizzen.dev/v1alpha1
kind: FeatureView
metadata: {name: plane-facts}
spec:
  entities: [{name: tailnum, dtype: STRING}]
  source:
    tables: {planes: flights/planes.parquet}
    sql: select tailnum, event_timestamp, age from planes
  ttl: 6h
  features:
    - {name: age, dtype: FLOAT32, unit: years}
  onDemand:
    - {name: old, dtype: BOOL, sql: age > 20}
"""
ENDPOINT = """\
apiVersion: mizzen.dev/v1alpha1
kind: Endpoint
metadata: {name: delay}
spec:
  entities: [{name: tailnum, dtype: STRING}]
  inputs: [{name: distance, dtype: FLOAT64}]
  model:
    tensors:
      - {name: numeric, datatype: FP32, features: ["plane_facts:age", "plane_facts:old", "input:distance"]}
    outputs: [{name: probability, dtype: FLOAT32, tensor: probability}]
  traffic:
    routes: [{inferenceService: delay, model: delay}]
"""


def refused(text: str) -> list[DefinitionError]:
    definitions, errors = parse_text(text, "x.yaml")
    assert not definitions
    return errors


def test_a_view_is_referred_to_with_underscores() -> None:
    (view,), errors = parse_text(VIEW, "x.yaml")
    assert not errors
    assert isinstance(view, FeatureView)
    assert (view.reference_name, view.ttl_s) == ("plane_facts", 6 * 3600)


@pytest.mark.parametrize(
    ("old", "new", "line", "field", "reason"),
    [
        ("unit: years", "unt: years", 11, "spec.features[0].unt", "there is no such field"),
        ("ttl: 6h", "ttl: soon", 9, "spec.ttl", "no duration"),
        (
            "dtype: FLOAT32",
            "dtype: REAL",
            11,
            "spec.features[0].dtype",
            "'REAL' is none of BOOL, INT32, INT64, FLOAT32",
        ),
        ("name: plane-facts", "name: Plane_Facts", 3, "metadata.name", "'Plane_Facts' is not an object name"),
        ("dtype: STRING", "dtype: FLOAT64", 5, "spec.entities[0].dtype", "entity tailnum is FLOAT64"),
        ("{name: old, ", "{name: age, ", 13, "spec.onDemand[0].name", "age is also the name of spec.features[0]"),
        ("kind: FeatureView", "kind: FeatureVue", 2, "kind", "no kind 'FeatureVue'"),
    ],
)
def test_a_fault_is_named_with_line_and_field(old: str, new: str, line: int, field: str, reason: str) -> None:
    (error,) = refused(VIEW.replace(old, new))
    assert (error.line, error.field) == (line, field)
    assert reason in error.reason
    assert str(error).startswith(f"x.yaml:{line}: {field}: ")


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ("model: delay}]", "model: delay, weight: 90}]", "weights add up to 90"),
        ("input:distance", "input:speed", "input:speed is no"),
        ("  traffic:\n", "  traffic:\n    stickyKey: origin\n", "stickyKey origin"),
    ],
)
def test_an_endpoint_that_cannot_work_is_refused(old: str, new: str, reason: str) -> None:
    (error,) = refused(ENDPOINT.replace(old, new))
    assert reason in error.reason


def test_aliases_and_deep_nesting_are_refused() -> None:
    assert "aliases" in refused("a: &x [1]\nb: *x\n")[0].reason
    assert "nested deeper" in refused("a: " + "[" * 100_000)[0].reason


def test_foreign_kinds_are_passed_over() -> None:
    assert parse_text("apiVersion: v1\nkind: Secret\nmetadata: {name: x}\n", "x.yaml") == ([], [])
    assert parse_text("replicas: 3\n", "values.yaml") == ([], [])
    assert "no kind" in refused("spec: {}\n")[0].reason


def test_schema_hash_follows_types_order_and_sql(tmp_path: Path) -> None:
    (tmp_path / "all.yaml").write_text(VIEW + "---\n" + ENDPOINT)
    catalog = read_directory(tmp_path)
    before = catalog.schema_hash("delay")
    assert len(before) == 16
    for old, new in (("age > 20", "age > 21"), ("dtype: FLOAT32", "dtype: FLOAT64"), ("FP32", "FP64")):
        (tmp_path / "all.yaml").write_text((VIEW + "---\n" + ENDPOINT).replace(old, new))
        assert read_directory(tmp_path).schema_hash("delay") != before
    (tmp_path / "all.yaml").write_text((VIEW + "---\n" + ENDPOINT).replace("unit: years", "unit: days"))
    assert read_directory(tmp_path).schema_hash("delay") == before


def test_schema_hash_names_the_missing_column(tmp_path: Path) -> None:
    (tmp_path / "all.yaml").write_text(
        VIEW.replace("{name: age,", "{name: years,").replace("age > 20", "years > 2") + "---\n" + ENDPOINT
    )
    catalog = read_directory(tmp_path)
    with pytest.raises(KeyError, match="plane_facts has no feature age"):
        schema_hash(catalog.endpoints["delay"], catalog.feature_views)
    assert [error.reason for error in catalog.errors] == [
        "plane_facts:age: feature view plane_facts has no feature age"
    ]


def test_the_old_definition_keeps_serving(tmp_path: Path) -> None:
    view, endpoint = tmp_path / "view.yaml", tmp_path / "endpoint.yaml"
    view.write_text(VIEW)
    endpoint.write_text(ENDPOINT)
    good = read_directory(tmp_path)
    assert not good.errors
    view.write_text(VIEW.replace("ttl: 6h", "ttl: 0h"))
    bad = read_directory(tmp_path, good)
    assert bad.feature_views == good.feature_views
    assert [error.line for error in bad.errors] == [9]
    view.write_text("{")
    unreadable = read_directory(tmp_path, good)
    assert unreadable.feature_views == good.feature_views
    view.unlink()
    assert read_directory(tmp_path, good).feature_views == {}


async def test_a_change_reaches_the_watcher(tmp_path: Path) -> None:
    source = DirectorySource(tmp_path, poll_s=0.05)
    assert (await source.load()).endpoints == {}
    seen: asyncio.Queue[Catalog] = asyncio.Queue()
    watcher = asyncio.create_task(source.watch(seen.put))
    try:
        (tmp_path / "all.yaml").write_text(VIEW + "---\n" + ENDPOINT)
        async with asyncio.timeout(10):
            while "delay" not in (await seen.get()).endpoints:
                pass
    finally:
        watcher.cancel()


@given(st.one_of(st.binary(max_size=400), st.text(max_size=400).map(str.encode)))
def test_any_bytes_are_parsed_or_refused(data: bytes) -> None:
    definitions, errors = parse_text(data, "x.yaml")
    assert isinstance(definitions, list)
    assert all(error.reason for error in errors)


@given(st.integers(0, len(VIEW + ENDPOINT)), st.integers(0, 40), st.text(max_size=8))
def test_any_damage_is_parsed_or_refused(at: int, length: int, text: str) -> None:
    whole = VIEW + "---\n" + ENDPOINT
    definitions, errors = parse_text(whole[:at] + text + whole[at + length :], "x.yaml")
    assert definitions or errors or not whole[:at].strip()


def test_an_endpoint_that_loses_a_column_keeps_serving_as_it_was(tmp_path: Path) -> None:
    (tmp_path / "view.yaml").write_text(VIEW)
    endpoint = tmp_path / "endpoint.yaml"
    endpoint.write_text(ENDPOINT)
    good = read_directory(tmp_path)
    endpoint.write_text(ENDPOINT.replace("plane_facts:age", "nowhere:age"))
    bad = read_directory(tmp_path, good)
    assert bad.endpoints == good.endpoints
    assert [error.missing_reference for error in bad.errors] == [True]
    assert "delay" in read_directory(tmp_path).endpoints


def inference_service(models: str) -> InferenceService:
    return InferenceService.model_validate(
        {
            "apiVersion": "serving.kserve.io/v1beta1",
            "kind": "InferenceService",
            "metadata": {"name": "ranker", "annotations": {"mizzen.dev/models": models}},
            "spec": {"predictor": {"model": {"modelFormat": {"name": "triton"}, "storageUri": "pvc://models/ranker"}}},
        }
    )


def test_an_inference_service_may_name_the_models_of_its_repository() -> None:
    """Triton's names, capitals included: whether such a model is served is the operator's word, not the definition's."""
    assert inference_service("Ranker_v2, other.1 ,").models == ("Ranker_v2", "other.1")
    assert inference_service("").models == ()
    for wrong in ("../x", "a b", "-a", "ü", "a" * 129):
        with pytest.raises(ValueError, match=r"metadata\.annotations\[mizzen\.dev/models\].*is not a model name"):
            inference_service(wrong)
