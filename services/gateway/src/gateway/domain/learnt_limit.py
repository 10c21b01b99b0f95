"""A limit of calls at once that is learnt from the time they spend in queues, as CoDel does (RFC 8289), and not from a number that
somebody would have to know: what answers take over what they take when little is under way.
"""

_WINDOW_S, REST_S = 0.1, 1.0
_FEWEST, _MOST_SAMPLES = 8, 512
_LEAST, _START, _MOST = 8, 64, 100_000


class Limit:
    """How many calls may be under way at once, so that none waits much longer than `queue_s`.

    A fifth of all answers of a window may be quicker than its measure: a burst that drains passes, a queue that stands does not.
    The new limit then follows from Little's law: as many at once as end a second, times the seconds that one may take.
    """

    __slots__ = (
        "_base_s", "_began_s", "_changed_s", "_ended", "_least", "_most",
        "_peak", "_queue_s", "_samples", "_stands", "_start", "_told_s", "_wanted", "in_flight", "limit", "name", "proven",
    )  # fmt: skip

    def __init__(
        self,
        name: str,
        queue_s: float,
        *,
        least: int = _LEAST,
        start: int = _START,
        most: int = _MOST,
        base_s: float | None = None,
    ) -> None:
        """`queue_s`: seconds that a call may wait; `start`: calls at once before anything is known, and again after a while of
        calm; `least` and `most`: bounds of what is learnt; `base_s`: seconds without any queue, where that is known."""
        self.name = name
        self._least, self._start, self._most = least, start, most
        self.limit = float(start)
        self.in_flight = 0
        # Whether a call of that name ever succeeded: only such names are shown in metrics.
        self.proven = False
        self._queue_s = queue_s
        self._base_s = base_s
        self._changed_s, self._told_s = 0.0, 0.0
        self._samples: list[float] = []
        self._began_s, self._ended = 0.0, 0
        self._peak = 0
        self._wanted = False
        self._stands = False

    @property
    def allowed_s(self) -> float:
        """Seconds that an answer may take: unhindered, plus the queue (a slow answer may wait as long as it takes)."""
        base_s = self._base_s or 0.0
        return base_s + max(self._queue_s, base_s)

    def weight_of(self, weight: int) -> int:
        """What a call of that weight counts: never more than half of the limit, so that it gets in when little is under way."""
        return min(weight, max(1, int(self.limit) // 2))

    def has_room(self, weight: int) -> bool:
        """Whether a call of that weight may enter."""
        if self.in_flight + weight <= self.limit:
            return True
        self._wanted = True
        return False

    def rested(self, now_s: float) -> None:
        """After a second without any call there is no queue: what was learnt of one is forgotten."""
        if not self.in_flight and now_s - self._told_s > REST_S:
            self.limit = max(self.limit, float(self._start))
            self._told_s = now_s

    def enter(self, weight: int) -> None:
        """Counts a call in."""
        self.in_flight += weight
        self._peak = max(self._peak, self.in_flight)

    def sample(self, now_s: float, started_s: float, seconds: float) -> bool:
        """Learns from a call that started then and took that long; says whether the limit changed."""
        samples, self._told_s = self._samples, now_s
        if started_s < self._changed_s:
            return False
        if not samples:
            self._began_s, self._ended = now_s, 0
        self._ended += 1
        if len(samples) < _MOST_SAMPLES:
            samples.append(seconds)
        window_s = now_s - self._began_s
        if window_s < _WINDOW_S or len(samples) < _FEWEST:
            return False
        samples.sort()
        before = self.limit
        self._learn(samples[len(samples) // 5], (self._ended - 1) / window_s)
        if self.limit != before:
            # That shows in calls that come after it, not in those under way.
            self._changed_s = now_s
        samples.clear()
        self._peak, self._wanted = self.in_flight, False
        return self.limit != before

    def _learn(self, took_s: float, per_s: float) -> None:
        base_s = self._base_s
        if base_s is None or took_s < base_s:
            self._base_s = took_s
        elif self._peak <= self._least:
            # So few at once make no queue: the answers themselves became slower.
            self._base_s = base_s + (took_s - base_s) / 4
        ratio = self.allowed_s / max(took_s, 1e-6)
        stood, self._stands = self._stands, ratio < 1
        if ratio < 1:
            # One late window may be what a pause of the machine left behind; it takes two to make a queue that stands.
            if stood:
                self.limit = max(float(self._least), min(self.limit, self._peak, self._fitting(ratio, per_s)))
        elif self._wanted or self._peak * 2 > self.limit:
            self.limit = min(self._most, self.limit * 2, max(self.limit, self._fitting(ratio, per_s)))
        elif self.limit < self._start:
            self.limit = min(self._start, self.limit * 1.1)

    def _fitting(self, ratio: float, per_s: float) -> float:
        """As many at once as end a second, times the seconds that one may take."""
        return per_s * self.allowed_s


class ProcessLimit(Limit):
    """Learns from the loop's lag, told at a steady pace, which says nothing of how many calls end."""

    __slots__ = ()

    def _fitting(self, ratio: float, per_s: float) -> float:
        return self._peak * max(0.5, ratio)
