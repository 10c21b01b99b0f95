"""Proto ↔ domain. The read answer is written as protobuf bytes here: columns go from the store to the wire uncopied by message
objects, which would cost more than all the rest of a read. A test compares the bytes with the generated classes.
"""

from collections.abc import Sequence
from functools import lru_cache

import numpy as np

from chassis.errors import InvalidArgument
from chassis.rpc.status import to_status
from chassis.values import decode, wire_dtype
from chassis.wire.protobuf import delimited, varint
from features.domain.model import Answer, Column, Given, Plan, Query, Rows, View, Written
from mizzen.chassis.v1 import values_pb2
from mizzen.features.v1 import features_pb2 as pb


def to_query(item: pb.ReadItem, tenant: str, now_us: int) -> Query:
    """A read. InvalidArgument naming the column that is wrong."""
    rows: int | None = None
    given: dict[str, Given] = {}
    asked: dict[str, Given] = {}
    # names first: items() of a message's map costs more than the columns of a small read
    for where, sent, made in (("entities", item.entities, given), ("inputs", item.inputs, asked)):
        for name in sent:
            values, nulls = decode(sent[name], rows, f"{where}.{name}")
            made[name] = Given(values, nulls)
            rows = len(values)
    return Query(
        tenant,
        _split(item.joined_refs) if item.joined_refs else tuple(item.refs),
        given,
        asked,
        rows or 0,
        item.as_of_us or now_us,
        item.schema_hash,
        item.default_when_down,
        item.as_block,
        item.gaps_in_block,
    )


@lru_cache(maxsize=1024)
def _split(joined: str) -> tuple[str, ...]:
    return tuple(joined.split(","))


def to_rows(item: pb.WriteItem, tenant: str) -> Rows:
    """A write. InvalidArgument naming the column that is wrong."""
    raw = item.event_timestamps_us
    if len(raw) % 8:
        raise InvalidArgument(
            "event_timestamps_us is no whole number of int64", reason="COLUMN_LENGTH", field="event_timestamps_us"
        )
    timestamps = np.frombuffer(raw, "<i8")
    rows = len(timestamps)
    entities = {name: Given(*decode(values, rows, f"entities.{name}")) for name, values in item.entities.items()}
    features = {name: Given(*decode(values, rows, f"features.{name}")) for name, values in item.features.items()}
    return Rows(tenant, item.view, entities, features, timestamps)


def to_write_response(outcomes: Sequence[Written | Exception], request_ids: Sequence[str]) -> pb.WriteResponse:
    """One result an outcome."""
    response = pb.WriteResponse()
    for outcome, request_id in zip(outcomes, request_ids, strict=True):
        if isinstance(outcome, Written):
            response.results.add(written=outcome.written, older=outcome.older)
        else:
            response.results.add(status=to_status(outcome, request_id))
    return response


def to_feature_view(view: View) -> pb.FeatureView:
    """A loaded view as listed."""
    return pb.FeatureView(
        name=view.name,
        description=view.description,
        entities=[_field(column) for column in view.keys],
        features=[
            *(_field(column) for column in view.stored),
            *(_field(computed.column, on_demand=True) for computed in view.on_demand),
        ],
        inputs=[_field(column) for column in view.inputs],
        ttl_s=0 if view.ttl_us is None else view.ttl_us // 1_000_000,
        schema_hash=view.schema_hash,
    )


def _field(column: Column, *, on_demand: bool = False) -> pb.Field:
    dtype = values_pb2.DType.Value(f"DTYPE_{column.dtype}")
    return pb.Field(
        name=column.name, dtype=dtype, unit=column.unit, description=column.description, on_demand=on_demand
    )


def read_response(answers: Sequence[Answer | Exception], items: Sequence[pb.ReadItem]) -> bytes:
    """A serialized ReadResponse to these items."""
    parts: list[bytes] = []
    for answer, item in zip(answers, items, strict=True):
        if isinstance(answer, Answer):
            result = _result(answer)
        else:
            result = pb.ReadResult(status=to_status(answer, item.envelope.request_id)).SerializeToString()
        parts += (b"\x0a", varint(len(result)), result)
    return b"".join(parts)


def _result(answer: Answer) -> bytes:
    parts: list[bytes] = []
    if answer.block is not None:
        parts = [_block_head(answer.plan), varint(len(answer.block)), answer.block]
        if answer.block_statuses:
            parts.append(delimited(b"\x42", answer.block_statuses))
        if answer.block_nulls:
            parts.append(delimited(b"\x4a", answer.block_nulls))
    elif answer.plan.is_plain and answer.statuses is None:
        # Every other part is a column's bytes; what stands between them is constant.
        parts = _heads(answer.plan, answer.rows).copy()
        parts[1::2] = answer.values  # type: ignore[assignment]  # a plain plan has no texts
    else:
        for i in range(len(answer.values)):
            column = _column(answer, i)
            parts += (b"\x12", varint(len(column)), column)
    for timestamps in answer.timestamps_us:
        parts += (b"\x1a", varint(len(timestamps)), timestamps)
    parts.append(b"\x20" + varint(answer.as_of_us & 0xFFFF_FFFF_FFFF_FFFF))
    return b"".join(parts)


def _column(answer: Answer, i: int) -> bytes:
    """A FeatureColumn."""
    plan, values = answer.plan, answer.values[i]
    statuses = answer.statuses[i] if answer.statuses is not None else b""
    nulls = answer.nulls[i] if answer.nulls is not None else b""
    dtype = bytes((8, wire_dtype(plan.dtypes[i])))
    if isinstance(values, list):
        texts = b"".join([delimited(b"\x0a", text.encode()) for text in values])
        data = dtype + delimited(b"\x3a", texts)
    else:
        data = dtype + delimited(b"\x1a", values)
    if nulls:
        data += delimited(b"\x42", nulls)
    column = delimited(b"\x0a", plan.refs[i].encode()) + delimited(b"\x12", data)
    if statuses:
        column += delimited(b"\x1a", statuses)
    return column + _index(plan.indices[i])


@lru_cache(maxsize=1024)
def _block_head(plan: Plan) -> bytes:
    """What stands before a block's length: constant for a plan."""
    dtypes = bytes(wire_dtype(dtype) for dtype in plan.dtypes)
    return delimited(b"\x32", dtypes) + delimited(b"\x3a", bytes(plan.indices)) + b"\x2a"


@lru_cache(maxsize=256)
def _heads(plan: Plan, rows: int) -> list[bytes]:
    """What stands around the columns' bytes when all rows are present: constant for a plan and a number of rows."""
    parts: list[bytes] = []
    before = b""
    for i, dtype in enumerate(plan.dtypes):
        size = rows * _WIDTHS[dtype]
        values = bytes((8, wire_dtype(dtype), 26)) + varint(size)
        ref = delimited(b"\x0a", plan.refs[i].encode())
        tail = _index(plan.indices[i])
        head = ref + b"\x12" + varint(len(values) + size) + values
        parts += (before + b"\x12" + varint(len(head) + size + len(tail)) + head, b"")
        before = tail
    return [*parts, before]


_WIDTHS = {"BOOL": 1, "INT32": 4, "INT64": 8, "FLOAT32": 4, "FLOAT64": 8, "TIMESTAMP": 8}


def _index(index: int) -> bytes:
    return b"\x20" + varint(index) if index else b""
