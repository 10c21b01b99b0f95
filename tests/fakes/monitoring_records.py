"""Records as a gateway writes them."""

import uuid
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from chassis.values import encode
from mizzen.monitoring.v1 import record_pb2

DAY_US = 86_400_000_000
START_US = 1_388_534_400_000_000  # 2014-01-01T00:00:00Z


def request_ids(count: int, seed: int = 0) -> list[str]:
    """UUIDs that grow, as UUIDv7 do."""
    return [str(uuid.UUID(int=(seed << 80) + (7 << 76) + (2 << 62) + n)) for n in range(1, count + 1)]


def column(values: Any) -> Any:
    """A Values message of numbers (float32 raw) or texts; None is null."""
    array = np.asarray(values, dtype=object if any(isinstance(v, str) for v in values) else np.float64)
    if array.dtype == object:
        nulls = [value is None for value in array]
        return encode(["" if value is None else value for value in array], "STRING", nulls)
    nulls_mask = np.isnan(array)
    return encode(np.nan_to_num(array).astype(np.float32), "FLOAT32", nulls_mask)


def predicted(
    request_id: str,
    event_time_us: int,
    features: Mapping[str, Sequence[Any]],
    probability: Sequence[float],
    *,
    endpoint: str = "flight-delay",
    tenant: str = "default",
    **fields: Any,
) -> Any:
    """A predict record of len(probability) rows."""
    rows = len(probability)
    record = record_pb2.Record(
        schema_version=1,
        request_id=request_id,
        kind=record_pb2.RECORD_KIND_PREDICT,
        tenant=tenant,
        endpoint=endpoint,
        event_time_us=event_time_us,
        received_at_us=event_time_us + 5,
        rows=rows,
        routes=["flight-delay"],
        model_versions=["abc"],
        schema_hash="0123456789abcdef",
        timings_ms={"features": 1.5, "inference": 3.0, "total": 5.0},
        **fields,
    )
    record.entities["origin"].CopyFrom(column(["JFK"] * rows))
    stamps = np.full(rows, event_time_us - 1000, "<i8")
    record.timestamps_us.append(stamps.tobytes())
    for ref, values in features.items():
        record.features.add(ref=ref, values=column(values), timestamps_index=1)
    record.outputs["probability"].CopyFrom(column(probability))
    return record


def failed(request_id: str, event_time_us: int, *, endpoint: str = "flight-delay", code: str = "UNAVAILABLE") -> Any:
    """A predict record of a request that failed."""
    return record_pb2.Record(
        schema_version=1,
        request_id=request_id,
        kind=record_pb2.RECORD_KIND_PREDICT,
        tenant="default",
        endpoint=endpoint,
        event_time_us=event_time_us,
        received_at_us=event_time_us + 5,
        error_code=code,
        error_reason="STORE_DOWN",
        timings_ms={"total": 100.0},
    )


def asked(request_id: str, event_time_us: int, *, answerable: bool, collection: str = "handbook") -> Any:
    """An ask record."""
    return record_pb2.Record(
        schema_version=1,
        request_id=request_id,
        kind=record_pb2.RECORD_KIND_ASK,
        tenant="default",
        endpoint=collection,
        event_time_us=event_time_us,
        received_at_us=event_time_us + 5,
        timings_ms={"total": 40.0, "retrieval": 35.0},
        retrieved=record_pb2.Retrieved(
            query="what?", document_ids=["a", "b"], chunks=[1, 2], scores=[0.9, 0.5], answerable=answerable, cited=[0]
        ),
    )


def batch(records: Sequence[Any], first: int = 1, writer: str = "gateway/1") -> bytes:
    """A stream entry's payload."""
    return bytes(record_pb2.RecordBatch(writer=writer, first_sequence=first, records=records).SerializeToString())
