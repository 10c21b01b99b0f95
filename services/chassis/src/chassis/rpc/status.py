"""MizzenError ↔ google.rpc.Status ↔ gRPC: the only place where errors meet the wire."""

from collections.abc import Sequence
from typing import Any, cast

import grpc
from google.protobuf import any_pb2
from google.protobuf.message import DecodeError
from google.rpc import code_pb2, error_details_pb2, status_pb2

from chassis.errors import BY_CODE, Code, Internal, MizzenError
from chassis.telemetry.logs import logger

Metadata = Sequence[tuple[str, str | bytes]]

_LOG = logger("chassis.rpc.status")
DOMAIN = "mizzen.dev"
DETAILS_KEY = "grpc-status-details-bin"
INTERNAL_MESSAGE = "internal error"

_NUMBERS: dict[Code, int] = {code: code_pb2.Code.Value(code.value) for code in Code}
_CODES: dict[int, Code] = {number: code for code, number in _NUMBERS.items()}
GRPC_CODES: dict[Code, grpc.StatusCode] = {code: grpc.StatusCode[code.value] for code in Code}
_FROM_GRPC: dict[grpc.StatusCode, Code] = {status: code for code, status in GRPC_CODES.items()}
OK_STATUS = status_pb2.Status()
_ERROR_INFO = "/google.rpc.ErrorInfo"
_RETRY_INFO = "/google.rpc.RetryInfo"


def to_status(error: BaseException, request_id: str | None = None, **where: str) -> status_pb2.Status:
    """The error as a status with ErrorInfo (reason, field, ids) and, when known, RetryInfo.

    Anything but a MizzenError, and Internal itself, becomes INTERNAL without its text, which is logged instead with
    the request id and `where`.
    """
    if not isinstance(error, MizzenError):
        _LOG.error("unexpected error", request_id=request_id, exc_info=error, **where)
    if not isinstance(error, MizzenError) or error.code is Code.INTERNAL:
        reason = error.reason if isinstance(error, MizzenError) else Code.INTERNAL.value
        error = Internal(INTERNAL_MESSAGE, reason=reason)
    info = error_details_pb2.ErrorInfo(reason=error.reason, domain=DOMAIN, metadata=dict(error.ids))
    if error.field:
        info.metadata["field"] = error.field
    if request_id:
        info.metadata["request_id"] = request_id
    status = status_pb2.Status(code=_NUMBERS[error.code], message=error.message)
    status.details.append(_pack(info))
    if error.told_after_s is not None:
        retry = error_details_pb2.RetryInfo()
        retry.retry_delay.FromNanoseconds(round(error.told_after_s * 1e9))
        status.details.append(_pack(retry))
    return status


def _pack(message: Any) -> any_pb2.Any:
    packed = any_pb2.Any()
    packed.Pack(message)
    return packed


def from_status(status: status_pb2.Status) -> MizzenError | None:
    """The error that `status` carries; None for code 0. Unknown codes become Internal."""
    if status.code == 0:
        return None
    kind = BY_CODE.get(_CODES.get(status.code, Code.INTERNAL), Internal)
    reason: str | None = None
    field: str | None = None
    ids: dict[str, str] = {}
    retry_after_s: float | None = None
    for detail in status.details:
        if detail.type_url.endswith(_ERROR_INFO):
            info = error_details_pb2.ErrorInfo.FromString(detail.value)
            reason = info.reason or None
            ids = dict(info.metadata)
            field = ids.pop("field", None)
        elif detail.type_url.endswith(_RETRY_INFO):
            retry_after_s = error_details_pb2.RetryInfo.FromString(detail.value).retry_delay.ToNanoseconds() / 1e9
    return kind(status.message, reason=reason, field=field, ids=ids, retry_after_s=retry_after_s)


def trailing_metadata(status: status_pb2.Status) -> tuple[tuple[str, bytes], ...]:
    """What an abort carries so that gRPC clients find `status` with its details."""
    return ((DETAILS_KEY, status.SerializeToString()),)


def from_rpc_error(error: grpc.aio.AioRpcError) -> MizzenError:
    """The MizzenError behind a failed call, with its details when a Mizzen service sent them.

    A foreign server's status keeps its code; its text is kept out of the message (it may name hosts) and stays
    readable through ``__cause__`` where the caller raises ``from`` it.
    """
    details = _find(cast(Metadata, error.trailing_metadata() or ()))
    if details is not None:
        known = from_status(details)
        if known is not None:
            return known
    code = _FROM_GRPC.get(error.code(), Code.INTERNAL)
    kind = BY_CODE.get(code, Internal)
    return kind(f"the call failed with {code.value}", reason=f"UPSTREAM_{code.value}")


def _find(metadata: Metadata) -> status_pb2.Status | None:
    for key, value in metadata:
        if key == DETAILS_KEY and isinstance(value, bytes):
            try:
                return status_pb2.Status.FromString(value)
            except DecodeError:  # not ours: the plain code must do
                return None
    return None
