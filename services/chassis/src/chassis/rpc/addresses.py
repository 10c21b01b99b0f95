"""Where another service is reached: one adapter a kind of address book."""

import re
from collections.abc import Callable
from typing import Protocol

from chassis.errors import FailedPrecondition

_LABEL = "[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?"
_SERVICE_PORT = re.compile(f"(?P<namespace>{_LABEL})/(?P<service>{_LABEL}):(?P<port>{_LABEL})")
Watcher = Callable[[tuple[str, ...]], None]


class Addresses(Protocol):
    """The ``host:port`` of each replica that takes work now."""

    def current(self) -> tuple[str, ...]:
        """Those known now, without duplicates; may be empty."""
        ...

    def watch(self, callback: Watcher) -> None:
        """Calls `callback` on the event loop with all addresses after each change."""
        ...

    async def first(self) -> None:
        """Returns once it is known what there is, which may be nothing; a book that has to ask needs a watcher for that."""
        ...

    async def close(self) -> None:
        """Stops watching."""
        ...


class StaticAddresses:
    """A list that changes only when told to."""

    def __init__(self, *addresses: str) -> None:
        self._addresses = tuple(dict.fromkeys(addresses))
        self._watchers: list[Watcher] = []

    def current(self) -> tuple[str, ...]:
        return self._addresses

    def watch(self, callback: Watcher) -> None:
        self._watchers.append(callback)

    async def first(self) -> None:
        return

    async def close(self) -> None:
        self._watchers.clear()

    def replace(self, *addresses: str) -> None:
        """Takes other addresses from now on and tells the watchers."""
        self._addresses = tuple(dict.fromkeys(addresses))
        for watcher in self._watchers:
            watcher(self._addresses)


def parse_addresses(setting: str, name: str = "") -> Addresses:
    """The address book that `setting` describes; ``{name}`` in it stands for `name`.

    ``static:host:port[,host:port…]`` lists addresses; ``endpointslice:NAMESPACE/SERVICE:PORT_NAME`` follows a Service's ready
    pods through the Kubernetes API. Raises FailedPrecondition naming the setting's text when it is neither.
    """
    kind, _, rest = setting.replace("{name}", name).partition(":")
    if kind == "static":
        addresses = tuple(part.strip() for part in rest.split(",") if part.strip())
        if addresses and all(_is_address(address) for address in addresses):
            return StaticAddresses(*addresses)
    if kind == "endpointslice" and (match := _SERVICE_PORT.fullmatch(rest)):
        from chassis.kubernetes.addresses import EndpointSliceAddresses  # noqa: PLC0415 - a laptop has no use for it

        return EndpointSliceAddresses(match["namespace"], match["service"], match["port"])
    raise FailedPrecondition(
        f"{setting!r} is neither static:host:port[,host:port] nor endpointslice:namespace/service:port",
        reason="ADDRESSES_INVALID",
    )


def _is_address(text: str) -> bool:
    host, separator, port = text.rpartition(":")
    return bool(host and separator and port.isascii() and port.isdecimal() and 0 < int(port) < 65536)
