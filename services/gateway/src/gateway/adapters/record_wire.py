"""Features of a record, from the bytes that the features service sent.

A FeatureColumn and a RecordedFeature have the same fields under the same numbers (a test holds them to it), so a column's bytes
are a recorded feature's bytes: only the field number around them differs. That is a tenth of the cost of copying values.
"""

from functools import lru_cache

from chassis.protobuf_wire import tag, varint
from gateway.adapters.columns import write_values
from gateway.adapters.grpc_features import WireRows
from gateway.domain.model import BlockRows, BlockShape, Column, FeatureRows
from mizzen.features.v1 import features_pb2
from mizzen.monitoring.v1 import record_pb2

_FEATURES = tag(record_pb2.Record, "features")
_TIMESTAMPS = tag(record_pb2.Record, "timestamps_us")


def feature_bytes(rows: FeatureRows | None) -> bytes:
    """Fields `features` and `timestamps_us` of a Record."""
    if rows is None:
        return b""
    if isinstance(rows, BlockRows):
        parts = list(_around(rows.shape, rows.rows))
        parts[1::3] = rows.slices()
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
