"""What all connections of a public HTTP port have in common: their bounds, and who goes when one of these is met."""

from typing import Protocol

from uvicorn.protocols.http.httptools_impl import STATUS_LINE

from chassis.public.crowds import leavers
from chassis.public.http_bounds import PublicAsgi

RETRY_S = 1.0
# Resident memory of a held byte: what ended connections have let go of lies between what stays, and is not the system's yet.
_COST = 1.25


class Holder(Protocol):
    """A connection, as the others are concerned."""

    def endable(self) -> int:
        """Bytes that ending it frees; none while a request that has arrived is worked on."""

    def end_for_room(self) -> None:
        """Ends it as too many bytes are held."""

    network: str
    """Whose it is: chassis.public.crowds."""

    def idle_since(self) -> float:
        """When it was last of use; infinity while it is."""

    def drop(self) -> None:
        """Ends it now."""

    def look(self, now: float) -> None:
        """Ends it where a deadline passes before the next look."""


class Shared:
    """What all connections of a port have in common: the bounds, and the bytes that they hold together."""

    def __init__(self, public: PublicAsgi) -> None:
        self.bounds = public.bounds
        self.refuse = public.refuse
        self.turn_away = public.turn_away
        self.held = 0
        self.connections: dict[Holder, None] = {}
        self._common: list[tuple[bytes, bytes]] = []
        self._heads: dict[int, bytes] = {}

    def head(self, status: int, common: list[tuple[bytes, bytes]]) -> bytes:
        """The status line and the headers that every answer has, which uvicorn makes anew each second, for the Date."""
        if common is not self._common:
            self._common = common
            self._heads.clear()
        head = self._heads.get(status)
        if head is None:
            fields = [b"%b: %b\r\n" % field for field in common]
            head = self._heads[status] = b"".join([STATUS_LINE[status], *fields])
        return head

    def hold(self, more: int) -> None:
        """Counts bytes; over the bound, whoever holds the most is ended, as long as others hold something as well."""
        self.held += more
        while more > 0 and _COST * self.held > self.bounds.buffered_bytes:
            most = max(self.connections, key=lambda each: each.endable(), default=None)
            if most is None or not 0 < most.endable() < self.held:
                return
            most.end_for_room()

    def room(self) -> bool:
        """Whether one more connection may come; if need be an idle one goes: of the network that has most, idle the longest."""
        if len(self.connections) < self.bounds.connections:
            return True
        idle = leavers([(each.network, each.idle_since(), each) for each in self.connections], 1)
        for each in idle:
            each.drop()
        return bool(idle)
