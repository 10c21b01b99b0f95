"""A read written by hand is the one that the generated classes would write; a list of references seen before is the same list."""

from pathlib import Path

import pytest
from google.protobuf.message import DecodeError
from hypothesis import given, settings
from hypothesis import strategies as st

from chassis.clock import SystemClock
from chassis.rpc.identity import Minter, write_keys
from gateway.adapters.columns import write_values
from gateway.adapters.envelopes import Envelopes
from gateway.adapters.features.wire import question, read_item, read_request
from gateway.api.mizzen.features.request_bytes import FeatureRequests
from gateway.domain.columns import from_list
from gateway.domain.model import Call, Caller, Column, DType
from mizzen.chassis.v1.envelope_pb2 import Envelope
from mizzen.chassis.v1.values_pb2 import DTYPE_INT64, Int64s, Values
from mizzen.features.v1 import features_pb2
from mizzen.gateway.v1 import gateway_pb2 as pb

COLUMNS = st.one_of(
    st.lists(st.integers(-(2**63), 2**63 - 1), min_size=1, max_size=200).map(lambda v: from_list(v, DType.INT64, "x")),
    st.lists(st.text(max_size=150), min_size=1, max_size=5).map(
        lambda v: Column(DType.STRING, len(v), strings=v, nulls=bytes(len(v)))
    ),
    st.binary(min_size=24, max_size=24).map(lambda raw: Column(DType.FLOAT32, 2, raw, width=3)),
)
NAMED = st.dictionaries(st.text(min_size=1, max_size=140), COLUMNS, max_size=3)


@given(st.text(max_size=300), st.booleans(), st.integers(-(2**63), 2**63 - 1), NAMED, NAMED)
@settings(max_examples=100, deadline=None)
def test_the_read_is_the_generated_one(
    joined: str, default_when_down: bool, as_of_us: int, entities: dict[str, Column], inputs: dict[str, Column]
) -> None:
    envelope = Envelope(request_id="r" * 36, identity="t" * 300, remaining_us=5_000_000)
    asked = question(joined, default_when_down=default_when_down)
    item = read_item(envelope.SerializeToString(), asked, as_of_us, entities, inputs)
    wanted = features_pb2.ReadItem(
        envelope=envelope,
        joined_refs=joined,
        as_of_us=as_of_us,
        default_when_down=default_when_down,
        as_block=True,
        gaps_in_block=True,
    )
    for name, column in entities.items():
        write_values(column, wanted.entities[name])
    for name, column in inputs.items():
        write_values(column, wanted.inputs[name])
    parsed = features_pb2.ReadRequest.FromString(read_request([item, item]))
    assert parsed == features_pb2.ReadRequest(items=[wanted, wanted])


def test_the_envelope_is_the_message(tmp_path: Path) -> None:
    write_keys(tmp_path)
    clock = SystemClock()
    envelopes = Envelopes(Minter(tmp_path / "identity.key", clock), clock)
    caller = Caller("default", "anonymous", frozenset({"*"}))
    trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    for traceparent in ("", trace, ""):
        call = Call("0193-r", caller, 1, clock.monotonic_s() + 5, "", traceparent)
        found, wanted = Envelope.FromString(envelopes.serialized(call)), Envelope()
        envelopes.write(call, wanted)
        assert 0 <= found.remaining_us - wanted.remaining_us < 1_000_000
        found.remaining_us = wanted.remaining_us
        assert found == wanted


def request(references: list[str], driver: int) -> bytes:
    ids = Values(dtype=DTYPE_INT64, ints=Int64s(values=[driver]))
    message = pb.ReadFeaturesRequest(features=references, entities={"id": ids}, encoding=pb.ENCODING_RAW)
    return message.SerializeToString()


def test_references_are_parsed_once() -> None:
    requests = FeatureRequests()
    many = [f"view:feature_{number}" for number in range(50)]
    first, again = requests.parse(request(many, 1)), requests.parse(request(many, 2))
    assert first.references == tuple(many)
    assert again.references is first.references
    assert list(again.message.entities["id"].ints.values) == [2]
    assert again.message.encoding == pb.ENCODING_RAW


def test_lists_that_begin_alike_are_told_apart() -> None:
    requests = FeatureRequests()
    many = [f"view:feature_{number}" for number in range(50)]
    for wanted in (many, many[:20], [*many, "view:more"], [*many[:49], "view:other"], many, [], ["v:a"], ["v:b"] * 3):
        found = requests.parse(request(wanted, 7))
        assert found.references == tuple(wanted)
        assert list(found.message.entities["id"].ints.values) == [7]
    # the order of fields is the sender's business
    late = pb.ReadFeaturesRequest(features=["view:late"]).SerializeToString()
    assert requests.parse(request(many, 7) + late).references == (*many, "view:late")
    with pytest.raises(DecodeError):
        requests.parse(request(many, 7) + b"\x0a\xff")
