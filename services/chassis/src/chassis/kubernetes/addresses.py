"""Where a Service's pods are: its EndpointSlices, watched. Only pods that are ready and not on their way out take work."""

import asyncio
from collections.abc import Callable, Iterable

from chassis.kubernetes.api import Json, KubernetesApi, Resource
from chassis.kubernetes.watch import ObjectWatch

Watcher = Callable[[tuple[str, ...]], None]  # as in addresses.py, which imports this file
SLICES = Resource("discovery.k8s.io", "v1", "endpointslices")


class EndpointSliceAddresses:
    """The addresses of one Service's port. It asks from the first `watch` on, and keeps what it knew while the API is away."""

    def __init__(self, namespace: str, service: str, port: str, api: KubernetesApi | None = None) -> None:
        """port: the name that the Service gives it."""
        self._api = api or KubernetesApi()
        of_service = {"labelSelector": f"kubernetes.io/service-name={service}"}
        self._slices = ObjectWatch(self._api, SLICES, namespace, of_service)
        self._port = port
        self._addresses: tuple[str, ...] = ()
        self._watchers: list[Watcher] = []
        self._task: asyncio.Task[None] | None = None

    def current(self) -> tuple[str, ...]:
        return self._addresses

    def watch(self, callback: Watcher) -> None:
        self._watchers.append(callback)
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._slices.run(self._replace))

    async def first(self) -> None:
        await self._slices.known.wait()

    async def close(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        await self._api.close()

    def _replace(self) -> None:
        addresses = ready_addresses(self._slices.objects.values(), self._port)
        if addresses != self._addresses:
            self._addresses = addresses
            for watcher in self._watchers:
                watcher(addresses)


def ready_addresses(slices: Iterable[Json], port: str) -> tuple[str, ...]:
    """`host:port` of every endpoint that is ready and not terminating, sorted; of a Service with two families, IPv4."""
    found: dict[str, set[str]] = {"IPv4": set(), "IPv6": set()}
    for each in slices:
        numbers = [entry.get("port") for entry in each.get("ports") or () if entry.get("name") == port]
        if each.get("addressType") not in found or not numbers or numbers[0] is None:
            continue
        host = "{}:{}" if each["addressType"] == "IPv4" else "[{}]:{}"
        found[each["addressType"]].update(
            host.format(endpoint["addresses"][0], numbers[0])
            for endpoint in each.get("endpoints") or ()
            if _takes_work(endpoint.get("conditions") or {})
        )
    return tuple(sorted(found["IPv4"] or found["IPv6"]))


def _takes_work(conditions: Json) -> bool:
    # An absent `ready` means ready; a Service that publishes unready pods says ready of terminating ones too.
    return conditions.get("ready") is not False and not conditions.get("terminating")
