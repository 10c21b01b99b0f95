"""The bench table as Feast sees it; copied into a Feast repository and read by Feast's own environment."""

import os
from datetime import timedelta

from feast import Entity, FeatureView, Field, FileSource, ValueType
from feast.types import Float32

driver = Entity(name="driver_id", join_keys=["driver_id"], value_type=ValueType.INT64)
source = FileSource(path=os.environ["BENCH_PARQUET"], timestamp_field="event_timestamp")
view = FeatureView(
    name="bench",
    entities=[driver],
    ttl=timedelta(days=3650),
    schema=[Field(name=f"f{number}", dtype=Float32) for number in range(50)],
    source=source,
)
