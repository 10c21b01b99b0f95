"""One caller's context on the wire and in memory."""

from dataclasses import dataclass

from chassis.clock import Clock
from chassis.errors import DeadlineExceeded
from chassis.rpc.identity import Identity, Verifier
from mizzen.chassis.v1.envelope_pb2 import Envelope


@dataclass(slots=True)  # not frozen: made for every item, and frozen ones take thrice the time
class Call:
    """One item of work on behalf of a caller.

    request_id: the UUIDv7 that the gateway gave the public request.
    deadline: monotonic seconds of this process (``Clock.monotonic_s``).
    traceparent: W3C header of the caller's span, empty when tracing is off.
    """

    request_id: str
    identity: Identity
    deadline: float
    traceparent: str = ""

    def remaining_s(self, clock: Clock) -> float:
        """Seconds left; 0 or less when expired."""
        return self.deadline - clock.monotonic_s()


def open_envelope(envelope: Envelope, verifier: Verifier, clock: Clock) -> Call:
    """The call inside `envelope`. Raises Unauthenticated for a bad identity, DeadlineExceeded when expired on arrival."""
    identity = verifier.verify(envelope.identity)
    if envelope.remaining_us <= 0:
        raise DeadlineExceeded("the deadline had passed when the request arrived", reason="EXPIRED_ON_ARRIVAL")
    deadline = clock.monotonic_s() + envelope.remaining_us / 1e6
    return Call(envelope.request_id, identity, deadline, envelope.traceparent)


def seal(call: Call, identity_token: str, clock: Clock) -> Envelope:
    """`call` for the next hop, carrying what is left of its deadline."""
    return Envelope(
        request_id=call.request_id,
        identity=identity_token,
        remaining_us=max(0, int((call.deadline - clock.monotonic_s()) * 1e6)),
        traceparent=call.traceparent,
    )
