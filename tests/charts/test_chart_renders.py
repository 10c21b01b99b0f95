"""Every preset is taken by Helm, by Kubernetes' own schemas of three versions, and by the CRDs of what isn't Kubernetes' own."""

import json
import os
from functools import cache
from pathlib import Path
from typing import Any

import helm_python
import jsonschema
import kubernetes_validate
import pytest
import yaml

from tests.charts.rendering import CHART, PRESETS, ROOT, Object, objects, of_kind, render

VERSIONS = ("1.31", "1.34", "1.37")
OWN_GROUPS = ("", "apps", "batch", "policy", "autoscaling", "networking.k8s.io", "rbac.authorization.k8s.io")
# Where CRDs of others lie, on machines that have them: beside the test data.
CRDS = Path(os.environ.get("MIZZEN_TEST_DATA", ROOT / "no-test-data")).parent / "crds"


@pytest.mark.parametrize("preset", PRESETS)
def test_lint_is_strict_and_silent(preset: str) -> None:
    report = helm_python.lint(str(CHART), PRESETS[preset], strict=True)
    assert report["errors"] == []
    assert [message for message in report["messages"] if message["severity"] >= 2] == []


@pytest.mark.parametrize("version", VERSIONS)
def test_kubernetes_takes_every_object(version: str) -> None:
    # Presets have most objects in common: each is checked once.
    different = {json.dumps(each): each for preset in PRESETS for each in objects(preset)}
    checked = 0
    for each in different.values():
        if each["apiVersion"].rpartition("/")[0] in OWN_GROUPS:
            kubernetes_validate.validate(each, version, strict=True)
            checked += 1
    assert checked > 100


@cache
def foreign_schema(group: str, version: str, kind: str) -> Object | None:
    """The closed schema of a kind by its CRD; None where this machine has no such CRD."""
    path = CRDS / f"{kind.lower()}s.yaml"
    for crd in yaml.load_all(path.read_text(), yaml.CSafeLoader) if path.is_file() else ():
        if crd and crd["spec"]["group"] == group and crd["spec"]["names"]["kind"] == kind:
            (schema,) = [each["schema"] for each in crd["spec"]["versions"] if each["name"] == version]
            return dict(shut(schema["openAPIV3Schema"]))
    return None


def shut(node: Any) -> Any:
    """The schema as the API server applies it under strict validation: unknown fields are refused."""
    if isinstance(node, list):
        return [shut(each) for each in node]
    if not isinstance(node, dict):
        return node
    made = {key: shut(value) for key, value in node.items() if key != "format"}
    if "(?i)" in str(made.get("pattern", "")):
        del made["pattern"]  # Go's way to write it; Python's is another
    if isinstance(node.get("properties"), dict) and not node.get("x-kubernetes-preserve-unknown-fields"):
        made.setdefault("additionalProperties", False)
    if node.get("x-kubernetes-int-or-string"):
        made["type"] = ["integer", "string"]
    return made


@pytest.mark.parametrize("preset", ["kserve", "prod", "everything"])
def test_the_crds_of_others_take_what_is_theirs(preset: str) -> None:
    foreign = [each for each in objects(preset) if each["apiVersion"].rpartition("/")[0] not in OWN_GROUPS]
    kinds = {each["kind"] for each in foreign if each["kind"] != "CustomResourceDefinition"}
    assert kinds
    for each in foreign:
        group, _, version = each["apiVersion"].rpartition("/")
        schema = foreign_schema(group, version, each["kind"])
        if schema is not None:
            body = {**each, "metadata": {}}
            schema["properties"]["metadata"] = {}
            jsonschema.Draft202012Validator(schema).validate(body)


def test_what_a_crd_refuses_is_refused_here() -> None:
    """The check above can fail: a closed schema refuses a misspelt field."""
    schema = shut(
        {"type": "object", "properties": {"spec": {"type": "object", "properties": {"model": {"type": "string"}}}}}
    )
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({"spec": {"modle": "x"}}, schema)


@pytest.mark.parametrize("preset", PRESETS)
def test_nothing_is_there_twice_and_all_is_ours(preset: str) -> None:
    seen = [(each["kind"], each["metadata"].get("namespace"), each["metadata"]["name"]) for each in objects(preset)]
    assert len(seen) == len(set(seen))
    for each in objects(preset):
        labels = each["metadata"]["labels"]
        assert labels["app.kubernetes.io/part-of"] == "mizzen", each["metadata"]["name"]
        if each["kind"] != "CustomResourceDefinition":
            assert each["metadata"]["namespace"] == "ml", each["metadata"]["name"]


def test_another_release_has_other_names() -> None:
    """Two releases in two namespaces share nothing but CRDs; names follow the release."""
    found = render({}, name="blue", namespace="blue")
    names = {each["metadata"]["name"] for each in of_kind(found, "Deployment")}
    assert "blue-mizzen-gateway" in names
    assert not [each for each in found if each["kind"] in {"ClusterRole", "ClusterRoleBinding"}]


def test_crds_are_kept_and_those_of_the_models() -> None:
    for each in of_kind(objects("default"), "CustomResourceDefinition"):
        assert each["metadata"]["annotations"] == {"helm.sh/resource-policy": "keep"}
        committed = yaml.safe_load((ROOT / "k8s/crds" / f"{each['spec']['names']['plural']}.yaml").read_text())
        assert each["spec"] == committed["spec"]
    assert len(of_kind(objects("default"), "CustomResourceDefinition")) == 3
    assert of_kind(render({"crds": {"install": False}}), "CustomResourceDefinition") == []
