"""Envelopes of internal calls: the gateway alone mints identities."""

from chassis.clock import Clock
from chassis.lifecycle import Runtime
from chassis.rpc.identity import Identity, Minter
from chassis.wire.protobuf import delimited, number_tag, tag, varint
from gateway.domain.limits import remaining_s
from gateway.domain.model import Call, Caller
from gateway.settings import Settings
from mizzen.chassis.v1.envelope_pb2 import Envelope

_REQUEST_ID, _IDENTITY, _TRACEPARENT = (tag(Envelope, name) for name in ("request_id", "identity", "traceparent"))
_REMAINING = number_tag(Envelope, "remaining_us")


class Envelopes:
    """Writes what every internal call carries."""

    def __init__(self, minter: Minter, clock: Clock) -> None:
        self._minter = minter
        self._clock = clock
        self._identities: dict[Caller, Identity] = {}
        self._tokens: dict[Caller, tuple[str, bytes]] = {}

    @classmethod
    def of(cls, runtime: Runtime[Settings]) -> "Envelopes":
        """Those of a process, signed with its key."""
        return cls(Minter(runtime.settings.identity_key_file, runtime.clock), runtime.clock)

    def write(self, call: Call, target: Envelope) -> float:
        """Fills `target`; the seconds left. DeadlineExceeded when there are none."""
        left_s = remaining_s(self._clock, call.deadline_s)
        target.request_id = call.request_id
        target.identity = self._minter.mint(self._identity(call.caller))
        target.remaining_us = max(1, int(left_s * 1e6))
        if call.traceparent:
            target.traceparent = call.traceparent
        return left_s

    def serialized(self, call: Call) -> bytes:
        """The same as bytes."""
        left_us = max(1, int(remaining_s(self._clock, call.deadline_s) * 1e6))
        request_id = call.request_id.encode()
        data = _REQUEST_ID + varint(len(request_id)) + request_id + self._token(call.caller)
        data += _REMAINING + varint(left_us)
        return data + delimited(_TRACEPARENT, call.traceparent.encode()) if call.traceparent else data

    def _token(self, caller: Caller) -> bytes:
        """The field `identity`; made anew only when the token is another."""
        token = self._minter.mint(self._identity(caller))
        known = self._tokens.get(caller)
        if known is None or known[0] is not token:
            if len(self._tokens) > 4096:
                self._tokens.clear()
            known = self._tokens[caller] = token, delimited(_IDENTITY, token.encode())
        return known[1]

    def _identity(self, caller: Caller) -> Identity:
        identity = self._identities.get(caller)
        if identity is None:
            if len(self._identities) > 4096:
                self._identities.clear()
            identity = Identity(caller.tenant, caller.subject, caller.scopes, caller.groups)
            self._identities[caller] = identity
        return identity
