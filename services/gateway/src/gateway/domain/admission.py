"""How much the gateway takes on: what would wait too long is refused at once, before its body is read.

Two limits hold for each call: one of what it asks (an endpoint, a model, a collection), one of the process. Both are learnt
(domain/learnt_limit.py): an endpoint's from what its answers take, as the queues of features, Triton and retrieval are in that; the
process's from how late the event loop comes to what is due.
"""

from types import TracebackType
from typing import Protocol

from chassis.errors import MizzenError, ResourceExhausted, Unavailable
from gateway.domain.learnt_limit import REST_S, Limit, ProcessLimit
from gateway.domain.ports import Clock

OTHER = "other"
_LEAST_OF_PROCESS = 64
_KEPT, _NAMED = 1024, 100
_RETRY_AFTER_S = 1.0


class Seen(Protocol):
    """Counts what admission does."""

    def refused(self, reason: str, name: str) -> None:
        """A call was refused: `reason` is "endpoint" or "process", `name` what it asked."""
        ...

    def learnt(self, name: str, limit: int) -> None:
        """The limit of `name` is now this many calls at once."""
        ...

    def forgotten(self, name: str) -> None:
        """`name` has no limit any more, as nobody asks it."""
        ...

    def lagged(self, seconds: float) -> None:
        """The event loop was so late."""
        ...


class Slot:
    """A call's place in both limits, given back by `leave`, once: at the end of a `with` or by hand."""

    __slots__ = ("_admission", "_late_s", "_limit", "_own", "_started_s", "_weight")

    def __init__(
        self, admission: "Admission", limit: Limit, own: int, weight: int, started_s: float, late_s: float
    ) -> None:
        self._admission = admission
        self._limit: Limit | None = limit
        self._own = own
        self._weight = weight
        self._started_s = started_s
        self._late_s = late_s

    def leave(self, *, ok: bool) -> None:
        """Gives the place back. ok: the call succeeded, so how long it took says something."""
        limit, self._limit = self._limit, None
        if limit is not None:
            self._admission.left(limit, self._own, self._weight, self._started_s, self._late_s, ok=ok)

    def grow(self, weight: int) -> None:
        """Counts the call as so many ordinary ones from now on. Raises what `Admission.admit` raises, and keeps its place then."""
        if self._limit is not None:
            self._own, self._weight = self._admission.grown(self._limit, self._own, self._weight, weight)

    def __enter__(self) -> "Slot":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.leave(ok=kind is None)


class Admission:
    """Who may enter. Of one event loop."""

    def __init__(
        self, clock: Clock, seen: Seen, *, queue_s: float = 0.05, lag_s: float = 0.02, most: int = 1024
    ) -> None:
        """`queue_s`: seconds that a call may wait for what it asks; `lag_s`: that the event loop may be late; `most`: calls at
        once, whatever is learnt."""
        self._clock = clock
        self._seen = seen
        self._queue_s = queue_s
        self._most = most
        self._limits: dict[str, Limit] = {}
        self._named = 0
        self._busy = 0
        self._late_s = 0.0
        self._refused_s = -REST_S
        self.process = ProcessLimit("process", lag_s, least=_LEAST_OF_PROCESS, start=most, most=most, base_s=0.0)

    def admit(self, endpoint: str | None, weight: int = 1) -> Slot:
        """A place for a call of `endpoint` ("endpoint/flight-delay"; None: nothing that has a limit of its own).

        weight: how many ordinary calls it amounts to. ResourceExhausted while the endpoint, Unavailable while the process has more
        than it can do in time, both OVERLOADED.
        """
        now_s = self._clock.monotonic_s()
        limit = self._limit(endpoint or OTHER)
        limit.rested(now_s)
        own, counted = limit.weight_of(weight), self.process.weight_of(weight)
        reason = self._overloaded(limit, own, counted)
        if reason is not None:
            raise refusal(limit.name, reason)
        self._busy += limit.in_flight == 0
        limit.enter(own)
        self.process.enter(counted)
        return Slot(self, limit, own, counted, now_s, self._late_s)

    @property
    def refuses(self) -> bool:
        """Whether a call was refused within the last second."""
        return self._clock.monotonic_s() - self._refused_s < REST_S

    def refused(self, endpoint: str) -> str | None:
        """Why `admit` would refuse one more ordinary call of `endpoint`, counted as refused; None where it may get in.

        For who can refuse at less cost than by making a call first, while `refuses`; `refusal` puts it in words.
        """
        limit = self._limits.get(endpoint)
        if limit is None:
            return None
        limit.rested(self._clock.monotonic_s())
        return self._overloaded(limit, 1, 1)

    def _overloaded(self, limit: Limit, own: int, counted: int) -> str | None:
        if limit.name != OTHER and not limit.has_room(own):
            return self._count_refused(limit, "endpoint")
        process = self.process
        if not process.has_room(counted) and (
            # A call of who has less than an even share enters all the same: a busy endpoint shuts out no other.
            process.in_flight + counted > self._most
            or limit.in_flight + own > process.limit / (self._busy + (limit.in_flight == 0))
        ):
            return self._count_refused(limit, "process")
        return None

    def lagged(self, seconds: float) -> None:
        """The event loop came so late to what was due."""
        self._late_s += seconds
        self._seen.lagged(seconds)
        now_s = self._clock.monotonic_s()
        if self.process.sample(now_s, now_s - seconds, seconds):
            self._seen.learnt(self.process.name, int(self.process.limit))

    def grown(self, limit: Limit, own: int, counted: int, weight: int) -> tuple[int, int]:
        """What a call that weighs more than was known counts in both limits; for `Slot` alone.

        Such calls enter the first half of an endpoint's limit only, a quarter each at most: the rest is for ordinary ones.
        """
        weight = min(weight, max(1, int(limit.limit) // 4))
        more, more_counted = limit.weight_of(weight) - own, self.process.weight_of(weight) - counted
        if more <= 0:
            return own, counted
        if limit.in_flight + more > limit.limit / 2:
            raise refusal(limit.name, self._count_refused(limit, "endpoint"))
        if not self.process.has_room(more_counted):
            raise refusal(limit.name, self._count_refused(limit, "process"))
        limit.enter(more)
        self.process.enter(more_counted)
        return own + more, counted + more_counted

    def left(self, limit: Limit, own: int, counted: int, started_s: float, late_s: float, *, ok: bool) -> None:
        """A call ended; for `Slot` alone."""
        limit.in_flight -= own
        self.process.in_flight -= counted
        self._busy -= limit.in_flight == 0
        now_s = self._clock.monotonic_s()
        # How late the loop was meanwhile is the process's queue, not what the call waited for elsewhere.
        took_s = max(0.0, now_s - started_s - (self._late_s - late_s))
        if ok and not limit.proven and limit.name != OTHER and self._named < _NAMED:
            limit.proven, self._named = True, self._named + 1
            self._seen.learnt(limit.name, int(limit.limit))
        # What failed fast says nothing of a queue, what failed late does. Heavy calls take long whatever waits.
        if own == 1 and (ok or took_s > limit.allowed_s) and limit.sample(now_s, started_s, took_s) and limit.proven:
            self._seen.learnt(limit.name, int(limit.limit))

    def _limit(self, name: str) -> Limit:
        limit = self._limits.get(name)
        if limit is None:
            if len(self._limits) >= _KEPT:
                self._forget()
            limit = self._limits[name] = Limit(name, self._queue_s)
        return limit

    def _forget(self) -> None:
        """Names that nobody asks now; such that never answered go first, as anybody can make them up."""
        idle = [limit for limit in self._limits.values() if not limit.in_flight]
        for limit in [limit for limit in idle if not limit.proven] or idle:
            del self._limits[limit.name]
            if limit.proven:
                self._named -= 1
                self._seen.forgotten(limit.name)

    def _count_refused(self, limit: Limit, reason: str) -> str:
        self._refused_s = self._clock.monotonic_s()
        self._seen.refused(reason, limit.name if limit.proven else OTHER)
        return reason


def refusal(name: str, reason: str) -> MizzenError:
    """What a refused call of `name` is told. Another gateway may have room where it was the "process", not the "endpoint"."""
    if reason == "process":
        message = "the gateway has more to do than it can do in time; try again shortly"
        return Unavailable(message, reason="OVERLOADED", retry_after_s=_RETRY_AFTER_S)
    message = f"more is asked of {name} than it can answer in time; try again shortly"
    return ResourceExhausted(message, reason="OVERLOADED", retry_after_s=_RETRY_AFTER_S)
