"""The Kubernetes API as far as Mizzen needs it: read, watch and write of any resource of one namespace.

The `kubernetes` package is imported on the first use only: it takes a second and 50 MB that a laptop has no use for.
"""

import asyncio
import json
import os
from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from chassis.errors import (
    Aborted,
    FailedPrecondition,
    InvalidArgument,
    MizzenError,
    NotFound,
    PermissionDenied,
    Unavailable,
)

Json = dict[str, Any]
NONE: Mapping[str, str] = MappingProxyType({})
_PAGE = 500
_CALL_S = 30.0
_PATCH = "application/merge-patch+json"
_SLACK_S = 15.0  # what a watch may take longer than the server was told


@dataclass(frozen=True, slots=True)
class Resource:
    """A kind of object as the API server's paths name it; the core group is "" ."""

    group: str
    version: str
    plural: str

    def path(self, namespace: str, name: str = "", subresource: str = "") -> str:
        """`/apis/GROUP/VERSION/namespaces/NAMESPACE/PLURAL[/NAME[/SUBRESOURCE]]`."""
        root = f"/apis/{self.group}/{self.version}" if self.group else f"/api/{self.version}"
        return "/".join(part for part in (f"{root}/namespaces/{namespace}/{self.plural}", name, subresource) if part)


class Expired(Aborted):
    """The resource version is too old to be watched from: list anew."""


class KubernetesApi:
    """One API server. Without a `kubeconfig` it is the pod's own (its ServiceAccount), else $KUBECONFIG's current context.

    Raises Unavailable, PermissionDenied (the role lacks a right), NotFound (no such resource or object), InvalidArgument (the
    server's schema refuses it), Aborted (somebody was faster) or Expired.
    """

    def __init__(self, kubeconfig: str | None = None) -> None:
        self._kubeconfig = kubeconfig
        self._client: Any = None
        self._connecting = asyncio.Lock()

    async def list(
        self, resource: Resource, namespace: str, selectors: Mapping[str, str] = NONE
    ) -> tuple[list[Json], str]:
        """All objects and the resource version to watch from. selectors: `labelSelector` and `fieldSelector`."""
        items: list[Json] = []
        query: dict[str, str | int] = {**selectors, "limit": _PAGE}
        while True:
            page: Json = json.loads(await self._read("GET", resource.path(namespace), query))
            items.extend(page["items"])
            rest = page["metadata"].get("continue")
            if not rest:
                return items, page["metadata"]["resourceVersion"]
            query["continue"] = rest

    async def watch(
        self, resource: Resource, namespace: str, version: str, timeout_s: float, selectors: Mapping[str, str] = NONE
    ) -> AsyncGenerator[tuple[str, Json], None]:
        """(ADDED | MODIFIED | DELETED | BOOKMARK, object) after `version`, until the server ends it after `timeout_s`."""
        query: dict[str, str | int] = {
            **selectors,
            "watch": "true",
            "allowWatchBookmarks": "true",
            "resourceVersion": version,
            "timeoutSeconds": max(1, int(timeout_s)),
        }
        answer = await self._call("GET", resource.path(namespace), query, timeout_s + _SLACK_S)
        stream = answer.response
        try:
            while line := await stream.content.readline():
                event: Json = json.loads(line)
                if event["type"] == "ERROR":
                    raise _failure(int(event["object"].get("code", 500)), str(event["object"].get("message", "")))
                yield event["type"], event["object"]
        except MizzenError:
            raise
        except Exception as error:
            raise _translated(error) from error
        finally:
            stream.close()

    async def patch_status(self, resource: Resource, namespace: str, name: str, body: Mapping[str, Any]) -> None:
        """A JSON merge patch of the status; `metadata.resourceVersion` in it makes it fail when somebody was faster."""
        await self._read("PATCH", resource.path(namespace, name, "status"), {}, body)

    async def get(self, resource: Resource, namespace: str, name: str) -> Json | None:
        """The object; None where there is none, or no such resource."""
        try:
            return _object(await self._read("GET", resource.path(namespace, name), {}))
        except NotFound:
            return None

    async def create(self, resource: Resource, namespace: str, body: Json) -> Json:
        """The object as it was made. Aborted where one of its name is there already."""
        return _object(await self._read("POST", resource.path(namespace), {}, body))

    async def replace(self, resource: Resource, namespace: str, name: str, body: Json) -> Json:
        """The object as it is now. Aborted unless `metadata.resourceVersion` of the body is the stored one."""
        return _object(await self._read("PUT", resource.path(namespace, name), {}, body))

    async def delete(self, resource: Resource, namespace: str, name: str, version: str) -> bool:
        """Whether it was there. Aborted unless `version` is the stored resourceVersion."""
        body = {"apiVersion": "v1", "kind": "DeleteOptions", "preconditions": {"resourceVersion": version}}
        try:
            await self._read("DELETE", resource.path(namespace, name), {}, body)
        except NotFound:
            return False
        return True

    async def close(self) -> None:
        """Closes all connections."""
        client, self._client = self._client, None
        if client is not None:
            await client.close()

    async def _read(
        self, method: str, path: str, query: Mapping[str, str | int], body: Mapping[str, Any] | None = None
    ) -> bytes:
        answer = await self._call(method, path, query, body=body)
        try:
            return bytes(await answer.read())
        except Exception as error:
            raise _translated(error) from error

    async def _call(
        self,
        method: str,
        path: str,
        query: Mapping[str, str | int],
        timeout_s: float = _CALL_S,
        body: Mapping[str, Any] | None = None,
    ) -> Any:
        client = await self._connected()
        headers = {"Accept": "application/json"}
        if body is not None:
            headers["Content-Type"] = _PATCH if method == "PATCH" else "application/json"
        try:
            prepared = await client.param_serialize(
                method, path, query_params=list(query.items()), header_params=headers, body=body,
                auth_settings=["BearerToken"],
            )  # fmt: skip
            answer = await client.call_api(*prepared, _request_timeout=timeout_s)
        except Exception as error:
            raise _translated(error) from error
        if not 200 <= answer.status < 300:
            raise _failure(answer.status, _message(await answer.read()))
        return answer

    async def _connected(self) -> Any:
        async with self._connecting:
            if self._client is None:
                self._client = await _client(self._kubeconfig)
            return self._client


async def _client(kubeconfig: str | None) -> Any:
    from kubernetes import aio  # noqa: PLC0415 - see above

    config: Any = aio.config
    configuration = aio.client.Configuration()
    try:
        if kubeconfig is None and "KUBECONFIG" not in os.environ and "KUBERNETES_SERVICE_HOST" in os.environ:
            config.load_incluster_config(client_configuration=configuration)
        else:
            await config.load_kube_config(
                config_file=kubeconfig or os.environ.get("KUBECONFIG"), client_configuration=configuration
            )
    except Exception as error:
        message = (
            f"there is no way to a Kubernetes API: no ServiceAccount token is mounted and no kubeconfig works: {error}"
        )
        raise FailedPrecondition(message, reason="KUBERNETES_CONFIG") from error
    return aio.client.ApiClient(configuration)


def _object(body: bytes) -> Json:
    found: Json = json.loads(body)
    return found


def _message(body: bytes) -> str:
    try:
        return str(json.loads(body).get("message", ""))
    except (ValueError, AttributeError):
        return body.decode(errors="replace")[:200]


def _translated(error: Exception) -> MizzenError:
    status = getattr(error, "status", None)
    if status:
        return _failure(int(status), str(getattr(error, "reason", "")))
    # What the system says of the connection, and nothing of the client's own objects: admins get to read it.
    why = getattr(error, "os_error", None) or type(error).__name__
    return Unavailable(f"the Kubernetes API cannot be reached: {why}", reason="KUBERNETES")


def _failure(status: int, message: str) -> MizzenError:
    words = f"the Kubernetes API answered {status}: {message}"
    match status:
        case 401 | 403:
            return PermissionDenied(words, reason="KUBERNETES_RIGHTS")
        case 404:
            return NotFound(words, reason="KUBERNETES_NOT_FOUND")
        case 409:
            return Aborted(words, reason="KUBERNETES_CONFLICT")
        case 400 | 422:
            return InvalidArgument(words, reason="KUBERNETES_INVALID")
        case 410:
            return Expired(words, reason="KUBERNETES_EXPIRED")
        case _:
            return Unavailable(words, reason="KUBERNETES")
