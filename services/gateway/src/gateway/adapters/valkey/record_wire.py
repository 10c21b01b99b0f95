"""Features of a record, from the bytes that the features service sent.

A FeatureColumn and a RecordedFeature have the same fields under the same numbers (a test holds them to it), so a column's bytes
are a recorded feature's bytes: only the field number around them differs. That is a tenth of the cost of copying values.
"""

from functools import lru_cache

from chassis.wire.protobuf import delimited, tag, varint
from gateway.adapters.columns import WIRE, write_values
from gateway.adapters.features.client import WireRows
from gateway.domain.model import BlockRows, BlockShape, Column, FeatureRows
from mizzen.chassis.v1 import values_pb2
from mizzen.features.v1 import features_pb2
from mizzen.monitoring.v1 import record_pb2

_FEATURES = tag(record_pb2.Record, "features")
_TIMESTAMPS = tag(record_pb2.Record, "timestamps_us")
_VALUES, _STATUSES = (tag(features_pb2.FeatureColumn, name) for name in ("values", "statuses"))
_RAW, _NULLS = (tag(values_pb2.Values, name) for name in ("raw", "nulls"))


def feature_bytes(rows: FeatureRows | None) -> bytes:
    """Fields `features` and `timestamps_us` of a Record."""
    if rows is None:
        return b""
    if isinstance(rows, BlockRows):
        parts = list(_around(rows.shape, rows.rows))
        parts[1::3] = rows.slices()
        if not rows.is_whole:
            _mark(rows, parts)
    else:
        columns = (
            [one.SerializeToString() for one in rows.result.columns] if isinstance(rows, WireRows) else _written(rows)
        )
        parts = []
        for column in columns:
            parts += (_FEATURES, varint(len(column)), column)
    for stamps in rows.timestamps_us:
        parts += (_TIMESTAMPS, varint(len(stamps)), stamps)
    return b"".join(parts)


@lru_cache(maxsize=256)
def _around(shape: BlockShape, rows: int) -> tuple[bytes, ...]:
    """What stands around the values of a block's columns: (before, nothing, after) for each."""
    parts: list[bytes] = []
    for ref, dtype, width, index in zip(shape.refs, shape.dtypes, shape.widths, shape.indices, strict=True):
        message = features_pb2.FeatureColumn(ref=ref, timestamps_index=index)
        write_values(Column(dtype, rows, bytes(width * rows)), message.values)
        data = message.SerializeToString()
        after = len(data) - (len(varint(index)) + 1 if index else 0)
        parts += (_FEATURES + varint(len(data)) + data[: after - width * rows], b"", data[after:])
    return tuple(parts)


def _mark(rows: BlockRows, parts: list[bytes]) -> None:
    """Writes the columns that have statuses or nulls in place of what `_around` has for them."""
    for place, (statuses, nulls) in enumerate(zip(rows.status_slices(), rows.null_slices(), strict=True)):
        if statuses or nulls:
            ref, dtype, index = _head(rows.shape, place)
            values = dtype + delimited(_RAW, parts[3 * place + 1])
            if nulls:
                values += delimited(_NULLS, nulls)
            column = ref + delimited(_VALUES, values)
            if statuses:
                column += delimited(_STATUSES, statuses)
            parts[3 * place : 3 * place + 3] = (delimited(_FEATURES, column + index), b"", b"")


@lru_cache(maxsize=4096)
def _head(shape: BlockShape, place: int) -> tuple[bytes, bytes, bytes]:
    """What is constant of a column: its reference, its type, its timestamps_index."""
    ref = features_pb2.FeatureColumn(ref=shape.refs[place]).SerializeToString()
    dtype = values_pb2.Values(dtype=WIRE[shape.dtypes[place]]).SerializeToString()
    return ref, dtype, features_pb2.FeatureColumn(timestamps_index=shape.indices[place]).SerializeToString()


def _written(rows: FeatureRows) -> list[bytes]:
    """For rows that did not come over the wire: declared defaults, or values replaced by them."""
    written = []
    for feature in rows.columns:
        message = features_pb2.FeatureColumn(
            ref=feature.ref, statuses=feature.statuses, timestamps_index=feature.timestamps_index
        )
        write_values(feature.column, message.values)
        written.append(message.SerializeToString())
    return written
