"""Whether the other end of a connection is still there, asked as seldom as foreign servers want it.

Servers of grpc-core (Triton), grpc-go and grpc-java end a connection with GOAWAY too_many_pings when a client pings it more than
twice within five minutes while they send neither headers nor data. So one ping is sent after a silence, and the next one only when
the peer answered a call since, or after more than five minutes. Between pings the kernel watches: it probes a silent peer, and ends
a connection whose bytes nobody acknowledges. A host that vanished is noticed that way in 30 s; a process that hangs while its
host lives is noticed by the ping in 20 s, or else by the deadline of the call.
"""

import math
import socket
from typing import Any, Literal

_SILENT_S, ANSWER_S = 10.0, 5.0
_NEXT_PING_S = 310.0
_PROBE_AFTER_S, _PROBE_EVERY_S, _PROBES, _UNACKNOWLEDGED_MS = 10, 5, 3, 20_000


class Pulse:
    """When to ping a peer that calls wait for, and when to give it up. Instants are seconds of one monotonic clock."""

    def __init__(self, *, pings: bool = True) -> None:
        """pings: False for a peer that ended a connection because of them."""
        self._pings = pings
        self._heard_s = 0.0
        self._pinged_s = -math.inf
        self._waiting = False
        self._answered = True

    def heard(self, now_s: float) -> None:
        """Bytes came, or the first call after a pause begins."""
        self._heard_s = now_s
        self._waiting = False

    def answered(self) -> None:
        """Headers or data came: the peer's count of pings begins anew."""
        self._answered = True

    def look(self, now_s: float) -> Literal["alive", "ping", "dead"]:
        """What to do now; to be asked every ANSWER_S seconds while calls wait. A ping is taken as sent."""
        silent_s = now_s - self._heard_s
        if self._waiting:
            return "dead" if now_s - self._pinged_s >= ANSWER_S else "alive"
        may = self._pings and (self._answered or now_s - self._pinged_s >= _NEXT_PING_S)
        if silent_s < _SILENT_S or not may:
            return "alive"
        self._waiting, self._answered, self._pinged_s = True, False, now_s
        return "ping"


def watch_peer(sock: Any) -> None:
    """Lets the kernel end the connection of a host that vanished. sock: the transport's; other kinds than TCP are left alone."""
    if sock is None or sock.family not in (socket.AF_INET, socket.AF_INET6):
        return
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    wanted = (
        (socket.TCP_KEEPIDLE, _PROBE_AFTER_S),
        (socket.TCP_KEEPINTVL, _PROBE_EVERY_S),
        (socket.TCP_KEEPCNT, _PROBES),
        (socket.TCP_USER_TIMEOUT, _UNACKNOWLEDGED_MS),
    )
    for option, value in wanted:
        sock.setsockopt(socket.IPPROTO_TCP, option, value)
