"""The Parquet schema of the record log, generated from the proto `mizzen.monitoring.v1.Record`.

A file has one row per predicted row (one with a null `row` for a request that has none). Its columns come from the proto's
fields, whatever they will be:

- a scalar or repeated scalar field is a column of its name; an enum is its name without the prefix;
- `entities`, `inputs`, `outputs` (maps of Values) are columns `entities.NAME`, …, typed as their dtype;
- `features` are columns `features.REF` and `features.REF.status`; `timestamps_us` is `timestamps_us.VIEW` per view;
- `timings_ms` are columns `timings_ms.STAGE`; a message (`retrieved`) is a column per field, `retrieved.FIELD`;
- `route_index` is a number per row.

A new field of a known shape is a new column without any change here; one of an unknown shape fails at import.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from google.protobuf.descriptor import Descriptor, FieldDescriptor

from mizzen.chassis.v1 import values_pb2
from mizzen.monitoring.v1 import record_pb2

Record = record_pb2.Record
VERSION_KEY = b"mizzen.schema_version"
FIELDS_KEY = b"mizzen.fields"
_VALUES = values_pb2.Values.DESCRIPTOR.full_name
_PER_ROW = {"route_index", "timestamps_us", "features"}
_ARROW_SCALARS: dict[int, pa.DataType] = {
    FieldDescriptor.TYPE_STRING: pa.string(),
    FieldDescriptor.TYPE_BYTES: pa.binary(),
    FieldDescriptor.TYPE_BOOL: pa.bool_(),
    FieldDescriptor.TYPE_INT32: pa.int32(),
    FieldDescriptor.TYPE_INT64: pa.int64(),
    FieldDescriptor.TYPE_UINT32: pa.uint32(),
    FieldDescriptor.TYPE_UINT64: pa.uint64(),
    FieldDescriptor.TYPE_FLOAT: pa.float32(),
    FieldDescriptor.TYPE_DOUBLE: pa.float64(),
    FieldDescriptor.TYPE_ENUM: pa.string(),
}
_ARROW_DTYPES: dict[int, tuple[pa.DataType, np.dtype[Any]]] = {
    values_pb2.DTYPE_BOOL: (pa.bool_(), np.dtype(np.bool_)),
    values_pb2.DTYPE_INT32: (pa.int32(), np.dtype("<i4")),
    values_pb2.DTYPE_INT64: (pa.int64(), np.dtype("<i8")),
    values_pb2.DTYPE_FLOAT32: (pa.float32(), np.dtype("<f4")),
    values_pb2.DTYPE_FLOAT64: (pa.float64(), np.dtype("<f8")),
    values_pb2.DTYPE_TIMESTAMP: (pa.timestamp("us", tz="UTC"), np.dtype("<i8")),
}


class BadRecordError(ValueError):
    """A record whose columns contradict each other; it is left out and counted."""


@dataclass(frozen=True, slots=True)
class _Rules:
    """The proto's fields by how they become columns."""

    scalars: tuple[FieldDescriptor, ...]
    value_maps: tuple[str, ...]
    number_maps: tuple[str, ...]
    messages: tuple[FieldDescriptor, ...]


def _rules(descriptor: Descriptor) -> _Rules:
    scalars, value_maps, number_maps, messages = [], [], [], []
    for each in descriptor.fields:
        if each.name in _PER_ROW:
            continue
        entry = each.message_type
        if entry is None:
            _ARROW_SCALARS[each.type]  # an unknown type fails here, at import
            scalars.append(each)
        elif entry.GetOptions().map_entry:
            value = entry.fields_by_name["value"]
            if value.message_type is not None and value.message_type.full_name == _VALUES:
                value_maps.append(each.name)
            elif value.type == FieldDescriptor.TYPE_DOUBLE:
                number_maps.append(each.name)
            else:
                raise TypeError(f"no columns for the map {each.full_name}")
        elif each.is_repeated or any(inner.message_type is not None for inner in entry.fields):
            raise TypeError(f"no columns for the field {each.full_name}")
        else:
            messages.append(each)
    return _Rules(tuple(scalars), tuple(value_maps), tuple(number_maps), tuple(messages))


RULES = _rules(Record.DESCRIPTOR)


@dataclass(slots=True)
class _Column:
    dtype: int
    width: int
    pieces: list[Any] = field(default_factory=list)
    nulls: list[bytes] = field(default_factory=list)


@dataclass(slots=True)
class RecordTable:
    """Collects records of one layout (same columns, same types) and makes a table of them."""

    records: list[Any] = field(default_factory=list)
    origins: list[tuple[str, int]] = field(default_factory=list)
    columns: dict[str, _Column] = field(default_factory=dict)

    def add(self, record: Any, prepared: "Prepared", writer: str, sequence: int) -> None:
        """Adds a record whose `prepare` gave `prepared`; all of one table have the same layout."""
        self.records.append(record)
        self.origins.append((writer, sequence))
        for name, dtype, width, piece, nulls in prepared.columns:
            column = self.columns.get(name)
            if column is None:
                column = self.columns[name] = _Column(dtype, width)
            column.pieces.append(piece)
            column.nulls.append(nulls)

    def table(self) -> pa.Table:
        """The rows as an Arrow table; its schema carries schema_version and the proto's field names."""
        counts = np.array([max(record.rows, 1) for record in self.records])
        index = pa.array(np.repeat(np.arange(len(counts)), counts))
        starts = np.repeat(np.cumsum(counts) - counts, counts)
        has_rows = np.repeat(np.array([record.rows > 0 for record in self.records]), counts)
        row = np.arange(int(counts.sum())) - starts
        columns: dict[str, pa.Array] = {"row": pa.array(row.astype(np.uint32), mask=~has_rows)}
        columns["writer"] = pa.array([writer for writer, _ in self.origins]).take(index)
        columns["sequence"] = pa.array([sequence for _, sequence in self.origins], pa.uint64()).take(index)
        for name, array in self._request_columns():
            columns[name] = array.take(index)
        for name, column in self.columns.items():
            columns[name] = _array(column)
        version = max(record.schema_version for record in self.records)
        fields = ",".join(each.name for each in Record.DESCRIPTOR.fields)
        return pa.table(columns).replace_schema_metadata({VERSION_KEY: str(version), FIELDS_KEY: fields})

    def _request_columns(self) -> list[tuple[str, pa.Array]]:
        found = [(each.name, _scalar_array(each, self.records)) for each in RULES.scalars]
        for name in RULES.number_maps:
            maps = [getattr(record, name) for record in self.records]
            for key in sorted({key for each in maps for key in each}):
                values = [each.get(key) for each in maps]
                found.append((f"{name}.{key}", pa.array(values, pa.float64())))
        for message in RULES.messages:
            present = [record.HasField(message.name) for record in self.records]
            if any(present):
                inner = [getattr(record, message.name) for record in self.records]
                found.extend(
                    (f"{message.name}.{each.name}", _scalar_array(each, inner, present)) for each in _fields(message)
                )
        return found


def _scalar_array(each: FieldDescriptor, messages: Sequence[Any], present: Sequence[bool] | None = None) -> pa.Array:
    arrow = _ARROW_SCALARS[each.type]
    convert: Callable[[Any], Any] = list if each.is_repeated else (lambda value: value)
    if each.enum_type is not None:
        names, prefix = each.enum_type.values_by_number, _prefix(each)
        convert = lambda value: names[value].name.removeprefix(prefix) if value in names else str(value)  # noqa: E731
    values = [convert(getattr(message, each.name)) for message in messages]
    if present is not None:
        values = [value if there else None for value, there in zip(values, present, strict=True)]
    return pa.array(values, pa.list_(arrow) if each.is_repeated else arrow)


def _fields(message: FieldDescriptor) -> Sequence[FieldDescriptor]:
    return message.message_type.fields if message.message_type is not None else ()


def _prefix(each: FieldDescriptor) -> str:
    return each.enum_type.values_by_number[0].name.removesuffix("UNSPECIFIED") if each.enum_type is not None else ""


@dataclass(slots=True)
class Prepared:
    """A record's per-row columns: (name, dtype, width, packed elements or texts, null bytes). Raises BadRecordError."""

    columns: list[tuple[str, int, int, Any, bytes]]

    @property
    def layout(self) -> tuple[tuple[str, int, int], ...]:
        """Equal for records that fit in one table."""
        return tuple((name, dtype, width) for name, dtype, width, _, _ in self.columns)


def prepare(record: Any) -> Prepared:
    """Checks a record and takes out its per-row columns. Raises BadRecordError."""
    rows = record.rows
    columns: list[tuple[str, int, int, Any, bytes]] = []
    if not rows:
        return Prepared(columns)
    route = record.route_index or bytes(rows)
    columns.append(("route_index", values_pb2.DTYPE_BOOL, 0, _sized(route, rows, "route_index"), b""))
    for prefix in RULES.value_maps:
        entries = getattr(record, prefix)
        columns.extend((f"{prefix}.{name}", *_elements(entries[name], rows, name)) for name in sorted(entries))
    views: dict[int, str] = {}
    present = b"\x01" * rows
    for feature in record.features:
        ref = feature.ref
        name, status_name = _feature_names(ref)
        columns.append((name, *_elements(feature.values, rows, ref)))
        statuses = feature.statuses or present
        columns.append((status_name, values_pb2.DTYPE_BOOL, 0, _sized(statuses, rows, ref), b""))
        if feature.timestamps_index:
            views.setdefault(feature.timestamps_index - 1, ref.partition(":")[0])
    for index, stamps in enumerate(record.timestamps_us):
        view = views.get(index, str(index))
        piece = _sized(stamps, rows * 8, "timestamps_us")
        nulls = (np.frombuffer(piece, "<i8") == 0).tobytes()
        columns.append((f"timestamps_us.{view}", values_pb2.DTYPE_TIMESTAMP, 1, piece, nulls))
    return Prepared(columns)


@lru_cache(65536)
def _feature_names(ref: str) -> tuple[str, str]:
    return f"features.{ref}", f"features.{ref}.status"


def _sized(data: bytes, size: int, name: str) -> bytes:
    if len(data) != size:
        raise BadRecordError(f"{name} has {len(data)} bytes, not {size}")
    return data


def _elements(values: Any, rows: int, name: str) -> tuple[int, int, Any, bytes]:
    dtype = values.dtype
    width = values.width or 1
    nulls = values.nulls
    if nulls:
        _sized(nulls, rows, name)
    if dtype == values_pb2.DTYPE_STRING:
        texts = list(values.strings.values)
        if len(texts) != rows * width:
            raise BadRecordError(f"{name} has {len(texts)} texts, not {rows * width}")
        return dtype, width, texts, nulls
    if dtype not in _ARROW_DTYPES:
        raise BadRecordError(f"{name} has no known dtype")
    numpy_dtype = _ARROW_DTYPES[dtype][1]
    raw = values.raw
    if raw:
        return dtype, width, _sized(raw, rows * width * numpy_dtype.itemsize, name), nulls
    return dtype, width, _packed(values, rows * width, numpy_dtype, name), nulls


def _packed(values: Any, count: int, numpy_dtype: np.dtype[Any], name: str) -> bytes:
    kind = values.WhichOneof("data")
    if kind in (None, "raw", "strings"):
        raise BadRecordError(f"{name} has no numbers")
    try:
        array = np.array(getattr(values, kind).values, dtype=numpy_dtype)
    except (OverflowError, ValueError) as error:
        raise BadRecordError(f"{name} does not fit its dtype") from error
    return _sized(array.tobytes(), count * numpy_dtype.itemsize, name)


def _array(column: _Column) -> pa.Array:
    if column.width == 0:  # a plain byte a row
        return pa.array(np.frombuffer(b"".join(column.pieces), np.uint8))
    if column.dtype == values_pb2.DTYPE_STRING:
        flat = pa.array([text for piece in column.pieces for text in piece], pa.string())
    else:
        arrow, numpy_dtype = _ARROW_DTYPES[column.dtype]
        flat = pa.array(np.frombuffer(b"".join(column.pieces), numpy_dtype)).cast(arrow)
    rows = len(flat) // column.width
    mask = _mask(column, rows)
    if column.width > 1:
        offsets = pa.array(np.arange(0, len(flat) + 1, column.width, dtype=np.int32))
        return pa.ListArray.from_arrays(offsets, flat, mask=mask)
    return flat if mask is None else pc.if_else(mask, pa.scalar(None, flat.type), flat)


def _mask(column: _Column, rows: int) -> pa.Array | None:
    if not any(column.nulls):
        return None
    sizes = [len(piece) for piece in column.pieces]
    unit = sum(sizes) // rows
    parts = [nulls or bytes(size // unit) for nulls, size in zip(column.nulls, sizes, strict=True)]
    return pa.array(np.frombuffer(b"".join(parts), np.uint8) != 0)
