"""Public protos ↔ domain, pure. Numbers come as typed lists or raw bytes; errors name the field."""

import struct
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from google.protobuf.timestamp_pb2 import Timestamp

from chassis import values
from chassis.errors import InvalidArgument
from gateway.domain.columns import NUMPY, from_list
from gateway.domain.model import Column, DType, FeatureRows
from gateway.domain.plans import Field
from gateway.domain.rows import Rows
from mizzen.chassis.v1 import values_pb2
from mizzen.gateway.v1 import gateway_pb2 as pb

_LISTS = {
    DType.INT32: ("ints", "i"),
    DType.INT64: ("ints", "q"),
    DType.TIMESTAMP: ("ints", "q"),
    DType.FLOAT32: ("doubles", "f"),
    DType.FLOAT64: ("doubles", "d"),
}
_SHORT = 16  # rows up to which a list is packed sooner than it is a NumPy array
WIRE = {dtype: values_pb2.DType.Value(f"DTYPE_{dtype.value}") for dtype in DType}


def column_of(message: values_pb2.Values, field: Field, place: str, *, nullable: bool) -> Column:
    """A public column as declared. InvalidArgument names the place and the element."""
    if message.dtype == values_pb2.DTYPE_UNSPECIFIED:
        typed = values_pb2.Values()
        typed.CopyFrom(message)
        typed.dtype = WIRE[field.dtype]
        message = typed
    elif message.dtype != WIRE[field.dtype]:
        raise InvalidArgument(f"{place} must be {field.dtype}", reason="INVALID_VALUE", field=place)
    usual = _usual(message, field.dtype)
    if usual is not None:
        return usual
    array, nulls = values.decode(message, None, place)
    if array.ndim != 1:
        raise InvalidArgument(f"{place} must have one element a row", reason="INVALID_VALUE", field=place)
    if nulls is not None and nulls.any() and not nullable:
        row = int(nulls.argmax())
        raise InvalidArgument(f"{place}[{row}] must not be null", reason="INVALID_VALUE", field=f"{place}[{row}]")
    mask = b"" if nulls is None or not nulls.any() else nulls.tobytes()
    if field.dtype is DType.STRING:
        made = from_list(array.tolist(), DType.STRING, place)
        made.nulls = mask
        return made
    return Column(field.dtype, len(array), array.astype(NUMPY[field.dtype], copy=False).tobytes(), nulls=mask)


def _usual(message: values_pb2.Values, dtype: DType) -> Column | None:
    """A short list of numbers of the declared type, without nulls, as it usually comes; None for anything else, right or wrong."""
    packed = _LISTS.get(dtype)
    kind = message.WhichOneof("data")
    if packed is None or kind != packed[0] or message.width > 1 or message.nulls:
        return None
    listed = getattr(message, kind).values
    rows = len(listed)
    if rows > _SHORT:
        return None
    try:
        return Column(dtype, rows, struct.pack(f"<{rows}{packed[1]}", *listed))
    except (struct.error, OverflowError):
        return None


def columns(
    given: Mapping[str, values_pb2.Values],
    declared: Sequence[Field],
    where: str,
    rows: Rows,
    *,
    nullable: bool = False,
) -> dict[str, Column]:
    """Public columns, one for each declared field, all of one length."""
    made: dict[str, Column] = {}
    for field in declared:
        place = f"{where}.{field.name}"
        message = given.get(field.name)
        if message is None:
            raise InvalidArgument(f"{place} is missing", reason="INVALID_VALUE", field=place)
        column = column_of(message, field, place, nullable=nullable)
        rows.see(column.rows, place)
        made[field.name] = column
    if len(given) != len(made):
        unknown = next(name for name in given if name not in made)
        field_name = f"{where}.{unknown[:64]}"
        raise InvalidArgument(f"there is no field {field_name}", reason="UNKNOWN_FIELD", field=field_name)
    return made


def instant_us(stamp: Timestamp, field: str) -> int:
    """Microseconds UTC. InvalidArgument outside the years 1 to 9999."""
    if not -62_135_596_800 <= stamp.seconds <= 253_402_300_799 or not 0 <= stamp.nanos < 1_000_000_000:
        raise InvalidArgument(f"{field} is no instant", reason="INVALID_VALUE", field=field)
    return stamp.seconds * 1_000_000 + stamp.nanos // 1000


def write_values(column: Column, target: values_pb2.Values, *, raw: bool) -> None:
    """A column as the caller wants numbers."""
    target.dtype = WIRE[column.dtype]
    if column.width > 1:
        target.width = column.width
    if column.nulls:
        target.nulls = column.nulls
    if column.strings is not None:
        target.strings.values.extend(column.strings)
    elif raw:
        target.raw = column.raw
    else:
        array: Any = np.frombuffer(column.raw, NUMPY[column.dtype]).tolist()
        if column.dtype is DType.BOOL:
            target.bools.values.extend(array)
        elif column.dtype in (DType.FLOAT32, DType.FLOAT64):
            target.doubles.values.extend(array)
        else:
            target.ints.values.extend(array)


def write_features(rows: FeatureRows, target: Any, *, raw: bool) -> None:
    """Features of an answer; `target` is the repeated field."""
    for feature in rows.columns:
        written = target.add(ref=feature.ref, statuses=feature.statuses or b"\x01" * feature.column.rows)
        write_values(feature.column, written.values, raw=raw)
        if feature.timestamps_index:
            written.event_timestamps_us = rows.timestamps_us[feature.timestamps_index - 1]
        else:
            written.event_timestamps_us = bytes(8 * feature.column.rows)


def write_shared(rows: FeatureRows, target: pb.ReadFeaturesResponse) -> None:
    """Features as raw bytes, with each view's event timestamps once and no statuses where all are PRESENT."""
    for feature in rows.columns:
        written = target.features.add(
            ref=feature.ref, statuses=feature.statuses, timestamps_index=feature.timestamps_index
        )
        write_values(feature.column, written.values, raw=True)
    target.timestamps_us.extend(rows.timestamps_us)
