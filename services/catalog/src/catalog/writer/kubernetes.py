"""Definitions as objects of one Kubernetes namespace."""

import asyncio
from collections.abc import Mapping
from typing import Any

import yaml

from catalog.found import Found
from catalog.kinds.table import BY_NAME, KINDS, Kind
from catalog.parse import parse_object
from catalog.source.resources import resource_of
from catalog.writer.port import Stored, check_revision
from chassis.errors import FailedPrecondition, InvalidArgument, NotFound
from chassis.kubernetes.api import Json, KubernetesApi

_KEPT = ("name", "labels", "annotations")
_LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"


class KubernetesWriter:
    """See DefinitionWriter. The revision is the object's resourceVersion, by which the API server refuses whoever was slower."""

    def __init__(self, namespace: str, api: KubernetesApi | None = None) -> None:
        self._namespace = namespace
        self._api = api or KubernetesApi()

    async def stored(self) -> list[Stored]:
        lists = await asyncio.gather(*map(self._listed, KINDS))
        return sorted((each for found in lists for each in found), key=lambda each: (each.kind, each.name))

    async def put(self, found: Found, revision: str | None = None) -> Stored:
        kind, name = BY_NAME[found.definition.kind], found.definition.metadata.name
        wanted: Json = yaml.safe_load(found.text)
        if found.definition.metadata.namespace not in (None, self._namespace):
            message = f"definitions are served from namespace {self._namespace}: leave metadata.namespace out"
            raise InvalidArgument(message, reason="FOREIGN_NAMESPACE", field="metadata.namespace")
        there = await self._api.get(resource_of(kind), self._namespace, name)
        check_revision(kind.name, name, _stored(there) if there else None, revision)
        if there is None:
            made = await self._created(kind, wanted)
        else:
            made = await self._api.replace(resource_of(kind), self._namespace, name, _changed(there, wanted))
        return Stored(found, made["metadata"]["resourceVersion"], wanted, None)

    async def remove(self, kind: str, name: str, revision: str | None = None) -> bool:
        resource = resource_of(BY_NAME[kind])
        there = await self._api.get(resource, self._namespace, name)
        check_revision(kind, name, _stored(there) if there else None, revision)
        if there is None:
            return False
        return await self._api.delete(resource, self._namespace, name, there["metadata"]["resourceVersion"])

    async def close(self) -> None:
        await self._api.close()

    async def _listed(self, kind: Kind) -> list[Stored]:
        try:
            objects, _ = await self._api.list(resource_of(kind), self._namespace)
        except NotFound:
            return []  # a cluster without this kind, such as KServe's
        # The items of a list carry neither apiVersion nor kind.
        whole = [{**item, "apiVersion": kind.api_version, "kind": kind.name} for item in objects]
        return [found for item in whole if (found := _stored(item)) is not None]

    async def _created(self, kind: Kind, wanted: Json) -> Json:
        body = {**wanted, "metadata": {**wanted["metadata"], "namespace": self._namespace}}
        try:
            return await self._api.create(resource_of(kind), self._namespace, body)
        except NotFound as error:
            message = f"this cluster knows no {kind.name} ({kind.api_version}): install its CRDs first"
            raise FailedPrecondition(message, reason="KIND_UNKNOWN_TO_CLUSTER") from error


def _changed(there: Json, wanted: Json) -> Json:
    """What its author decides, in the metadata that servers and controllers keep there. A status is not replaced this way."""
    given = wanted.get("metadata", {})
    metadata = there["metadata"] | {key: given[key] for key in ("labels", "annotations") if key in given}
    return {**{key: value for key, value in wanted.items() if key != "status"}, "metadata": metadata}


def _stored(item: Mapping[str, Any]) -> Stored | None:
    """As its author wrote it; None where it is no definition that can be read."""
    definition, _ = parse_object(dict(item))
    if definition is None:
        return None
    metadata = {key: value for key in _KEPT if (value := item["metadata"].get(key))}
    if notes := {key: value for key, value in metadata.get("annotations", {}).items() if key != _LAST_APPLIED}:
        metadata["annotations"] = notes
    else:
        metadata.pop("annotations", None)
    manifest = {key: value for key, value in item.items() if key not in ("metadata", "status")} | {"metadata": metadata}
    ordered = {key: manifest[key] for key in ("apiVersion", "kind", "metadata", *manifest)}
    text = yaml.safe_dump(ordered, sort_keys=False, allow_unicode=True)
    return Stored(Found(definition, text=text), item["metadata"].get("resourceVersion", ""), ordered, None)
