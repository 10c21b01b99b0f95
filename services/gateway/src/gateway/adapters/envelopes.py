"""Envelopes of internal calls: the gateway alone mints identities."""

from chassis.clock import Clock
from chassis.identity import Identity, Minter
from gateway.domain.limits import remaining_s
from gateway.domain.model import Call, Caller
from mizzen.chassis.v1.envelope_pb2 import Envelope


class Envelopes:
    """Writes what every internal call carries."""

    def __init__(self, minter: Minter, clock: Clock) -> None:
        self._minter = minter
        self._clock = clock
        self._identities: dict[Caller, Identity] = {}

    def write(self, call: Call, target: Envelope) -> float:
        """Fills `target`; the seconds left. DeadlineExceeded when there are none."""
        left_s = remaining_s(self._clock, call.deadline_s)
        target.request_id = call.request_id
        target.identity = self._minter.mint(self._identity(call.caller))
        target.remaining_us = max(1, int(left_s * 1e6))
        if call.traceparent:
            target.traceparent = call.traceparent
        return left_s

    def _identity(self, caller: Caller) -> Identity:
        identity = self._identities.get(caller)
        if identity is None:
            if len(self._identities) > 4096:
                self._identities.clear()
            identity = Identity(caller.tenant, caller.subject, caller.scopes, caller.groups)
            self._identities[caller] = identity
        return identity
