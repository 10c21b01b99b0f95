"""One small client for tests against a Kubernetes API: the fake one, or the cluster that MIZZEN_TEST_KUBECONFIG names."""

import asyncio
import contextlib
import copy
import os
import uuid
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Protocol

from chassis.kubernetes.api import KubernetesApi
from tests.fakes.kubernetes_api import FakeKubernetes

Json = dict[str, Any]
PLURALS = {
    "FeatureView": ("mizzen.dev", "v1alpha1", "featureviews"),
    "Endpoint": ("mizzen.dev", "v1alpha1", "endpoints"),
    "Collection": ("mizzen.dev", "v1alpha1", "collections"),
    "InferenceService": ("serving.kserve.io", "v1beta1", "inferenceservices"),
    "ConfigMap": ("", "v1", "configmaps"),
    "EndpointSlice": ("discovery.k8s.io", "v1", "endpointslices"),
}


class Cluster(Protocol):
    """A namespace of its own on some API server."""

    namespace: str
    kubeconfig: str

    async def apply(self, item: Json) -> None:
        """Creates or replaces the object, in this namespace."""

    async def delete(self, kind: str, name: str) -> None:
        """Removes it."""

    async def get(self, kind: str, name: str) -> Json:
        """As it is now."""


class FakeCluster:
    """Over `tests.fakes.kubernetes_api`; `server` can be made to fail."""

    def __init__(self, server: FakeKubernetes, directory: Path) -> None:
        self.server, self.namespace = server, "shop"
        self.kubeconfig = server.kubeconfig(directory)

    async def apply(self, item: Json) -> None:
        await self.server.apply(PLURALS[item["kind"]][2], _placed(item, self.namespace))

    async def delete(self, kind: str, name: str) -> None:
        await self.server.delete(self.namespace, PLURALS[kind][2], name)

    async def get(self, kind: str, name: str) -> Json:
        return self.server.get(self.namespace, PLURALS[kind][2], name)


class RealCluster:
    """Over an API server that has our CRDs and KServe's."""

    def __init__(self, kubeconfig: str, client: Any) -> None:
        self.kubeconfig, self._client = kubeconfig, client
        self.namespace = f"mizzen-test-{uuid.uuid4().hex[:8]}"

    async def apply(self, item: Json) -> None:
        placed = _placed(item, self.namespace)
        path = f"{self._path(item['kind'])}/{item['metadata']['name']}?fieldManager=tests&force=true"
        await self.call("PATCH", path, placed, "application/apply-patch+yaml")

    async def delete(self, kind: str, name: str) -> None:
        await self.call("DELETE", f"{self._path(kind)}/{name}")

    async def get(self, kind: str, name: str) -> Json:
        answer: Json = await self.call("GET", f"{self._path(kind)}/{name}")
        return answer

    async def call(self, method: str, path: str, body: Any = None, content_type: str = "application/json") -> Any:
        """One call; AssertionError holds the server's words."""
        headers = {"Accept": "application/json", "Content-Type": content_type}
        prepared = await self._client.param_serialize(
            method, path, header_params=headers, body=body, auth_settings=["BearerToken"]
        )
        answer = await self._client.call_api(*prepared)
        await answer.read()
        assert 200 <= answer.status < 300, answer.data
        return await answer.response.json()

    def _path(self, kind: str) -> str:
        group, version, plural = PLURALS[kind]
        root = f"/apis/{group}/{version}" if group else f"/api/{version}"
        return f"{root}/namespaces/{self.namespace}/{plural}"


@contextlib.asynccontextmanager
async def a_cluster(directory: Path) -> AsyncIterator[Cluster]:
    """The real one where MIZZEN_TEST_KUBECONFIG is set, else the fake one."""
    kubeconfig = os.environ.get("MIZZEN_TEST_KUBECONFIG")
    if not kubeconfig:
        server = FakeKubernetes()
        await server.start()
        yield FakeCluster(server, directory)
        await server.stop()
        return
    from kubernetes import aio

    configuration = aio.client.Configuration()
    config: Any = aio.config
    await config.load_kube_config(config_file=kubeconfig, client_configuration=configuration)
    async with aio.client.ApiClient(configuration) as client:
        cluster = RealCluster(kubeconfig, client)
        body = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": cluster.namespace}}
        await cluster.call("POST", "/api/v1/namespaces", body)
        try:
            yield cluster
        finally:
            await cluster.call("DELETE", f"/api/v1/namespaces/{cluster.namespace}")


def client_of(cluster: Cluster) -> KubernetesApi:
    """What services use."""
    return KubernetesApi(cluster.kubeconfig)


async def until(what: Any, within_s: float = 15.0) -> None:
    """Polls `what`, a function or coroutine function, until it is true."""
    async with asyncio.timeout(within_s):
        while True:
            answer = what()
            if asyncio.iscoroutine(answer):
                answer = await answer
            if answer:
                return
            await asyncio.sleep(0.02)


def _placed(item: Json, namespace: str) -> Json:
    placed = copy.deepcopy(item)
    placed["metadata"]["namespace"] = namespace
    return placed
