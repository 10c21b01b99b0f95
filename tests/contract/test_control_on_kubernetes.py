"""The admin API over a Kubernetes API: the fake one, or the real one of MIZZEN_TEST_KUBECONFIG."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.contract.test_control_admin import VIEW, YAML, changes
from tests.fakes.clusters import Cluster, FakeCluster, a_cluster
from tests.fakes.control_service import RunningControl, running_control

pytestmark = pytest.mark.engines


@pytest.fixture
async def cluster(tmp_path: Path) -> AsyncIterator[Cluster]:
    async with a_cluster(tmp_path) as found:
        yield found


@pytest.fixture
async def control(
    postgres: str, tmp_path: Path, cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[RunningControl]:
    monkeypatch.setenv("KUBECONFIG", cluster.kubeconfig)
    async with running_control(postgres, tmp_path, definitions=f"kubernetes:{cluster.namespace}") as running:
        yield running


async def test_a_definition_is_an_object_that_is_changed_and_removed(control: RunningControl, cluster: Cluster) -> None:
    effects = []
    for text in (
        VIEW,
        VIEW,
        VIEW.replace("Grad Celsius", "Kelvin"),
        f"# Ein Kommentar\n{VIEW}".replace("Grad Celsius", "Kelvin"),
    ):
        (written,) = (await control.ok("POST", "definitions", content=text, headers=YAML))["definitions"]
        effects.append(written["effect"])
    assert effects == ["created", "unchanged", "changed", "unchanged"], "an object has no comments"
    assert (await cluster.get("FeatureView", "maschinen"))["spec"]["features"][0]["unit"] == "Kelvin"
    (listed,) = (await control.ok("GET", "definitions"))["definitions"]
    assert listed["revision"] == listed["manifest"]["metadata"]["resourceVersion"] == written["revision"]
    await control.ok("DELETE", "definitions/FeatureView/maschinen", params={"revision": written["revision"]})
    assert (await control.ok("GET", "definitions"))["definitions"] == []
    assert await changes(control) == [
        ("definition.remove", "FeatureView/maschinen", "done"),
        ("definition.put", "FeatureView/maschinen", "done"),
        ("definition.put", "FeatureView/maschinen", "done"),
    ]


async def test_what_kubectl_changed_meanwhile_is_not_overwritten(control: RunningControl, cluster: Cluster) -> None:
    await control.ok("POST", "definitions", content=VIEW, headers=YAML)
    read = (await control.ok("GET", "definitions/FeatureView/maschinen"))["manifest"]
    theirs = await cluster.get("FeatureView", "maschinen")
    theirs["spec"]["features"][0]["unit"] = "Fahrenheit"
    await cluster.apply(
        {key: theirs[key] for key in ("apiVersion", "kind", "spec")} | {"metadata": {"name": "maschinen"}}
    )
    assert (await control.wrong("POST", "definitions", json=read))[:2] == (409, "REVISION_CHANGED")
    assert (await cluster.get("FeatureView", "maschinen"))["spec"]["features"][0]["unit"] == "Fahrenheit"


async def test_a_missing_right_is_told(control: RunningControl, cluster: Cluster) -> None:
    if not isinstance(cluster, FakeCluster):
        return
    await control.ok("POST", "definitions", content=VIEW, headers=YAML)
    cluster.server.forbidden = {"featureviews"}
    status, reason, _ = await control.wrong("DELETE", "definitions/FeatureView/maschinen")
    assert (status, reason) == (403, "KUBERNETES_RIGHTS")
    cluster.server.forbidden = set()
    assert [each["name"] for each in (await control.ok("GET", "definitions"))["definitions"]] == ["maschinen"]


async def test_a_cluster_that_is_away_is_told_without_its_clients_objects(
    control: RunningControl, cluster: Cluster
) -> None:
    if not isinstance(cluster, FakeCluster):
        return
    await cluster.server.stop()
    status, _, words = await control.wrong("POST", "definitions", content=VIEW, headers=YAML)
    assert status == 503
    assert words.startswith("the Kubernetes API cannot be reached: ")
    assert "ConnectionKey" not in words
    assert await changes(control) == []
