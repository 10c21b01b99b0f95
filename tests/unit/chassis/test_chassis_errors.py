"""Errors keep what they say on the way over the wire and back."""

import grpc
import pytest
from google.rpc import code_pb2, error_details_pb2, status_pb2
from grpc import aio

from chassis.errors import BY_CODE, Code, Internal, MizzenError, NotFound, Unavailable
from chassis.rpc.status import DOMAIN, GRPC_CODES, from_rpc_error, from_status, to_status, trailing_metadata

KINDS = MizzenError.__subclasses__()


def rpc_error(status: status_pb2.Status, code: grpc.StatusCode) -> aio.AioRpcError:
    trailing = aio.Metadata(*trailing_metadata(status))
    return aio.AioRpcError(code, aio.Metadata(), trailing, details=status.message)


def test_every_code_has_one_class() -> None:
    assert {kind.code for kind in KINDS} == set(Code) - {Code.OK}
    assert len(KINDS) == len(BY_CODE)
    assert all(kind.__doc__ for kind in KINDS)
    assert all(code.value == code.name == GRPC_CODES[code].name for code in Code)


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind is not Internal])
def test_an_error_survives_the_wire(kind: type[MizzenError]) -> None:
    sent = kind("it is not so", reason="NOT_SO", field="entities.tailnum[3]", ids={"a": "b"}, retry_after_s=0.25)
    status = status_pb2.Status.FromString(to_status(sent).SerializeToString())
    assert status.code == code_pb2.Code.Value(kind.code.value)
    for got in (from_status(status), from_rpc_error(rpc_error(status, GRPC_CODES[kind.code]))):
        assert type(got) is kind
        assert (got.message, got.reason, got.field) == ("it is not so", "NOT_SO", "entities.tailnum[3]")
        assert (dict(got.ids), got.retry_after_s) == ({"a": "b"}, 0.25)


def test_what_is_away_says_when_to_come_back() -> None:
    assert Unavailable("the online store cannot be reached").told_after_s == 1
    assert Unavailable("it is restored", retry_after_s=60).told_after_s == 60
    (retry,) = [
        detail for detail in to_status(Unavailable("x")).details if detail.type_url.endswith("google.rpc.RetryInfo")
    ]
    assert error_details_pb2.RetryInfo.FromString(retry.value).retry_delay.seconds == 1


def test_details_are_googles_own() -> None:
    status = to_status(NotFound("no", reason="MODEL_NOT_FOUND", field="model"), request_id="r1")
    info = error_details_pb2.ErrorInfo()
    assert status.details[0].Unpack(info)
    assert (info.domain, info.reason) == (DOMAIN, "MODEL_NOT_FOUND")
    assert dict(info.metadata) == {"field": "model", "request_id": "r1"}


@pytest.mark.parametrize("error", [ValueError("secret"), KeyError("secret"), Internal("secret"), MizzenError("secret")])
def test_what_nobody_declared_says_nothing(error: Exception) -> None:
    status = to_status(error)
    assert status.code == code_pb2.INTERNAL
    assert "secret" not in str(status)


def test_a_reason_is_the_code_unless_given() -> None:
    assert NotFound("no").reason == "NOT_FOUND"
    assert from_status(status_pb2.Status()) is None
    unknown = from_status(status_pb2.Status(code=code_pb2.UNKNOWN, message="?"))
    assert isinstance(unknown, Internal)


def test_a_foreign_status_keeps_its_code_and_not_its_text() -> None:
    error = aio.AioRpcError(grpc.StatusCode.UNAVAILABLE, aio.Metadata(), aio.Metadata(), "10.1.2.3:8001 refused")
    got = from_rpc_error(error)
    assert isinstance(got, Unavailable)
    assert got.reason == "UPSTREAM_UNAVAILABLE"
    assert "10.1.2.3" not in got.message


def test_details_that_are_no_status_are_passed_over() -> None:
    trailing = aio.Metadata(("grpc-status-details-bin", b"\xff\xff"))
    got = from_rpc_error(aio.AioRpcError(grpc.StatusCode.NOT_FOUND, aio.Metadata(), trailing, "x"))
    assert isinstance(got, NotFound)
