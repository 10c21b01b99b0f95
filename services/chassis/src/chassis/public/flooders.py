"""Hosts whose connections were ended for floods: they are borne with less, and their next connections are taken later.

A host may be an address that many share. One flood makes it suspect: what a client that means well never does ends a connection
of it sooner. Another flood while it is suspect has its new connections refused, first for a second, then each time twice as long.
Open ones go on.

A host that gives up calls on ever new connections, each gone before anybody looks at it, is refused at once: such calls wait in
the library by the hundred thousand, in front of everybody else's.
"""

_SUSPECT_S = 60.0
_REFUSED_S = 1.0
_LONGEST_REFUSED_S = 16.0
STRICTER = 8  # bounds of a suspect are so many times smaller
MOST_GIVEN_UP = 1000  # calls without a request on one connection; more are a flood of resets
GIVEN_UP_EBB = 100  # a second
_MOST = 1024


class Flooders:
    """Time is what its owner says, in seconds from any point."""

    def __init__(self) -> None:
        self._suspect: dict[str, float] = {}  # until when
        self._refused: dict[str, float] = {}
        self._refused_s: dict[str, float] = {}  # how long the last time, of suspects
        self._given_up: dict[str, tuple[float, float]] = {}  # on connections that are gone, and when that was

    def flooded(self, host: str, now: float) -> None:
        """A connection of this host was ended for a flood."""
        if host in self._suspect:
            self._refuse(host, now)
        self._suspect.pop(host, None)
        self._suspect[host] = now + _SUSPECT_S
        if len(self._suspect) > _MOST:
            self._clear(next(iter(self._suspect)))

    def gave_up(self, host: str, calls: float, now: float) -> bool:
        """This host gave up so many calls on a connection that is gone; whether that is a flood, with those before."""
        before, at = self._given_up.pop(host, (0.0, now))
        left = max(0.0, before - GIVEN_UP_EBB * (now - at)) + calls
        if left > MOST_GIVEN_UP / STRICTER:
            self._suspect.setdefault(host, now)
            self.flooded(host, now)
            return True
        self._given_up[host] = left, now
        if len(self._given_up) > _MOST:
            self._given_up.pop(next(iter(self._given_up)))
        return False

    def suspects(self, host: str) -> bool:
        """Whether it flooded not long ago."""
        return host in self._suspect

    def refused(self, now: float) -> frozenset[str]:
        """Hosts whose connections are not to be taken; forgets what is over."""
        for host in [host for host, until in self._suspect.items() if until <= now]:
            self._clear(host)
        for host in [host for host, until in self._refused.items() if until <= now]:
            del self._refused[host]
        return frozenset(self._refused)

    def _refuse(self, host: str, now: float) -> None:
        if host not in self._refused:
            self._refused_s[host] = min(2 * self._refused_s.get(host, _REFUSED_S / 2), _LONGEST_REFUSED_S)
        self._refused[host] = now + self._refused_s[host]

    def _clear(self, host: str) -> None:
        del self._suspect[host]
        self._refused_s.pop(host, None)
