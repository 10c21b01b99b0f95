"""The read answer written by hand is the one that the generated classes would write."""

from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from chassis.errors import NotFound
from chassis.rpc.status import to_status
from chassis.values import encode, wire_dtype
from features.api.convert import read_response
from features.domain.model import NUMPY, Answer, DType, Plan
from mizzen.chassis.v1.envelope_pb2 import Envelope
from mizzen.chassis.v1.values_pb2 import Values
from mizzen.features.v1 import features_pb2 as pb

REFS = st.from_regex(r"\A[a-z_]{1,90}:[a-z_]{1,90}\Z")


@st.composite
def answers(draw: st.DrawFn) -> Answer:
    rows = draw(st.integers(1, 300))
    dtypes = draw(st.lists(st.sampled_from(list(DType)), min_size=1, max_size=6))
    dice = np.random.default_rng(draw(st.integers(0, 2**32)))
    values: list[bytes | list[str]] = []
    for dtype in dtypes:
        if dtype is DType.STRING:
            values.append([draw(st.sampled_from(["", "é", "x" * 200])) for _ in range(rows)])
        else:
            values.append(dice.bytes(rows * np.dtype(NUMPY[dtype]).itemsize))
    is_whole = draw(st.booleans())
    marks = st.sampled_from([b"", bytes(rows)])
    plan = Plan(
        tuple(draw(REFS) for _ in dtypes),
        tuple(dtypes),
        (),
        (),
        (),
        tuple(draw(st.integers(0, 300)) for _ in dtypes),
        (),
        is_plain=DType.STRING not in dtypes,
    )
    return Answer(
        plan,
        rows,
        values,
        None if is_whole else [draw(marks) for _ in dtypes],
        None if is_whole else [draw(marks) for _ in dtypes],
        [dice.bytes(8 * rows) for _ in range(draw(st.integers(0, 3)))],
        draw(st.integers(-(2**60), 2**60)),
    )


def generated(answer: Answer) -> pb.ReadResult:
    result = pb.ReadResult(timestamps_us=answer.timestamps_us, as_of_us=answer.as_of_us)
    for i, ref in enumerate(answer.plan.refs):
        given_values: Any = answer.values[i]
        if isinstance(given_values, list):
            values = encode(given_values, "STRING")
        else:
            values = Values(dtype=wire_dtype(answer.plan.dtypes[i]), raw=given_values)
        values.nulls = answer.nulls[i] if answer.nulls else b""
        statuses = answer.statuses[i] if answer.statuses else b""
        result.columns.add(ref=ref, values=values, statuses=statuses, timestamps_index=answer.plan.indices[i])
    return result


@given(st.lists(answers(), min_size=1, max_size=3))
@settings(max_examples=60, deadline=None)
def test_the_bytes_are_the_generated_ones(found: list[Answer]) -> None:
    error = NotFound("there is none", field="refs[0]")
    data = read_response([*found, error], [pb.ReadItem(envelope=Envelope(request_id="1"))] * (len(found) + 1))
    wanted = pb.ReadResponse(results=[*map(generated, found), pb.ReadResult(status=to_status(error, "1"))])
    assert pb.ReadResponse.FromString(data) == wanted
