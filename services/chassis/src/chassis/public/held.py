"""One client's TCP connection of a public gRPC port: what the kernel counted of it, held against what its calls told.

What was received and is no message yet is held somewhere or belongs to none; what was answered and is not acknowledged waits.
"""

import math

from chassis.public.flooders import GIVEN_UP_EBB
from chassis.public.tcp_sockets import Traffic

SMALL = 4096
"""Bytes too few to mean that something is held or waits."""
RATE_S = 2.0
"""Seconds over which the rate is averaged that a client reads at."""

_FREE = 32 * 1024  # greetings, a TLS handshake
_WINDOW_UPDATES = 256  # a byte of them for so many bytes of answers
_PATIENCE_S = 10.0
_FLOOD_EBBS = 256 * 1024  # a second: pings, settings and resets of a client that means well
_HELD_EBBS = 256  # a second: pings and heads of frames on a connection whose call waits for hours
_LEAST_READ = 16 * 1024  # bytes a second that a client takes of an answer which it reads


class Connection:
    """One client's connection: what its calls told, and what came of that at the last tick."""

    __slots__ = (
        "abandoned", "acknowledged", "answered", "calls", "calm_s", "delivered", "excused", "given_up", "held", "owed",
        "owed_s", "patience", "peer", "quiet_s", "rate", "reading", "received", "seen", "stalled_s", "unexplained", "unsent",
        "waits_s", "writing",
    )  # fmt: skip

    def __init__(self) -> None:
        self.peer = ""
        self.seen = False
        self.received = self.acknowledged = 0  # by the kernel
        self.delivered = self.answered = 0  # by calls, since the last tick
        self.calls = 0  # under way, of callers who were let in
        self.reading = 0  # calls that wait for a message
        self.writing = 0  # bytes of answers that calls have given and the library has not sent whole
        self.held = 0.0  # received, and in no message yet
        self.owed = self.owed_s = 0.0  # of what was held so long ago, what no message since then can have been made of
        self.excused = 0.0  # held, and perhaps of calls that were given up
        self.unsent = 0.0  # answered, and not acknowledged
        self.unexplained = 0.0  # received for nothing
        self.quiet_s = self.stalled_s = self.calm_s = 0.0
        self.waits_s = 0.0  # since when something of its answers has waited
        self.rate = 0.0  # bytes a second that the client takes of answers, of the last seconds
        self.abandoned = False
        self.given_up = 0.0
        self.patience = math.inf

    def tick(self, now: Traffic, passed_s: float, message_bytes: int, *, knows_readers: bool) -> None:
        """Takes what the kernel counted since the last tick together with what calls told."""
        received, acknowledged = now.received - self.received, now.acknowledged - self.acknowledged
        # what began within these seconds is no older than now
        held_on, waited = self.held > SMALL, self.unsent > SMALL
        if not self.seen:
            received -= _FREE
        self.seen, self.received, self.acknowledged = True, now.received, now.acknowledged
        delivered, answered, self.delivered, self.answered = self.delivered, self.answered, 0, 0
        gained = received - delivered - acknowledged // _WINDOW_UPDATES
        # what came since the last look is whole: a long rest before it makes nobody's flood smaller
        self.held = max(0.0, max(0.0, self.held - _HELD_EBBS * passed_s) + gained)
        if knows_readers and not self.reading:
            self.held = 0.0
        self.owed = min(self.owed - _HELD_EBBS * passed_s, self.held)
        self.owed_s += passed_s
        self.excused = self.held if self.abandoned else min(self.excused, self.held)
        if self.abandoned or self.owed <= SMALL:
            self.owed, self.owed_s = self.held - self.excused, 0.0
        self.unexplained = max(0.0, max(0.0, self.unexplained - _FLOOD_EBBS * passed_s) + gained)
        self._forgive(passed_s, message_bytes)
        self.given_up = max(0.0, self.given_up - GIVEN_UP_EBB * passed_s)
        self.unsent = max(0.0, self.unsent + answered - acknowledged)
        if knows_readers:  # a compressed answer is acknowledged with fewer bytes than it has: what is out does not wait
            self.unsent = min(self.unsent, self.writing)
        self.quiet_s = self.quiet_s + passed_s if held_on and self.held > SMALL and not delivered else 0.0
        reads = acknowledged >= _LEAST_READ * passed_s
        self.waits_s = self.waits_s + passed_s if self.unsent > SMALL else 0.0
        if passed_s:
            self.rate += (acknowledged / passed_s - self.rate) * min(1.0, passed_s / RATE_S)
        self.stalled_s = self.stalled_s + passed_s if waited and self.unsent > SMALL and not reads else 0.0
        moves = received > 0 or acknowledged > 0 or self.held > SMALL or self.unsent > SMALL
        self.calm_s = 0.0 if moves else self.calm_s + passed_s

    def _forgive(self, passed_s: float, message_bytes: int) -> None:
        """Half a body whose call was given up is no flood; a body's worth of them every ten seconds."""
        self.patience = min(message_bytes, self.patience + message_bytes * passed_s / _PATIENCE_S)
        if self.abandoned and self.unexplained < math.inf:
            forgiven = min(self.patience, self.unexplained)
            self.patience -= forgiven
            self.unexplained -= forgiven
        self.abandoned = False
