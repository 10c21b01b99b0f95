"""Features of a record, from the bytes that the features service sent.

A FeatureColumn and a RecordedFeature have the same fields under the same numbers (a test holds them to it), so a column's bytes
are a recorded feature's bytes: only the field number around them differs. That is a tenth of the cost of copying values.
"""

from typing import Any

from gateway.adapters.columns import write_values
from gateway.adapters.grpc_features import WireRows
from gateway.domain.model import FeatureRows
from mizzen.features.v1 import features_pb2
from mizzen.monitoring.v1 import record_pb2


def varint(value: int) -> bytes:
    """Protobuf's base-128 number."""
    if value < 128:
        return bytes((value,))
    parts = bytearray()
    while value > 127:
        parts.append(value & 127 | 128)
        value >>= 7
    parts.append(value)
    return bytes(parts)


def tag(message: Any, field: str) -> bytes:
    """The tag of a length-delimited field."""
    return varint(message.DESCRIPTOR.fields_by_name[field].number << 3 | 2)


_FEATURES = tag(record_pb2.Record, "features")
_TIMESTAMPS = tag(record_pb2.Record, "timestamps_us")


def feature_bytes(rows: FeatureRows | None) -> bytes:
    """Fields `features` and `timestamps_us` of a Record."""
    if rows is None:
        return b""
    columns = [one.SerializeToString() for one in rows.result.columns] if isinstance(rows, WireRows) else _written(rows)
    parts: list[bytes] = []
    for column in columns:
        parts += (_FEATURES, varint(len(column)), column)
    for stamps in rows.timestamps_us:
        parts += (_TIMESTAMPS, varint(len(stamps)), stamps)
    return b"".join(parts)


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
