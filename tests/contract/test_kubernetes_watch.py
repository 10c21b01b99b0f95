"""Objects are kept as they are at the API server, through expired versions, cut watches and an absent server."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
from google.protobuf.wrappers_pb2 import StringValue

from chassis.errors import FailedPrecondition, PermissionDenied, Unavailable
from chassis.kubernetes.addresses import SLICES, EndpointSliceAddresses, ready_addresses
from chassis.kubernetes.api import KubernetesApi
from chassis.kubernetes.watch import ObjectWatch
from chassis.rpc.addresses import parse_addresses
from chassis.rpc.channel import Channel
from tests.contract.servers import running
from tests.fakes.echo import SAY
from tests.fakes.kubernetes_api import FakeKubernetes

NAMESPACE = "shop"


@pytest.fixture
async def server() -> AsyncIterator[FakeKubernetes]:
    fake = FakeKubernetes()
    await fake.start()
    yield fake
    await fake.stop()


@pytest.fixture
async def api(server: FakeKubernetes, tmp_path: Path) -> AsyncIterator[KubernetesApi]:
    client = KubernetesApi(server.kubeconfig(tmp_path))
    yield client
    await client.close()


def a_slice(name: str, *pods: tuple[str, dict[str, bool]], service: str = "features", family: str = "IPv4") -> Any:
    return {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {"name": name, "namespace": NAMESPACE, "labels": {"kubernetes.io/service-name": service}},
        "addressType": family,
        "ports": [{"name": "ops", "port": 8181}, {"name": "grpc", "port": 8101}],
        "endpoints": [{"addresses": [host], "conditions": conditions} for host, conditions in pods],
    }


async def until(what: Callable[[], bool], within_s: float = 5.0) -> None:
    async with asyncio.timeout(within_s):
        while not what():
            await asyncio.sleep(0.01)


@contextlib.asynccontextmanager
async def watching(api: KubernetesApi, **options: Any) -> AsyncIterator[ObjectWatch]:
    watch = ObjectWatch(api, SLICES, NAMESPACE, **options)
    task = asyncio.create_task(watch.run(lambda: None))
    try:
        await asyncio.wait_for(watch.known.wait(), 5)
        yield watch
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_changes_arrive_without_listing_again(server: FakeKubernetes, api: KubernetesApi) -> None:
    await server.apply("endpointslices", a_slice("a"))
    async with watching(api) as watch:
        await server.apply("endpointslices", a_slice("b"))
        await until(lambda: set(watch.objects) == {"a", "b"})
        await server.apply("endpointslices", a_slice("a", ("10.0.0.1", {"ready": True})))
        await until(lambda: len(watch.objects["a"]["endpoints"]) == 1)
        await server.delete(NAMESPACE, "endpointslices", "b")
        await until(lambda: set(watch.objects) == {"a"})
    assert server.lists == {"endpointslices": 1}


async def test_long_lists_come_in_pages(server: FakeKubernetes, api: KubernetesApi) -> None:
    server.page = 2
    for name in "abcde":
        await server.apply("endpointslices", a_slice(name))
    items, _ = await api.list(SLICES, NAMESPACE)
    assert [item["metadata"]["name"] for item in items] == list("abcde")


async def test_a_large_object_fits_through_a_watch(server: FakeKubernetes, api: KubernetesApi) -> None:
    async with watching(api) as watch:
        large = a_slice("large")
        large["metadata"]["annotations"] = {"text": "x" * 900_000}
        await server.apply("endpointslices", large)
        await until(lambda: "large" in watch.objects)


async def test_an_expired_version_lists_anew(server: FakeKubernetes, api: KubernetesApi) -> None:
    async with watching(api) as watch:
        await server.apply("endpointslices", a_slice("a"))
        await until(lambda: "a" in watch.objects)
        await server.compact()
        await server.apply("endpointslices", a_slice("b"))
        await until(lambda: set(watch.objects) == {"a", "b"})
    assert server.lists["endpointslices"] == 2


async def test_a_cut_watch_loses_nothing(server: FakeKubernetes, api: KubernetesApi) -> None:
    async with watching(api) as watch:
        for number in range(3):
            await server.cut()
            await server.apply("endpointslices", a_slice(f"s{number}"))
        await until(lambda: len(watch.objects) == 3)


async def test_what_was_known_stays_while_the_server_is_away(server: FakeKubernetes, api: KubernetesApi) -> None:
    await server.apply("endpointslices", a_slice("a"))
    async with watching(api) as watch:
        await server.stop()
        await asyncio.sleep(0.3)
        assert set(watch.objects) == {"a"}
        await server.apply("endpointslices", a_slice("b"))
        await server.start()
        await until(lambda: set(watch.objects) == {"a", "b"}, 20)


async def test_everything_is_listed_again_after_the_resync(server: FakeKubernetes, api: KubernetesApi) -> None:
    async with watching(api, resync_s=0.5):
        await until(lambda: server.lists["endpointslices"] >= 3, 10)


async def test_an_absent_resource_is_empty_and_looked_for(server: FakeKubernetes, api: KubernetesApi) -> None:
    server.absent.add("endpointslices")
    async with watching(api, absent_s=0.05) as watch:
        assert watch.objects == {}
        server.absent.clear()
        await server.apply("endpointslices", a_slice("a"))
        await until(lambda: set(watch.objects) == {"a"})


async def test_a_right_that_is_lacking_is_named(server: FakeKubernetes, api: KubernetesApi) -> None:
    server.forbidden.add("endpointslices")
    with pytest.raises(PermissionDenied, match="endpointslices is forbidden"):
        await api.list(SLICES, NAMESPACE)


async def test_a_machine_without_a_cluster_is_told_so(tmp_path: Path) -> None:
    api = KubernetesApi(str(tmp_path / "none"))
    with pytest.raises(FailedPrecondition, match="no kubeconfig works"):
        await api.list(SLICES, NAMESPACE)


async def test_addresses_follow_ready_pods(server: FakeKubernetes, api: KubernetesApi) -> None:
    ready: dict[str, bool] = {"ready": True}
    await server.apply("endpointslices", a_slice("other", ("10.0.0.9", ready), service="retrieval"))
    addresses = EndpointSliceAddresses(NAMESPACE, "features", "grpc", api)
    told: list[tuple[str, ...]] = []
    addresses.watch(told.append)
    await asyncio.wait_for(addresses.first(), 5)
    assert addresses.current() == ()
    await server.apply("endpointslices", a_slice("a", ("10.0.0.2", ready), ("10.0.0.1", {})))
    await until(lambda: addresses.current() == ("10.0.0.1:8101", "10.0.0.2:8101"))
    leaving = {"ready": False, "serving": True, "terminating": True}
    await server.apply("endpointslices", a_slice("a", ("10.0.0.2", leaving), ("10.0.0.1", ready)))
    await until(lambda: addresses.current() == ("10.0.0.1:8101",))
    assert told[-1] == ("10.0.0.1:8101",)
    await addresses.close()


def test_only_pods_that_take_work_count() -> None:
    ready = {"ready": True}
    assert ready_addresses([a_slice("a", ("h", {"ready": True, "terminating": True}))], "grpc") == ()
    assert ready_addresses([a_slice("a", ("h", ready)), a_slice("b", ("h", ready))], "grpc") == ("h:8101",)
    assert ready_addresses([a_slice("a", ("h", ready))], "http") == ()
    assert ready_addresses([a_slice("a", ("::1", ready), family="IPv6")], "ops") == ("[::1]:8181",)
    both = [a_slice("a", ("::1", ready), family="IPv6"), a_slice("b", ("10.0.0.1", ready))]
    assert ready_addresses(both, "ops") == ("10.0.0.1:8181",)
    assert ready_addresses([{"addressType": "IPv4", "ports": None, "endpoints": None}], "grpc") == ()


async def test_the_setting_names_namespace_service_and_port() -> None:
    assert isinstance(parse_addresses("endpointslice:shop/{name}-predictor:h2c", "minilm"), EndpointSliceAddresses)
    for wrong in ("endpointslice:features", "endpointslice:a/b", "endpointslice:a/B:c", "endpointslice:/b:c"):
        with pytest.raises(FailedPrecondition, match="endpointslice:namespace/service:port"):
            parse_addresses(wrong)


async def test_the_first_call_waits_until_addresses_are_known(server: FakeKubernetes, api: KubernetesApi) -> None:
    channel = Channel("echo", EndpointSliceAddresses(NAMESPACE, "echo", "grpc", api))
    async with running("native") as echo:
        host, port = echo.address.rsplit(":", 1)
        item = a_slice("a", (host, {"ready": True}), service="echo")
        item["ports"] = [{"name": "grpc", "port": int(port)}]
        await server.apply("endpointslices", item)
        answer = await channel.unary(SAY, StringValue(value="hello"), StringValue, 10.0)
        assert answer.value == "hello"
        await server.delete(NAMESPACE, "endpointslices", "a")
        with pytest.raises(Unavailable):
            async with asyncio.timeout(5):
                while True:
                    await channel.unary(SAY, StringValue(value="again"), StringValue, 1.0)
        await channel.close()


async def test_a_call_waits_no_longer_than_it_may(server: FakeKubernetes, api: KubernetesApi) -> None:
    await server.stop()
    channel = Channel("echo", EndpointSliceAddresses(NAMESPACE, "echo", "grpc", api))
    with pytest.raises(Unavailable, match="echo cannot be reached"):
        await channel.unary(SAY, StringValue(value="hello"), StringValue, 0.2)
    await channel.close()
