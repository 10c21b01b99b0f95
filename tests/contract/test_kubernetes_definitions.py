"""Definitions from a Kubernetes API: the same suite on the fake one and, with MIZZEN_TEST_KUBECONFIG, on a real one."""

import asyncio
import contextlib
import copy
from collections.abc import AsyncIterator, Iterable
from pathlib import Path
from typing import Any

import pytest
import yaml

from catalog import Catalog, DirectorySource, source_from
from catalog.source.kubernetes import INFERENCE_SERVICES_CONFIG_MAP, KubernetesSource
from chassis.kubernetes.addresses import EndpointSliceAddresses
from tests.fakes.clusters import Cluster, FakeCluster, a_cluster, client_of, until

FLIGHTS = Path(__file__).parents[2] / "examples" / "flights"


def definitions() -> list[dict[str, Any]]:
    return [item for path in sorted(FLIGHTS.glob("*.yaml")) for item in yaml.safe_load_all(path.read_text()) if item]


def one(kind: str, name: str = "") -> dict[str, Any]:
    found = next(item for item in definitions() if item["kind"] == kind and name in ("", item["metadata"]["name"]))
    return copy.deepcopy(found)


@pytest.fixture
async def cluster(tmp_path: Path) -> AsyncIterator[Cluster]:
    async with a_cluster(tmp_path) as found:
        yield found


class Follower:
    """What a service does: load, then watch."""

    def __init__(self, source: KubernetesSource) -> None:
        self.source, self.catalog, self.changes = source, Catalog(), 0

    def take(self, catalog: Catalog) -> None:
        self.catalog, self.changes = catalog, self.changes + 1


@contextlib.asynccontextmanager
async def following(cluster: Cluster, report: Iterable[str] = (), **options: Any) -> AsyncIterator[Follower]:
    source = KubernetesSource(
        cluster.namespace, report_status=report, api=client_of(cluster), collect_s=0.02, absent_s=0.1, **options
    )
    follower = Follower(source)
    follower.catalog = await asyncio.wait_for(source.load(), 20)
    task = asyncio.create_task(source.watch(follower.take))
    try:
        yield follower
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await source.close()


async def accepted(cluster: Cluster, kind: str, name: str) -> dict[str, Any]:
    conditions = (await cluster.get(kind, name)).get("status", {}).get("conditions", [])
    found: dict[str, Any] = next((each for each in conditions if each["type"] == "Accepted"), {})
    return found


async def says(cluster: Cluster, kind: str, name: str, status: str) -> dict[str, Any]:
    async def there() -> bool:
        return (await accepted(cluster, kind, name)).get("status") == status

    await until(there)
    return await accepted(cluster, kind, name)


async def test_a_cluster_holds_what_a_directory_holds(cluster: Cluster) -> None:
    for item in definitions():
        await cluster.apply(item)
    there = await DirectorySource(FLIGHTS).load()
    async with following(cluster) as here:
        assert not here.catalog.errors
        for kind in ("feature_views", "endpoints", "collections", "inference_services"):
            wanted = {name: each.spec for name, each in getattr(there, kind).items()}
            found = {name: each.spec for name, each in getattr(here.catalog, kind).items()}
            # The API server may have filled in defaults of KServe's own.
            assert found.keys() == wanted.keys() if kind == "inference_services" else found == wanted
        assert here.catalog.schema_hash("flight-delay") == there.schema_hash("flight-delay")


async def test_a_change_and_a_deletion_arrive(cluster: Cluster) -> None:
    collection = one("Collection")
    name = collection["metadata"]["name"]
    async with following(cluster) as here:
        assert here.catalog == Catalog()
        await cluster.apply(collection)
        await until(lambda: name in here.catalog.collections)
        collection["spec"]["search"]["candidates"] = 77
        await cluster.apply(collection)
        await until(lambda: here.catalog.collections[name].spec.search.candidates == 77)
        await cluster.delete("Collection", name)
        await until(lambda: not here.catalog.collections)


async def test_a_wrong_definition_says_so_and_the_old_one_serves(cluster: Cluster) -> None:
    view = one("FeatureView", "carrier-history")
    async with following(cluster, report=["FeatureView"]) as here:
        await cluster.apply(view)
        good = await says(cluster, "FeatureView", "carrier-history", "True")
        assert (good["reason"], good["message"]) == ("Accepted", "in use")
        # The CRD's schema takes it, the platform does not.
        view["spec"]["ttl"] = "2 fortnights"
        await cluster.apply(view)
        condition = await says(cluster, "FeatureView", "carrier-history", "False")
        assert condition["reason"] == "Invalid"
        assert condition["message"] == (
            "spec.ttl: '2 fortnights' is no duration: write a whole number and s, m, h or d, e.g. 6h; "
            "the definition before it keeps serving"
        )
        stored = await cluster.get("FeatureView", "carrier-history")
        assert condition["observedGeneration"] == stored["metadata"]["generation"] > good["observedGeneration"]
        assert here.catalog.feature_views["carrier_history"].spec.ttl == "2d"
        await cluster.apply(one("FeatureView", "carrier-history"))
        await says(cluster, "FeatureView", "carrier-history", "True")


async def test_a_definition_that_never_was_right_says_that_nothing_serves(cluster: Cluster) -> None:
    view = one("FeatureView", "carrier-history")
    view["spec"]["ttl"] = "soon"
    await cluster.apply(view)
    async with following(cluster, report=["FeatureView"]) as here:
        condition = await says(cluster, "FeatureView", "carrier-history", "False")
        assert condition["message"].endswith("nothing serves under this name")
        assert not here.catalog.feature_views


async def test_a_reference_that_is_missing_is_named_until_it_is_there(cluster: Cluster) -> None:
    endpoint = one("Endpoint")
    name = endpoint["metadata"]["name"]
    async with following(cluster, report=["Endpoint"]) as here:
        await cluster.apply(endpoint)
        condition = await says(cluster, "Endpoint", name, "False")
        assert condition["reason"] == "ReferenceMissing"
        assert "there is no feature view" in condition["message"]
        for item in definitions():
            if item["kind"] == "FeatureView":
                await cluster.apply(item)
        await says(cluster, "Endpoint", name, "True")
        assert not here.catalog.errors


async def test_only_the_kinds_asked_for_are_reported(cluster: Cluster) -> None:
    async with following(cluster, report=["Collection"]):
        await cluster.apply(one("FeatureView"))
        await cluster.apply(one("Collection"))
        await says(cluster, "Collection", one("Collection")["metadata"]["name"], "True")
        assert "status" not in await cluster.get("FeatureView", one("FeatureView")["metadata"]["name"])


async def test_a_cluster_without_kserve_names_its_models_in_a_config_map(cluster: Cluster) -> None:
    service = one("InferenceService")
    name = service["metadata"]["name"]
    other = copy.deepcopy(service)
    other["metadata"]["name"] = "other"
    await cluster.apply(
        {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": INFERENCE_SERVICES_CONFIG_MAP},
            "data": {"inference-services.yaml": yaml.safe_dump_all([service, other])},
        }
    )
    await cluster.apply(
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "foreign"}, "data": {"a.yaml": "{"}}
    )
    async with following(cluster) as here:
        assert set(here.catalog.inference_services) == {name, "other"}
        # KServe's own object of that name counts.
        service["spec"]["predictor"]["model"]["storageUri"] = "pvc://models/changed"
        await cluster.apply(service)
        await until(lambda: here.catalog.inference_services[name].storage_uri == "pvc://models/changed")
        assert not here.catalog.errors


async def test_addresses_come_from_the_same_server(cluster: Cluster) -> None:
    addresses = EndpointSliceAddresses(cluster.namespace, "features", "grpc", client_of(cluster))
    addresses.watch(lambda _: None)
    await asyncio.wait_for(addresses.first(), 10)
    pods = {"10.9.0.1": {"ready": True}, "10.9.0.2": {"ready": False}, "10.9.0.3": {"ready": True, "terminating": True}}
    item = {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {"name": "features-1", "labels": {"kubernetes.io/service-name": "features"}},
        "addressType": "IPv4",
        "ports": [{"name": "grpc", "port": 8101, "protocol": "TCP"}],
        "endpoints": [{"addresses": [host], "conditions": conditions} for host, conditions in pods.items()],
    }
    await cluster.apply(item)
    await until(lambda: addresses.current() == ("10.9.0.1:8101",))
    await cluster.delete("EndpointSlice", "features-1")
    await until(lambda: addresses.current() == ())
    await addresses.close()


async def test_a_status_that_is_right_is_not_written_again(tmp_path: Path) -> None:
    async with a_cluster(tmp_path) as cluster:
        if not isinstance(cluster, FakeCluster):
            return  # what a real server was sent is not to be seen
        collection = one("Collection")
        async with following(cluster, report=["Collection"]) as first:
            await cluster.apply(collection)
            await says(cluster, "Collection", collection["metadata"]["name"], "True")
            await until(lambda: first.changes >= 1)
        async with following(cluster, report=["Collection"]) as second:
            await cluster.apply(one("FeatureView"))
            await until(lambda: second.changes >= 1)
        assert len(cluster.server.patches) == 1


async def test_a_status_that_may_not_be_written_stops_nothing(tmp_path: Path) -> None:
    async with a_cluster(tmp_path) as cluster:
        if not isinstance(cluster, FakeCluster):
            return
        cluster.server.forbidden.add("collections/status")
        collection = one("Collection")
        async with following(cluster, report=["Collection"]) as here:
            await cluster.apply(collection)
            await until(lambda: here.catalog.collections)
            cluster.server.forbidden.clear()
            await says(cluster, "Collection", collection["metadata"]["name"], "True")


async def test_load_waits_for_a_server_that_starts_later(tmp_path: Path) -> None:
    async with a_cluster(tmp_path) as cluster:
        if not isinstance(cluster, FakeCluster):
            return
        await cluster.apply(one("Collection"))
        await cluster.server.stop()
        source = KubernetesSource(cluster.namespace, api=client_of(cluster))
        loading = asyncio.create_task(source.load())
        await asyncio.sleep(0.3)
        assert not loading.done()
        await cluster.server.start()
        assert (await asyncio.wait_for(loading, 20)).collections
        await source.close()


async def test_the_setting_says_where_definitions_are(tmp_path: Path) -> None:
    assert isinstance(source_from(tmp_path), DirectorySource)
    assert isinstance(source_from(str(tmp_path)), DirectorySource)
    assert isinstance(source_from("kubernetes:shop", room="gateway"), KubernetesSource)
    for wrong in ("kubernetes:", "kubernetes:Shop", "kubernetes:a/b"):
        with pytest.raises(ValueError, match="name a namespace"):
            source_from(wrong)


async def test_a_load_beside_the_watch_takes_no_change_away(cluster: Cluster) -> None:
    async with following(cluster, report=["Collection"]) as here:
        await asyncio.wait_for(here.source.load(), 20)
        await cluster.apply(one("Collection"))
        await says(cluster, "Collection", "handbook", "True")
        await until(lambda: _holds(here))


async def _holds(here: Follower) -> bool:
    return "handbook" in here.catalog.collections
