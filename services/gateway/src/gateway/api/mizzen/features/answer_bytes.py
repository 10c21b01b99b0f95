"""ReadFeaturesResponse as protobuf bytes: a block's columns go from one wire to the other without message objects.

A test compares the bytes with those of the generated classes.
"""

from functools import lru_cache

from chassis.wire.protobuf import delimited, varint
from gateway.api.grpc.columns import write_features, write_shared, write_values
from gateway.domain.model import BlockRows, BlockShape, Column, FeaturesAnswer
from mizzen.gateway.v1 import gateway_pb2 as pb

_FIELDS = pb.ReadFeaturesResponse.DESCRIPTOR.fields_by_name
_REQUEST_ID, _FEATURES, _STAMPS = (
    bytes((_FIELDS[name].number << 3 | 2,)) for name in ("request_id", "features", "timestamps_us")
)


def read_response(answer: FeaturesAnswer, *, raw: bool) -> bytes:
    """A serialized ReadFeaturesResponse. raw: numbers as little-endian bytes; otherwise typed lists."""
    rows = answer.features
    if not (raw and isinstance(rows, BlockRows) and rows.is_whole):
        message = pb.ReadFeaturesResponse(request_id=answer.request_id)
        if raw:
            write_shared(rows, message)
        else:
            write_features(rows, message.features, raw=False)
        return message.SerializeToString()
    parts = _around(rows.shape, rows.rows).copy()
    request_id = answer.request_id.encode()
    parts[0] = delimited(_REQUEST_ID, request_id)
    parts[2::2] = rows.slices()
    for stamps in rows.timestamps_us:
        parts += (_STAMPS, varint(len(stamps)), stamps)
    return b"".join(parts)


@lru_cache(maxsize=256)
def _around(shape: BlockShape, rows: int) -> list[bytes]:
    """What stands around the columns' values, with room for the head (place 0) and for them (2, 4, ...)."""
    parts = [b""]
    before = b""
    for ref, dtype, width, index in zip(shape.refs, shape.dtypes, shape.widths, shape.indices, strict=True):
        size = width * rows
        feature = pb.Feature(ref=ref)
        write_values(Column(dtype, rows, bytes(size)), feature.values, raw=True)
        data = feature.SerializeToString()
        after = pb.Feature(timestamps_index=index).SerializeToString()
        parts += (before + _FEATURES + varint(len(data) + len(after)) + data[: len(data) - size], b"")
        before = after
    return [*parts, before]
