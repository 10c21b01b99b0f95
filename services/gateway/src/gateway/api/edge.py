"""What REST and gRPC do first, alike: authenticate, check the scope, set the deadline, admit, make the request id."""

from collections.abc import Callable

from chassis.clock import Clock, RequestIds
from chassis.errors import DeadlineExceeded, InvalidArgument, MizzenError, PermissionDenied
from gateway.domain.admission import Admission
from gateway.domain.model import Call
from gateway.domain.ports import Authenticator

# What a caller may do; `*` is all of it.
READ, INFER, WRITE = "read", "infer", "write"
DEFAULT_S = 5.0
INFER_S = 10.0
ASK_S = 60.0
WRITE_S = 60.0
MAX_TIMEOUT_MS = 3_600_000
MAX_CLIENT_ID = 128


class Edge:
    """Opens calls."""

    def __init__(
        self,
        authenticator: Authenticator,
        clock: Clock,
        ids: RequestIds,
        tenant_seen: Callable[[str], None],
        admission: Admission,
    ) -> None:
        """`tenant_seen` counts a request of a tenant."""
        self._authenticator = authenticator
        self._clock = clock
        self._ids = ids
        self._tenant_seen = tenant_seen
        self._admission = admission

    def new_id(self) -> str:
        """A request id of ours; a client's own never becomes one."""
        return self._ids.new()

    def known(self, credential: str | None) -> None:
        """Unauthenticated unless somebody has this credential."""
        self._authenticator.caller(credential)

    def may(self, credential: str | None, scope: str) -> bool:
        """Whether somebody has this credential, and `scope` with it."""
        try:
            scopes = self._authenticator.caller(credential).scopes
        except MizzenError:
            return False
        return scope in scopes or "*" in scopes

    @property
    def refuses(self) -> bool:
        """Whether admission refuses calls at present."""
        return self._admission.refuses

    def refused(self, endpoint: str) -> str | None:
        """Why `open` would refuse a call as there is too much to do; `gateway.domain.admission.refusal` puts it in words."""
        return self._admission.refused(endpoint)

    def open(
        self,
        request_id: str,
        credential: str | None,
        scope: str,
        timeout_s: float,
        *,
        client_request_id: str = "",
        traceparent: str = "",
        endpoint: str | None = None,
    ) -> Call:
        """Unauthenticated, PermissionDenied, DeadlineExceeded for a deadline that has passed already, or OVERLOADED.

        endpoint: what has a limit of its own, such as "endpoint/flight-delay". Who opens a call gives its place back at its end.
        """
        caller = self._authenticator.caller(credential)
        if scope not in caller.scopes and "*" not in caller.scopes:
            message = f"this API key has no scope {scope}"
            raise PermissionDenied(message, reason="SCOPE_MISSING", ids={"scope": scope})
        self._tenant_seen(caller.tenant)
        if timeout_s <= 0:
            raise DeadlineExceeded("the deadline passed before the request arrived", reason="EXPIRED_ON_ARRIVAL")
        if client_request_id:
            client_request_id = "".join(c for c in client_request_id[:MAX_CLIENT_ID] if c.isprintable())
        return Call(
            request_id,
            caller,
            self._clock.now_us(),
            self._clock.monotonic_s() + timeout_s,
            client_request_id,
            traceparent,
            self._admission.admit(endpoint),
        )


def timeout_ms(text: str, default_s: float) -> float:
    """Seconds of `x-request-timeout-ms`. InvalidArgument when it is no whole number of 0 to an hour."""
    if not text:
        return default_s
    if not (text.isascii() and text.isdecimal() and len(text) <= 7 and int(text) <= MAX_TIMEOUT_MS):
        message = f"x-request-timeout-ms must be a whole number of milliseconds, at most {MAX_TIMEOUT_MS}"
        raise InvalidArgument(message, reason="INVALID_VALUE", field="x-request-timeout-ms")
    return int(text) / 1000
