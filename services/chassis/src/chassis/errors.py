"""What can go wrong, as one tree. Domain code raises these; the edges render them.

::

    MizzenError
    ├── InvalidArgument      the request is wrong; `field` names the place
    ├── OutOfRange           a value lies outside what can be answered
    ├── NotFound             a thing the request names does not exist
    ├── AlreadyExists        it exists already
    ├── Unauthenticated      no valid identity
    ├── PermissionDenied     a valid identity without the right
    ├── FailedPrecondition   the system is not in the state that the request needs
    ├── Aborted              a concurrent change won
    ├── ResourceExhausted    a quota or a bound; `retry_after_s` says when to come back
    ├── Unavailable          a dependency cannot be reached now; safe to try again
    ├── DeadlineExceeded     the time given is over
    ├── Cancelled            the caller went away
    ├── Unimplemented        not offered here
    ├── DataLoss             stored data cannot be read back
    └── Internal             our fault; the text is never shown

This module imports the standard library only, so that every domain may use it.
"""
# ruff: noqa: N818 - the classes carry the names of the codes

from collections.abc import Mapping
from enum import StrEnum
from typing import ClassVar


class Code(StrEnum):
    """Status codes with gRPC's names; the value is the name."""

    OK = "OK"
    CANCELLED = "CANCELLED"
    INVALID_ARGUMENT = "INVALID_ARGUMENT"
    DEADLINE_EXCEEDED = "DEADLINE_EXCEEDED"
    NOT_FOUND = "NOT_FOUND"
    ALREADY_EXISTS = "ALREADY_EXISTS"
    PERMISSION_DENIED = "PERMISSION_DENIED"
    RESOURCE_EXHAUSTED = "RESOURCE_EXHAUSTED"
    FAILED_PRECONDITION = "FAILED_PRECONDITION"
    ABORTED = "ABORTED"
    OUT_OF_RANGE = "OUT_OF_RANGE"
    UNIMPLEMENTED = "UNIMPLEMENTED"
    INTERNAL = "INTERNAL"
    UNAVAILABLE = "UNAVAILABLE"
    DATA_LOSS = "DATA_LOSS"
    UNAUTHENTICATED = "UNAUTHENTICATED"


class MizzenError(Exception):
    """Any failure with a declared meaning.

    message: one sentence, safe to show to a caller.
    reason: stable UPPER_SNAKE name of the cause; the class's code when not given.
    field: place in the request, such as ``entities.tailnum[3]``.
    ids: names of the things involved, such as ``{"endpoint": "flight-delay"}``.
    retry_after_s: seconds after which trying again makes sense.
    """

    code: ClassVar[Code] = Code.INTERNAL
    again_after_s: ClassVar[float | None] = None
    """What a caller is told where an error does not know `retry_after_s`."""

    def __init__(
        self,
        message: str,
        *,
        reason: str | None = None,
        field: str | None = None,
        ids: Mapping[str, str] | None = None,
        retry_after_s: float | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.reason = reason or self.code.value
        self.field = field
        self.ids: Mapping[str, str] = ids or {}
        self.retry_after_s = retry_after_s

    @property
    def told_after_s(self) -> float | None:
        """Seconds after which a caller is told to try again."""
        return self.again_after_s if self.retry_after_s is None else self.retry_after_s

    def __repr__(self) -> str:
        place = f", field={self.field!r}" if self.field else ""
        return f"{type(self).__name__}({self.message!r}, reason={self.reason!r}{place})"


class InvalidArgument(MizzenError):
    """The request is wrong, whatever the state of the system."""

    code = Code.INVALID_ARGUMENT


class OutOfRange(MizzenError):
    """A value lies outside what can be answered."""

    code = Code.OUT_OF_RANGE


class NotFound(MizzenError):
    """A thing that the request names does not exist."""

    code = Code.NOT_FOUND


class AlreadyExists(MizzenError):
    """The thing to create exists already."""

    code = Code.ALREADY_EXISTS


class Unauthenticated(MizzenError):
    """No valid identity came with the request."""

    code = Code.UNAUTHENTICATED


class PermissionDenied(MizzenError):
    """The identity is valid and lacks the right."""

    code = Code.PERMISSION_DENIED


class FailedPrecondition(MizzenError):
    """The system is not in the state that the request needs."""

    code = Code.FAILED_PRECONDITION


class Aborted(MizzenError):
    """A concurrent change won; read again and retry."""

    code = Code.ABORTED


class ResourceExhausted(MizzenError):
    """A quota or a bound is used up."""

    code = Code.RESOURCE_EXHAUSTED


class Unavailable(MizzenError):
    """A dependency cannot be reached now; trying again may work."""

    code = Code.UNAVAILABLE
    again_after_s = 1.0


class DeadlineExceeded(MizzenError):
    """The time given by the caller is over."""

    code = Code.DEADLINE_EXCEEDED


class Cancelled(MizzenError):
    """The caller went away."""

    code = Code.CANCELLED


class Unimplemented(MizzenError):
    """Not offered here."""

    code = Code.UNIMPLEMENTED


class DataLoss(MizzenError):
    """Stored data cannot be read back."""

    code = Code.DATA_LOSS


class Internal(MizzenError):
    """A fault of ours. Raise it only where the cause is already logged; its text is not shown."""

    code = Code.INTERNAL


BY_CODE: Mapping[Code, type[MizzenError]] = {kind.code: kind for kind in MizzenError.__subclasses__()}
