"""ReadFeaturesResponse as protobuf bytes: a block's columns go from one wire to the other without message objects.

A test compares the bytes with those of the generated classes.
"""

from functools import lru_cache

from gateway.api.grpc.convert import write_features, write_values
from gateway.domain.model import BlockRows, BlockShape, Column, FeaturesAnswer
from mizzen.gateway.v1 import gateway_pb2 as pb

_FEATURES = bytes((pb.ReadFeaturesResponse.DESCRIPTOR.fields_by_name["features"].number << 3 | 2,))
_PRESENT = b"\x01"


def read_response(answer: FeaturesAnswer, *, raw: bool) -> bytes:
    """A serialized ReadFeaturesResponse. raw: numbers as little-endian bytes; otherwise typed lists."""
    rows = answer.features
    head = pb.ReadFeaturesResponse(request_id=answer.request_id)
    if not raw or not isinstance(rows, BlockRows):
        write_features(rows, head.features, raw=raw)
        return head.SerializeToString()
    stamps = [bytes(8 * rows.rows), *rows.timestamps_us]
    parts = [b""] * (3 * len(rows.shape.refs))
    parts[0::3] = _before(rows.shape, rows.rows)
    parts[1::3] = rows.slices()
    after = _after(rows.rows)
    tails = [after + stamp for stamp in stamps]
    parts[2::3] = [tails[index] for index in rows.shape.indices]
    return head.SerializeToString() + b"".join(parts)


@lru_cache(maxsize=256)
def _before(shape: BlockShape, rows: int) -> list[bytes]:
    """What stands before the values of each column."""
    found = []
    after = len(_after(rows)) + 8 * rows
    for ref, dtype, width in zip(shape.refs, shape.dtypes, shape.widths, strict=True):
        feature = pb.Feature(ref=ref)
        write_values(Column(dtype, rows, bytes(width * rows)), feature.values, raw=True)
        data = feature.SerializeToString()
        length = len(data) + after
        found.append(_FEATURES + _varint(length) + data[: len(data) - width * rows])
    return found


@lru_cache(maxsize=256)
def _after(rows: int) -> bytes:
    """What stands between a column's values and its event timestamps."""
    data = pb.Feature(statuses=_PRESENT * rows, event_timestamps_us=bytes(8 * rows)).SerializeToString()
    return data[: len(data) - 8 * rows]


def _varint(number: int) -> bytes:
    parts = bytearray()
    while number > 127:
        parts.append(number & 127 | 128)
        number >>= 7
    parts.append(number)
    return bytes(parts)
