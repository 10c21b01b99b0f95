"""Definitions from the Kubernetes API: the objects of one namespace, listed and watched.

On a cluster without KServe, InferenceServices are read from the YAML of one ConfigMap instead (or beside them).
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable, Mapping
from datetime import UTC, datetime

from catalog.found import DefinitionError, Found
from catalog.kinds.table import BY_NAME, OURS
from catalog.parse import find_in_text, parse_object
from catalog.snapshot import Catalog
from catalog.source.resources import resource_of
from catalog.source.status import desired_conditions
from catalog.source.taking import take
from chassis.errors import MizzenError
from chassis.kubernetes.api import NONE, Json, KubernetesApi, Resource
from chassis.kubernetes.watch import ObjectWatch

_log = logging.getLogger(__name__)
_OURS = {kind.name: resource_of(kind) for kind in OURS}
_INFERENCE_SERVICES = resource_of(BY_NAME["InferenceService"])
_CONFIG_MAPS = Resource("", "v1", "configmaps")
INFERENCE_SERVICES_CONFIG_MAP = "mizzen-inference-services"
_RETRY_S = 5.0


class KubernetesSource:
    """See DefinitionSource. `load` waits until the API server answers: definitions are needed, and it may start later."""

    def __init__(
        self,
        namespace: str,
        *,
        report_status: Iterable[str] = (),
        api: KubernetesApi | None = None,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        collect_s: float = 0.1,
        resync_s: float = 600.0,
        absent_s: float = 15.0,
    ) -> None:
        """report_status: kinds whose condition `Accepted` this source writes; one service a kind does.

        collect_s: how long changes are collected before they count; resync_s: everything is read again after that long;
        absent_s: how often kinds that the cluster does not know are looked for.
        """
        self._api = api or KubernetesApi()
        self._namespace, self._report, self._now = namespace, frozenset(report_status), now
        self._collect_s = collect_s
        self._last = Catalog()
        self._watching = False

        def watched(resource: Resource, selectors: Mapping[str, str] = NONE) -> ObjectWatch:
            return ObjectWatch(self._api, resource, namespace, selectors, resync_s=resync_s, absent_s=absent_s)

        self._ours = {kind: watched(resource) for kind, resource in _OURS.items()}
        self._inference_services = watched(_INFERENCE_SERVICES)
        self._config_maps = watched(_CONFIG_MAPS, {"fieldSelector": f"metadata.name={INFERENCE_SERVICES_CONFIG_MAP}"})
        self._watches = [*self._ours.values(), self._inference_services, self._config_maps]

    async def load(self) -> Catalog:
        if self._watching:
            # The watches run already: running them once more would take the changes away from who waits for them.
            await asyncio.gather(*(each.known.wait() for each in self._watches))
            return self._read()
        running = [asyncio.ensure_future(each.run(lambda: None)) for each in self._watches]
        try:
            await asyncio.gather(*(each.known.wait() for each in self._watches))
        finally:
            for task in running:
                task.cancel()
            await asyncio.gather(*running, return_exceptions=True)
        self._last = self._read()
        return self._last

    async def watch(self, callback: Callable[[Catalog], Awaitable[None] | None]) -> None:
        self._watching = True
        try:
            await self._watch(callback)
        finally:
            self._watching = False

    async def _watch(self, callback: Callable[[Catalog], Awaitable[None] | None]) -> None:
        changed = asyncio.Event()
        async with asyncio.TaskGroup() as group:
            for each in self._watches:
                group.create_task(each.run(changed.set))
            await asyncio.gather(*(each.known.wait() for each in self._watches))
            while True:
                before, self._last = self._last, self._read()
                if self._last != before:
                    for error in self._last.errors:
                        _log.error("definition refused: %s", error)
                    answer = callback(self._last)
                    if answer is not None:
                        await answer
                changed.clear()
                pending = not await self._write_conditions()
                try:
                    async with asyncio.timeout(_RETRY_S if pending else None):
                        await changed.wait()
                except TimeoutError:
                    continue
                await asyncio.sleep(self._collect_s)

    async def close(self) -> None:
        """Closes the connections to the API server."""
        await self._api.close()

    def _read(self) -> Catalog:
        found: list[Found] = []
        errors: list[DefinitionError] = []
        objects = [
            item for watch in (*self._ours.values(), self._inference_services) for item in _sorted(watch.objects)
        ]
        for item in objects:
            definition, wrong = parse_object(item)
            found.extend([Found(definition)] if definition is not None else [])
            errors.extend(wrong)
        there = {each.definition.metadata.name for each in found if each.definition.kind == "InferenceService"}
        for config_map in self._config_maps.objects.values():
            for file, text in sorted((config_map.get("data") or {}).items()):
                definitions, wrong = find_in_text(text, f"ConfigMap {INFERENCE_SERVICES_CONFIG_MAP}/{file}")
                # What KServe has itself counts; other kinds have no business there.
                services = [each for each in definitions if each.definition.kind == "InferenceService"]
                found.extend(each for each in services if each.definition.metadata.name not in there)
                errors.extend(wrong)
        return take(found, errors, self._last)

    async def _write_conditions(self) -> bool:
        """Whether all are as they should be now."""
        done = True
        for kind in sorted(self._report):
            for name, item in list(self._ours[kind].objects.items()):
                conditions = desired_conditions(item, self._last, self._now())
                if conditions is not None:
                    done &= await self._patch(_OURS[kind], name, item, conditions)
        return done

    async def _patch(self, resource: Resource, name: str, item: Json, conditions: list[Json]) -> bool:
        metadata = item["metadata"]
        body = {
            # Fails when somebody was faster: the change comes with the watch, and then it is looked at again.
            "metadata": {"resourceVersion": metadata["resourceVersion"]},
            "status": {"observedGeneration": metadata.get("generation", 0), "conditions": conditions},
        }
        try:
            await self._api.patch_status(resource, self._namespace, name, body)
        except MizzenError as error:
            _log.warning("status of %s %s: %s", resource.plural, name, error)
            return False
        return True


def _sorted(objects: dict[str, Json]) -> list[Json]:
    return [objects[name] for name in sorted(objects)]
