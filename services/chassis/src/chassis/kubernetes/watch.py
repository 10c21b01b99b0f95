"""The objects of one resource, kept as they are at the API server: list, watch, list again when that is no longer enough."""

import asyncio
import contextlib
import logging
import random
import time
from collections.abc import Callable, Mapping

from chassis.errors import MizzenError, NotFound
from chassis.kubernetes.api import NONE, Expired, Json, KubernetesApi, Resource

_log = logging.getLogger(__name__)
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.2, 15.0
_SHORTEST_WATCH_S = 1.0


class ObjectWatch:
    """Objects by name. What was known last stays while the API server is away; `known` is set once there was an answer."""

    def __init__(
        self,
        api: KubernetesApi,
        resource: Resource,
        namespace: str,
        selectors: Mapping[str, str] = NONE,
        *,
        resync_s: float = 600.0,
        watch_s: float = 240.0,
        absent_s: float = 15.0,
    ) -> None:
        """resync_s: everything is listed again after that long; watch_s: length of one watch; absent_s: how often a resource
        that the server does not have (no such CRD) is looked for. selectors: see KubernetesApi.list.
        """
        self.objects: dict[str, Json] = {}
        self.known = asyncio.Event()
        self.resource = resource
        self._api, self._namespace, self._selectors = api, namespace, selectors
        self._resync_s, self._watch_s, self._absent_s = resync_s, watch_s, absent_s
        self._changed: Callable[[], None] = lambda: None

    async def run(self, changed: Callable[[], None]) -> None:
        """Keeps `objects` current until cancelled and calls `changed` after each difference."""
        self._changed = changed
        pause_s = _FIRST_PAUSE_S
        while True:
            try:
                version = await self.refresh()
                pause_s = _FIRST_PAUSE_S
                await self._follow(version)
                continue
            except Expired:
                wait_s = _FIRST_PAUSE_S
            except NotFound:
                self._replace({})
                wait_s = self._absent_s
            except (MizzenError, OSError, TimeoutError, ValueError, KeyError) as error:
                _log.warning("%s of namespace %s: %s", self.resource.plural, self._namespace, error)
                wait_s = pause_s
                pause_s = min(pause_s * 2, _LONGEST_PAUSE_S)
            await asyncio.sleep(wait_s * random.uniform(0.7, 1.3))  # noqa: S311 - many replicas, not all at once

    async def refresh(self) -> str:
        """Lists everything; the resource version to watch from. See KubernetesApi for what it raises."""
        items, version = await self._api.list(self.resource, self._namespace, self._selectors)
        self._replace({item["metadata"]["name"]: item for item in items})
        return version

    async def _follow(self, version: str) -> None:
        """Takes over changes until a list is due."""
        due = time.monotonic() + self._resync_s * random.uniform(0.9, 1.1)  # noqa: S311
        while (left_s := due - time.monotonic()) > 0:
            started = time.monotonic()
            timeout_s = min(self._watch_s, max(left_s, _SHORTEST_WATCH_S))
            events = self._api.watch(self.resource, self._namespace, version, timeout_s, self._selectors)
            async with contextlib.aclosing(events):
                async for kind, item in events:
                    version = item["metadata"]["resourceVersion"]
                    self._take(kind, item)
            if time.monotonic() - started < _SHORTEST_WATCH_S:
                await asyncio.sleep(_SHORTEST_WATCH_S)  # a server that ends watches at once is not asked in a loop

    def _take(self, kind: str, item: Json) -> None:
        name = item["metadata"].get("name", "")
        if kind in ("ADDED", "MODIFIED"):
            self.objects[name] = item
        elif kind == "DELETED":
            self.objects.pop(name, None)
        else:
            return
        self._changed()

    def _replace(self, objects: dict[str, Json]) -> None:
        def versions(of: dict[str, Json]) -> dict[str, str]:
            return {name: item["metadata"]["resourceVersion"] for name, item in of.items()}

        different = versions(objects) != versions(self.objects) or not self.known.is_set()
        self.objects = objects
        self.known.set()
        if different:
            self._changed()
