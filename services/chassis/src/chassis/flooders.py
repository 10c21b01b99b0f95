"""Hosts whose connections were ended for floods: they are borne with less, and their next connections are taken later.

A host may be an address that many share. One flood makes it suspect: what a client that means well never does ends a connection
of it sooner. Another flood while it is suspect has its new connections refused for a while. Open ones go on.
"""

_SUSPECT_S = 60.0
_REFUSED_S = 1.0
STRICTER = 8  # bounds of a suspect are so many times smaller
_MOST = 1024


class Flooders:
    """Time is what its owner says, in seconds from any point."""

    def __init__(self) -> None:
        self._suspect: dict[str, float] = {}  # until when
        self._refused: dict[str, float] = {}

    def flooded(self, host: str, now: float) -> None:
        """A connection of this host was ended for a flood."""
        if host in self._suspect:
            self._refused[host] = now + _REFUSED_S
        self._suspect.pop(host, None)
        self._suspect[host] = now + _SUSPECT_S
        if len(self._suspect) > _MOST:
            self._suspect.pop(next(iter(self._suspect)))

    def suspects(self, host: str) -> bool:
        """Whether it flooded not long ago."""
        return host in self._suspect

    def refused(self, now: float) -> frozenset[str]:
        """Hosts whose connections are not to be taken; forgets what is over."""
        for known in (self._suspect, self._refused):
            for host in [host for host, until in known.items() if until <= now]:
                del known[host]
        return frozenset(self._refused)
