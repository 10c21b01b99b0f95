"""What services take of definitions: what is wrong keeps its predecessor in all of them, and nothing that is written stops them."""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from catalog import Catalog, find_in_text, read_directory, take
from catalog.kinds import endpoint as kinds
from features.adapters.catalog_views import load_definitions
from features.domain import plan
from gateway.adapters.catalog_definitions import plans
from tests.unit.catalog.test_definitions import ENDPOINT, VIEW

WHOLE = VIEW + "---\n" + ENDPOINT


def taken(text: str, last: Catalog | None = None) -> Catalog:
    return take(*find_in_text(text, "x.yaml"), last or Catalog())


def served(catalog: Catalog) -> tuple[str, frozenset[str]]:
    """The schema hash that the gateway sends for the endpoint, and those that features answers to."""
    return plans(catalog)["delay"].schema_hash, frozenset(load_definitions(catalog).references)


@pytest.mark.parametrize(
    ("old", "new", "field"),
    [
        ("age > 20", "age ** 2 > 20", "spec.onDemand[0].sql"),
        ("age > 20", "aeg > 20", "spec.onDemand[0].sql"),
        ("age > 20", "age + 20", "spec.onDemand[0].sql"),
        ("unit: years", "default: old", "spec.features[0].default"),
        ("{name: tailnum, dtype: STRING}]\n  inputs", "{name: plane, dtype: STRING}]\n  inputs", "spec.entities"),
        ("distance, dtype: FLOAT64", "distance, dtype: STRING", "spec.model.tensors[0].features[2]"),
    ],
)
def test_what_one_service_could_not_use_is_refused_by_all(old: str, new: str, field: str) -> None:
    good = taken(WHOLE)
    assert (good.errors, old in WHOLE) == ((), True)
    before = served(good)
    assert before[1] == {before[0]}
    bad = taken(WHOLE.replace(old, new), good)
    assert [error.field for error in bad.errors] == [field]
    assert served(bad) == before
    assert served(taken(WHOLE.replace("age > 20", "age > 21"), bad)) != before


def test_without_a_predecessor_it_is_left_out_and_what_refers_to_it_waits() -> None:
    catalog = taken(WHOLE.replace("age > 20", "age ** 2"))
    assert catalog.feature_views == {}
    assert plans(catalog)["delay"].broken == "plane_facts:age: there is no feature view plane_facts"
    assert [error.missing_reference for error in catalog.errors] == [False, True, True]
    assert taken(WHOLE, catalog).errors == ()


def test_a_predecessor_in_its_place_may_break_another_that_then_keeps_its_own() -> None:
    """The new endpoint takes a feature that only the refused view has."""
    good = taken(WHOLE)
    view = VIEW.replace("{name: old, dtype: BOOL, sql: age > 20}", "{name: older, dtype: BOOL, sql: age ^ 20}")
    bad = taken(view + "---\n" + ENDPOINT.replace("plane_facts:old", "plane_facts:older"), good)
    assert [(error.kind, error.missing_reference) for error in bad.errors] == [
        ("FeatureView", False),
        ("Endpoint", True),
    ]
    assert served(bad) == served(good)


def test_a_collection_of_another_length_keeps_its_predecessor(tmp_path: Path) -> None:
    text = "apiVersion: mizzen.dev/v1alpha1\nkind: Collection\nmetadata: {name: one}\nspec: {embedding: {dimensions: %s}}\n"
    (tmp_path / "one.yaml").write_text(text % 384)
    good = read_directory(tmp_path)
    (tmp_path / "one.yaml").write_text(text % 768)
    bad = read_directory(tmp_path, good)
    assert bad.collections == good.collections
    assert str(bad.errors[0]).endswith(
        "one.yaml:4: spec.embedding.dimensions: 768 is no length of a stored vector: "
        "vectors have 384 dimensions: take an embedder of that length"
    )
    assert read_directory(tmp_path).collections == {}


def test_an_endpoint_has_no_more_features_than_one_read_gives() -> None:
    assert kinds.MAX_REFERENCES == plan.MAX_REFERENCES
    refs = ", ".join(["plane_facts:age"] * (plan.MAX_REFERENCES + 1))
    errors = taken(WHOLE.replace('"plane_facts:age", "plane_facts:old", "input:distance"', refs)).errors
    assert [(error.field, error.says) for error in errors] == [
        ("spec.model.tensors", "the tensors have 2001 columns: an endpoint has 2000 at most")
    ]


def test_a_view_that_was_renamed_is_not_told_two_thousand_times() -> None:
    """Each of them is compared with every other name: without a bound a service would stand still for a minute."""
    names = [f"number_{i}" for i in range(2000)]
    features = "".join(f"    - {{name: {name}, dtype: FLOAT32}}\n" for name in names)
    view = VIEW.replace("    - {name: age, dtype: FLOAT32, unit: years}\n", features).replace(
        "age > 20", "numbre_7 > 20"
    )
    refs = ", ".join(f"plane_facts:numbre_{i}" for i in range(2000))
    endpoint = ENDPOINT.replace('"plane_facts:age", "plane_facts:old", "input:distance"', refs)
    errors = taken(view.replace("numbre_7", "number_7") + "---\n" + endpoint).errors
    assert [error.fix for error in errors] == [f"did you mean number_{i}?" for i in range(20)]
    assert taken(view).errors[0].fix == "did you mean number_7?"


@given(st.integers(0, len(WHOLE)), st.integers(0, 40), st.text(max_size=8), st.booleans())
@settings(max_examples=300, deadline=None)
def test_no_damage_stops_a_service(at: int, length: int, text: str, has_predecessor: bool) -> None:
    last = taken(WHOLE) if has_predecessor else Catalog()
    catalog = taken(WHOLE[:at] + text + WHOLE[at + length :], last)
    load_definitions(catalog)
    plans(catalog)


@given(st.text("age<>=+-*/()'\"., 0123456789.eE\nandornotisnullcasewhenthenelseend", max_size=60))
@settings(max_examples=300, deadline=None)
def test_no_expression_is_taken_that_features_cannot_use(sql: str) -> None:
    quoted = "'" + sql.replace("'", "''").replace("\n", " ") + "'"
    load_definitions(taken(VIEW.replace("age > 20", quoted)))
