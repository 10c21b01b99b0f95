"""What one peer may cost: frames that make work and carry nothing, and bytes that wait."""

import sys
import time
from collections.abc import Callable
from typing import Any

from chassis.wire.frames import ENHANCE_YOUR_CALM, ConnectionFaultError

_MOST_IDLE_FRAMES = 1500
_IDLE_FRAMES_A_SECOND = 300
# By kind of frame, where one makes more work than a ping; settings are sent once or twice in a connection's life.
SETTINGS_COST = 25


class Calm:
    """Counts frames that carry no call: pings, settings, resets, empty data, windows, priorities.

    Calls that are answered pay for theirs. A thousand at once are borne (as many cancels are no attack), and some hundred a second
    for ever; more end the connection.
    """

    __slots__ = ("_level", "_since_s")

    def __init__(self) -> None:
        self._level = 0.0
        self._since_s = time.monotonic()

    def count(self, cost: int = 1) -> None:
        """Raises ConnectionFaultError when it is too much."""
        self._level += cost
        if self._level > _MOST_IDLE_FRAMES:
            now_s = time.monotonic()
            self._level = max(cost, self._level - (now_s - self._since_s) * _IDLE_FRAMES_A_SECOND)
            self._since_s = now_s
            if self._level > _MOST_IDLE_FRAMES:
                raise ConnectionFaultError(ENHANCE_YOUR_CALM, "too many frames that carry nothing")

    def earn(self, frames: int) -> None:
        """Something was sent for which the peer may answer with so many frames."""
        if self._level:
            self._level = max(0.0, self._level - frames)


def _endless(stream: Any) -> None:
    del stream


class Budget:
    """Bytes of one kind that all connections of a process may hold together, by stream.

    Over it, the greatest stream of the connection that holds most is ended, until the rest fits.
    """

    def __init__(self, most: int = sys.maxsize, end: Callable[[Any], None] = _endless) -> None:
        """most: bytes; end: ends a stream, whose bytes count no more by then."""
        self.most = most
        self.held = 0
        self._end = end
        self._streams: dict[Any, int] = {}

    def hold(self, stream: Any, size: int) -> None:
        """`stream` holds `size` bytes now."""
        self.held += size - self._streams.get(stream, 0)
        self._streams[stream] = size
        while self.held > self.most:
            greatest = self._greatest()
            self.release(greatest)
            self._end(greatest)

    def release(self, stream: Any) -> None:
        """`stream` holds nothing any more."""
        self.held -= self._streams.pop(stream, 0)

    def _greatest(self) -> Any:
        by_connection: dict[Any, int] = {}
        for stream, size in self._streams.items():
            by_connection[stream.connection] = by_connection.get(stream.connection, 0) + size
        most = max(by_connection, key=lambda connection: by_connection[connection])
        return max((one for one in self._streams if one.connection is most), key=lambda one: self._streams[one])
