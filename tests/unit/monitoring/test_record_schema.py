"""The record log's schema comes from the proto: nothing a record says is lost."""

import numpy as np
import pyarrow as pa
import pytest
from google.protobuf.descriptor import FieldDescriptor

from chassis.values import encode
from mizzen.monitoring.v1 import record_pb2
from monitoring.adapters.record_schema import VERSION_KEY, BadRecordError, RecordTable, prepare
from tests.fakes.monitoring_records import START_US, predicted


def full_record(rows: int = 2) -> record_pb2.Record:
    """Every field set, found by reflection."""
    record = record_pb2.Record()
    for field in record.DESCRIPTOR.fields:
        _fill(record, field)
    record.rows = rows
    record.route_index = bytes(range(rows))
    record.event_time_us = START_US
    record.entities["tailnum"].CopyFrom(encode(["N1", "N2"], "STRING", [False, True]))
    record.inputs["distance"].CopyFrom(encode(np.array([1, 2]), "INT64"))
    record.outputs["probability"].CopyFrom(encode(np.array([0.25, 0.75]), "FLOAT32"))
    record.outputs["embedding"].CopyFrom(encode(np.arange(6.0).reshape(2, 3), "FLOAT32"))
    record.timings_ms["total"] = 1.5
    del record.timestamps_us[:]
    record.timestamps_us.append(np.array([START_US, 0], "<i8").tobytes())
    record.features.add(
        ref="plane:age",
        values=encode(np.array([3, 4]), "INT32", [True, False]),
        statuses=b"\x02\x01",
        timestamps_index=1,
    )
    record.features.add(ref="flight:is_weekend", values=encode(np.array([True, False]), "BOOL"))
    record.features.add(
        ref="plane:built", values=encode(np.array([START_US, START_US]), "TIMESTAMP"), timestamps_index=1
    )
    return record


def _fill(message: object, field: FieldDescriptor) -> None:
    if field.message_type is not None:
        if not field.is_repeated:
            inner = getattr(message, field.name)
            for each in field.message_type.fields:
                _fill(inner, each)
        return
    value: object = {
        FieldDescriptor.CPPTYPE_STRING: b"\x01" if field.type == FieldDescriptor.TYPE_BYTES else f"a {field.name}",
        FieldDescriptor.CPPTYPE_BOOL: True,
        FieldDescriptor.CPPTYPE_DOUBLE: 0.5,
        FieldDescriptor.CPPTYPE_ENUM: 1,
    }.get(field.cpp_type, 1)
    if field.is_repeated:
        getattr(message, field.name).append(value)
    else:
        setattr(message, field.name, value)


def table_of(*records: record_pb2.Record) -> pa.Table:
    table = RecordTable()
    for number, record in enumerate(records):
        table.add(record, prepare(record), "gateway/1", number)
    return table.table()


def test_every_field_of_the_proto_is_in_the_table() -> None:
    table = table_of(full_record())
    for field in record_pb2.Record.DESCRIPTOR.fields:
        found = [name for name in table.column_names if name == field.name or name.startswith(f"{field.name}.")]
        assert found, f"{field.name} is in no column"
        for name in found:
            assert table[name].null_count < table.num_rows, f"{name} is empty"
    for field in record_pb2.Retrieved.DESCRIPTOR.fields:
        assert f"retrieved.{field.name}" in table.column_names
    assert table.schema.metadata[VERSION_KEY] == b"1"


def test_values_arrive_as_they_were() -> None:
    table = table_of(full_record())
    row = table.to_pylist()
    assert [each["row"] for each in row] == [0, 1]
    assert [each["entities.tailnum"] for each in row] == ["N1", None]
    assert [each["inputs.distance"] for each in row] == [1, 2]
    assert [each["outputs.probability"] for each in row] == [0.25, 0.75]
    assert [each["outputs.embedding"] for each in row] == [[0, 1, 2], [3, 4, 5]]
    assert [each["features.plane:age"] for each in row] == [None, 4]
    assert [each["features.plane:age.status"] for each in row] == [2, 1]
    assert [each["features.flight:is_weekend.status"] for each in row] == [1, 1]
    assert row[1]["timestamps_us.plane"] is None and row[0]["timestamps_us.plane"] is not None
    assert [each["route_index"] for each in row] == [0, 1]
    assert row[0]["kind"] == "PREDICT"
    assert row[0]["timings_ms.total"] == 1.5
    assert (row[0]["writer"], row[0]["sequence"]) == ("gateway/1", 0)


def test_typed_lists_are_the_same_as_raw_bytes() -> None:
    raw, typed = full_record(), full_record()
    typed.inputs["distance"].CopyFrom(encode(np.array([1, 2]), "INT64", raw=False))
    typed.outputs["probability"].CopyFrom(encode(np.array([0.25, 0.75]), "FLOAT32", raw=False))
    assert table_of(raw).equals(table_of(typed))


def test_records_without_rows_keep_their_request() -> None:
    record = record_pb2.Record(schema_version=1, request_id="r", error_code="NOT_FOUND", event_time_us=START_US)
    assert table_of(record).to_pylist()[0]["error_code"] == "NOT_FOUND"
    assert table_of(record).to_pylist()[0]["row"] is None


def test_requests_of_several_sizes_share_a_table() -> None:
    small = predicted("a", START_US, {"x:y": [1.0]}, [0.1])
    large = predicted("b", START_US, {"x:y": [2.0, float("nan"), 4.0]}, [0.2, 0.3, 0.4])
    rows = table_of(small, large, small).to_pylist()
    assert [row["request_id"] for row in rows] == ["a", "b", "b", "b", "a"]
    assert [row["row"] for row in rows] == [0, 0, 1, 2, 0]
    assert [row["features.x:y"] for row in rows] == [1.0, 2.0, None, 4.0, 1.0]


@pytest.mark.parametrize(
    "break_it",
    [
        lambda record: setattr(record, "rows", 3),
        lambda record: setattr(record, "route_index", b"\x00"),
        lambda record: setattr(record.outputs["probability"], "raw", b"123"),
        lambda record: setattr(record.outputs["probability"], "dtype", 0),
        lambda record: setattr(record.outputs["probability"], "nulls", b"\x01"),
        lambda record: setattr(record.features[0], "statuses", b"\x01\x01\x01"),
        lambda record: record.timestamps_us.append(b"1234"),
    ],
)
def test_a_record_that_contradicts_itself_is_refused(break_it: object) -> None:
    record = full_record()
    break_it(record)  # type: ignore[operator]
    with pytest.raises(BadRecordError):
        prepare(record)
