"""The schema is closed: what isn't a value is refused with its path; every value is commented."""

import json

import helm_python
import pytest
import yaml

from tests.charts.rendering import CHART, ROOT, Object, chart, render

REFUSED: dict[str, Object] = {
    "/gateway": {"gateway": {"replcas": 2}},
    "/gateway/replicas": {"gateway": {"replicas": "two"}},
    "/serviceDefaults/spread": {"serviceDefaults": {"spread": "Always"}},
    "/image/tag": {"image": {"tag": "latest"}},
    "/valkey/mode": {"valkey": {"mode": "bundeld"}},
    "/postgresql/sharedBuffers": {"postgresql": {"sharedBuffers": "512Mi"}},
    "/inference/services/0": {
        "inference": {"services": [{"name": "a", "storageUri": "pvc://a/b", "runtime": "mizzen-triton-cpu", "x": 1}]}
    },
    "/inference/services/0/storageUri": {
        "inference": {"services": [{"name": "a", "storageUri": "models/b", "runtime": "mizzen-triton-cpu"}]}
    },
    "/networkPolicy/clients": {"networkPolicy": {"clients": []}},
    "/allowedClients/gateway/0": {"allowedClients": {"gateway": ["gatway"]}},
    "/gateway/settings": {"gateway": {"settings": {"retry-ratio": 1}}},
    "/jobs/run/0": {"jobs": {"run": [{"name": "a"}]}},
}
PEERS = [{"ipBlock": {"cidr": "10.0.0.0/8"}}]
FAILS: dict[str, Object] = {
    "valkey.external.host": {"valkey": {"mode": "external", "external": {"peers": PEERS}}},
    "postgresql.external.host": {"postgresql": {"mode": "external", "external": {"peers": PEERS}}},
    "networking.gatewayApi.parentRefs": {"networking": {"gatewayApi": {"enabled": True}}},
    "networking.gatewayApi.grpcHost": {
        "networking": {"gatewayApi": {"enabled": True, "restHost": "a.b", "grpcHost": "a.b"}}
    },
    "secrets.apiKey": {"secrets": {"identity": "mine"}},
    "valkey.external.peers": {"valkey": {"mode": "external", "external": {"host": "a.b"}}},
}


@pytest.mark.parametrize("path", REFUSED)
def test_a_wrong_value_is_refused_with_its_path(path: str) -> None:
    with pytest.raises(helm_python.HelmValuesError, match=path):
        chart().validate_schema(REFUSED[path])


@pytest.mark.parametrize("path", FAILS)
def test_values_that_contradict_each_other_are_refused_in_words(path: str) -> None:
    with pytest.raises(helm_python.HelmError, match=path):
        render(FAILS[path])


def test_no_object_of_the_schema_is_open_by_accident() -> None:
    def objects_of(node: Object, path: str = "") -> list[str]:
        here = [path] if node.get("properties") is not None and node.get("additionalProperties") is not False else []
        inner = [(f"{path}/{name}", each) for name, each in node.get("properties", {}).items()]
        inner += [(f"{path}[]", node["items"])] if "items" in node else []
        return here + [found for at, each in inner for found in objects_of(each, at)]

    assert objects_of(json.loads((CHART / "values.schema.json").read_text())) == []


def test_every_value_is_commented() -> None:
    import sys

    sys.path.insert(0, str(ROOT / "charts"))
    try:
        import schema
    finally:
        sys.path.pop(0)
    found = schema.load(CHART)
    assert len(found) > 150
    leaves = [value for value in found if value.is_leaf]
    assert [value.name for value in leaves if len(value.comment) < 8] == []


def test_presets_say_only_what_differs() -> None:
    for path in ("values-prod.yaml", "values-gpu.yaml"):
        chart().validate_schema(yaml.safe_load((CHART / path).read_text()))
