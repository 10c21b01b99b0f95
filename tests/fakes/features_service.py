"""The features service over a real channel, with a store and definitions of the test's choosing."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from catalog import Catalog, find_in_text, take
from chassis.clock import SystemClock
from chassis.rpc.channel import Channel, StaticAddresses
from chassis.rpc.identity import Identity, Minter, Verifier, write_keys
from chassis.rpc.server import Registration, Surroundings, make_server
from chassis.telemetry.metrics import Metrics
from chassis.values import encode
from features.adapters.catalog_views import load_definitions
from features.adapters.prometheus_metrics import PrometheusMetrics
from features.api.servicer import NAME, FeaturesServicer, add_features
from features.domain.read import Reader, ReadLimits
from features.domain.write import WriteLimits, Writer
from mizzen.chassis.v1.envelope_pb2 import Envelope
from mizzen.features.v1 import features_pb2 as pb

DEFINITIONS = """
apiVersion: mizzen.dev/v1alpha1
kind: FeatureView
metadata: {name: plane}
spec:
  entities: [{name: tailnum, dtype: STRING}]
  ttl: 1h
  source: {tables: {planes: planes.parquet}, sql: SELECT * FROM planes}
  features:
    - {name: age, dtype: FLOAT32, default: 12.5, unit: years}
    - {name: seats, dtype: INT32}
    - {name: maker, dtype: STRING, default: unknown}
    - {name: built_at, dtype: TIMESTAMP}
  inputs: [{name: distance, dtype: FLOAT64}]
  onDemand:
    - {name: age_per_seat, dtype: FLOAT64, sql: age / seats}
    - {name: band, dtype: STRING, sql: "case when distance < 500 then 'short' else 'long' end"}
    - {name: local_hour, dtype: INT32, sql: "hour(timezone('America/New_York', as_of))"}
---
apiVersion: mizzen.dev/v1alpha1
kind: FeatureView
metadata: {name: route-history}
spec:
  entities: [{name: origin, dtype: STRING}, {name: number, dtype: INT64}]
  source: {tables: {routes: routes.parquet}, sql: SELECT * FROM routes}
  features: [{name: late_rate, dtype: FLOAT64}, {name: flown, dtype: BOOL}]
---
apiVersion: mizzen.dev/v1alpha1
kind: Endpoint
metadata: {name: delay}
spec:
  entities: [{name: tailnum, dtype: STRING}]
  inputs: [{name: distance, dtype: FLOAT64}]
  model:
    tensors: [{name: numeric, datatype: FP32, features: ["plane:age", "plane:seats"]}]
    outputs: [{name: probability, dtype: FLOAT32, tensor: probability}]
  traffic: {routes: [{inferenceService: delay, model: delay}]}
"""


def catalog_of(text: str, last: Catalog | None = None) -> Catalog:
    """The catalog of YAML text, `last` being the one before; AssertionError when it can't be read."""
    found, errors = find_in_text(text, "test.yaml")
    assert not errors, errors
    return take(found, errors, last or Catalog())


@dataclass
class RunningFeatures:
    """The service and how to call it."""

    channel: Channel
    minter: Minter
    reader: Reader
    writer: Writer
    metrics: Metrics
    address: str
    catalog: Catalog

    def load(self, text: str) -> list[str]:
        """Loads definitions; what was refused."""
        self.catalog = catalog_of(text, self.catalog)
        definitions = load_definitions(self.catalog)
        self.reader.load(definitions)
        self.writer.load(definitions)
        return [str(error) for error in self.catalog.errors if not error.missing_reference]

    def envelope(self, tenant: str = "default", remaining_us: int = 2_000_000) -> Envelope:
        identity = self.minter.mint(Identity(tenant, "someone", frozenset(), frozenset()))
        return Envelope(request_id="0190-test", identity=identity, remaining_us=remaining_us)

    async def read(self, *items: pb.ReadItem) -> list[pb.ReadResult]:
        request = pb.ReadRequest(items=items)
        response = await self.channel.unary(f"/{NAME}/Read", request, pb.ReadResponse, 5.0)
        return list(response.results)

    async def write(self, *items: pb.WriteItem) -> list[pb.WriteResult]:
        request = pb.WriteRequest(items=items)
        response = await self.channel.unary(f"/{NAME}/Write", request, pb.WriteResponse, 5.0)
        return list(response.results)

    def item(self, refs: list[str], as_of_us: int = 0, tenant: str = "default", **columns: Any) -> pb.ReadItem:
        """A read: text columns are entities, others inputs unless named `entity_…`."""
        item = pb.ReadItem(envelope=self.envelope(tenant), refs=refs, as_of_us=as_of_us)
        for name, values in columns.items():
            if isinstance(values[0], str):
                item.entities[name].CopyFrom(encode(values, "STRING"))
            elif isinstance(values[0], int):
                item.entities[name].CopyFrom(encode(np.array(values), "INT64"))
            else:
                item.inputs[name].CopyFrom(encode(np.array(values), "FLOAT64"))
        return item


@asynccontextmanager
async def running_features(
    store: Any, keys: Path, kind: Any = "native", definitions: str = DEFINITIONS, timeout_s: float = 0.25
) -> AsyncIterator[RunningFeatures]:
    """A server of `kind` on a free port over `store`."""
    write_keys(keys)
    clock, metrics = SystemClock(), Metrics()
    reader = Reader(store, clock, PrometheusMetrics(metrics), ReadLimits(timeout_s))
    writer = Writer(store, clock, PrometheusMetrics(metrics), WriteLimits())
    catalog = catalog_of(definitions)
    assert all(error.missing_reference for error in catalog.errors), catalog.errors
    loaded = load_definitions(catalog)
    reader.load(loaded)
    writer.load(loaded)
    servicer = FeaturesServicer(reader, writer, Verifier(keys / "identity.pub", clock), clock)
    server = make_server(kind, "127.0.0.1:0", [Registration(add_features, servicer, NAME)], Surroundings(metrics, None))
    await server.start()
    address = f"127.0.0.1:{server.port}"
    channel = Channel("features", StaticAddresses(address))
    try:
        await channel.ready(5)
        yield RunningFeatures(channel, Minter(keys / "identity.key", clock), reader, writer, metrics, address, catalog)
    finally:
        await channel.close()
        await server.stop(0)
