"""Records on the real stream, Idempotency-Key on the real store."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import httpx2
import numpy as np
import pytest
import redis.asyncio

from chassis import values
from chassis.errors import Aborted, Unavailable
from gateway.adapters.valkey.connection import connected
from gateway.adapters.valkey.idempotency import ValkeyIdempotency
from mizzen.features.v1 import features_pb2
from mizzen.gateway.v1 import gateway_pb2, gateway_pb2_grpc
from mizzen.monitoring.v1 import record_pb2
from tests.fakes.gateway_rig import Rig, gateway_rig

BODY: dict[str, Any] = {"entities": {"tailnum": ["N14228", "missing"]}, "inputs": {"distance": [10.0, 20.0]}}


@pytest.fixture
async def stream(valkey: str) -> AsyncIterator[redis.asyncio.Redis]:
    async with redis.asyncio.Redis.from_url(valkey) as client:
        yield client


@pytest.fixture
async def rig(tmp_path: Path, valkey: str) -> AsyncIterator[Rig]:
    async with gateway_rig(tmp_path, stream_url=valkey) as made:
        yield made


async def read(stream: redis.asyncio.Redis, count: int) -> list[record_pb2.RecordBatch]:
    """Batches, once `count` records are there."""
    async with asyncio.timeout(10):
        while True:
            entries: Any = await stream.xrange("mizzen:records")
            batches = [record_pb2.RecordBatch.FromString(fields[b"b"]) for _, fields in entries]
            if sum(len(batch.records) for batch in batches) >= count:
                return batches
            await asyncio.sleep(0.02)


def records(batches: list[record_pb2.RecordBatch]) -> list[record_pb2.Record]:
    return [record for batch in batches for record in batch.records]


async def test_a_predict_leaves_a_whole_record(rig: Rig, stream: redis.asyncio.Redis) -> None:
    async with httpx2.AsyncClient(base_url=rig.url) as http:
        options = {"as_of": "2013-11-03T14:00:00Z"}
        headers = {"x-request-id": "mine"}
        response = await http.post("/v1/endpoints/late:predict", json={**BODY, "options": options}, headers=headers)
    (batch,) = await read(stream, 1)
    (record,) = batch.records
    assert batch.first_sequence == 0
    assert record.schema_version == 1
    assert record.kind == record_pb2.RECORD_KIND_PREDICT
    assert record.request_id == response.json()["request_id"]
    assert record.client_request_id == "mine"
    assert (record.tenant, record.subject, record.endpoint) == ("default", "anonymous", "late")
    assert record.event_time_us == 1383487200_000_000
    assert record.received_at_us > record.event_time_us
    assert (record.rows, list(record.routes), list(record.model_versions)) == (2, ["late"], ["abcdef012345"])
    assert record.schema_hash == rig.triton.schema_hash
    assert list(record.entities["tailnum"].strings.values) == ["N14228", "missing"]
    assert values.decode(record.inputs["distance"], 2)[0].tolist() == [10.0, 20.0]
    assert values.decode(record.outputs["probability"], 2)[0].tolist() == pytest.approx([0.16, 0.20])
    seats = next(feature for feature in record.features if feature.ref == "plane:seats")
    array, nulls = values.decode(seats.values, 2)
    assert nulls is not None
    assert (array[0], nulls.tolist(), seats.statuses) == (6.0, [False, True], b"\x01\x03")
    assert np.frombuffer(record.timestamps_us[seats.timestamps_index - 1], "<i8").tolist() == [1_700_000_000_000_000, 0]
    assert set(record.timings_ms) == {"features", "infer", "total"}
    assert not record.error_code


async def test_every_kind_and_errors_leave_records_without_gaps(rig: Rig, stream: redis.asyncio.Redis) -> None:
    infer = {"inputs": [{"name": "x", "shape": [1, 2], "datatype": "FP32", "data": [1, 2]}]}
    async with httpx2.AsyncClient(base_url=rig.url) as http:
        await http.post("/v2/models/echo/infer", json=infer)
        await http.post("/v1/collections/handbook:search", json={"query": "rows"})
        await http.post("/v1/collections/handbook:ask", json={"question": "where?"})
        rig.features.failure = Unavailable("gone", reason="STORE_DOWN")
        await http.post("/v1/endpoints/late:predict", json=BODY)
    batches = await read(stream, 4)
    infer_record, search, ask, failed = records(batches)
    assert values.decode(infer_record.outputs["y"], 1)[0].tolist() == [[1.0, 2.0]]
    assert infer_record.endpoint == "echo"
    assert search.retrieved.query == "rows"
    assert list(search.retrieved.document_ids) == ["docs/a.md"]
    assert ask.retrieved.answerable
    assert list(ask.retrieved.cited) == [0]
    assert (failed.error_code, failed.error_reason) == ("UNAVAILABLE", "STORE_DOWN")
    following = 0
    for batch in batches:
        assert batch.first_sequence == following
        following += len(batch.records)


async def test_defaults_are_recorded_as_unavailable(tmp_path: Path, valkey: str, stream: redis.asyncio.Redis) -> None:
    async with gateway_rig(tmp_path, stream_url=valkey, on_store_down="default") as rig:
        rig.features.failure = Unavailable("gone", reason="STORE_DOWN")
        async with httpx2.AsyncClient(base_url=rig.url) as http:
            await http.post("/v1/endpoints/late:predict", json=BODY)
        (record,) = records(await read(stream, 1))
    assert record.degraded
    assert record.features[0].statuses == b"\x05\x05"
    assert values.decode(record.features[0].values, 2)[0].tolist() == [100.0, 100.0]


async def test_a_shadow_is_recorded_and_not_answered(tmp_path: Path, valkey: str, stream: redis.asyncio.Redis) -> None:
    traffic = (
        "{routes: [{inferenceService: late, model: late}],"
        " shadow: {inferenceService: late-b, model: late-b, weight: 0}}"
    )
    async with gateway_rig(tmp_path, stream_url=valkey, traffic=traffic) as rig:
        async with httpx2.AsyncClient(base_url=rig.url) as http:
            answer = (await http.post("/v1/endpoints/late:predict", json=BODY)).json()
        found = records(await read(stream, 2))
    shadow = next(record for record in found if record.shadow)
    assert answer["outputs"]["probability"] == pytest.approx([0.16, 0.20])
    assert values.decode(shadow.outputs["probability"], 2)[0].tolist() == pytest.approx([0.66, 0.70])
    assert list(shadow.routes) == ["late-b"]


async def test_a_reader_that_lags_makes_records_drop_and_count(
    tmp_path: Path, valkey: str, stream: redis.asyncio.Redis
) -> None:
    await stream.xgroup_create("mizzen:records", "monitoring", id="0", mkstream=True)
    for _ in range(20):
        await stream.xadd("mizzen:records", {"b": b""})
    async with (
        gateway_rig(tmp_path, stream_url=valkey, settings={"record_max_lag": 10}) as rig,
        httpx2.AsyncClient(base_url=rig.url) as http,
    ):
        assert (await http.post("/v1/endpoints/late:predict", json=BODY)).status_code == 200
        async with asyncio.timeout(10):
            while 'dropped_total{reason="stream_full"} 1.0' not in (await http.get(rig.ops + "/metrics")).text:
                await asyncio.sleep(0.05)
    assert await stream.xlen("mizzen:records") == 20


async def test_writes_under_one_key_are_done_once(rig: Rig) -> None:
    body = {"documents": [{"id": "d", "text": "t"}]}
    path, headers = "/v1/collections/handbook/documents", {"idempotency-key": "k1"}
    async with httpx2.AsyncClient(base_url=rig.url) as http:
        first = await http.post(path, json=body, headers=headers)
        again = await http.post(path, json=body, headers=headers)
        assert first.json() == again.json()
        assert rig.retrieval.upserts == 1
        other = await http.post(path, json={"documents": [{"id": "e", "text": "t"}]}, headers=headers)
        assert (other.status_code, other.json()["reason"]) == (409, "IDEMPOTENCY_KEY_REUSED")
        failed = await http.post(path, json={"documents": []}, headers={"idempotency-key": "k2"})
        assert failed.status_code == 400
        assert (await http.post(path, json=body, headers={"idempotency-key": "k2"})).status_code == 200
        long = await http.post(path, json=body, headers={"idempotency-key": "k" * 201})
        assert (long.status_code, long.json()["field"]) == (400, "Idempotency-Key")


async def test_a_key_is_kept_a_day_and_is_the_tenants_own(valkey: str) -> None:
    redis = connected(valkey, 1.0)
    store = ValkeyIdempotency(redis)
    assert await store.claim("a", "k", "1" * 64) is None
    await store.keep("a", "k", "1" * 64, b"answer")
    assert await store.claim("a", "k", "1" * 64) == b"answer"
    # Another tenant's key of the same text is another key.
    assert await store.claim("b", "k", "2" * 64) is None
    (kept,) = [key async for key in redis.scan_iter("idem:a:*")]
    assert 24 * 3600 - 60 < await redis.ttl(kept) <= 24 * 3600
    (claimed,) = [key async for key in redis.scan_iter("idem:b:*")]
    # A write whose process died lets go of its key by itself.
    assert 0 < await redis.ttl(claimed) <= 120
    with pytest.raises(Aborted):
        await store.claim("b", "k", "2" * 64)
    await store.release("b", "k")
    assert await store.claim("b", "k", "3" * 64) is None
    await redis.aclose()


async def test_every_write_takes_a_key_on_both_edges(rig: Rig) -> None:
    label = {"request_id": "r", "output": "probability", "value": 1, "event_time": "2013-11-03T14:00:00Z"}
    async with httpx2.AsyncClient(base_url=rig.url) as http:
        for _ in range(2):
            stored = await http.post("/v1/labels", json={"labels": [label]}, headers={"idempotency-key": "label"})
            assert stored.json()["stored"] == 1
        assert len(rig.monitoring.labels) == 1
        await http.post("/v1/collections/handbook/documents", json={"documents": [{"id": "d", "text": "t"}]})
        for _ in range(2):
            path = "/v1/collections/handbook/documents/d"
            gone = await http.delete(path, headers={"idempotency-key": "delete"})
            # The second one is told what the first one was, though there is nothing left to delete.
            assert gone.json() == {"deleted": True}
        other = await http.delete("/v1/collections/handbook/documents/e", headers={"idempotency-key": "delete"})
        assert other.json()["reason"] == "IDEMPOTENCY_KEY_REUSED"
        elsewhere = {"documents": [{"id": "d", "text": "t"}]}
        for collection, status in (("handbook", 200), ("handbook", 200), ("other", 409)):
            answer = await http.post(
                f"/v1/collections/{collection}/documents", json=elsewhere, headers={"idempotency-key": "upsert"}
            )
            assert answer.status_code == status, (collection, answer.text)
    async with grpc.aio.insecure_channel(rig.target) as channel:
        collections: Any = gateway_pb2_grpc.CollectionServiceStub(channel)
        labels: Any = gateway_pb2_grpc.LabelServiceStub(channel)
        upsert = gateway_pb2.UpsertDocumentsRequest(collection="handbook", idempotency_key="grpc upsert")
        upsert.documents.add(id="g", text="t")
        put = gateway_pb2.PutLabelsRequest(idempotency_key="grpc labels")
        put.labels.add(request_id="r", output="probability", value=1.0).event_time.FromSeconds(1383487200)
        delete = gateway_pb2.DeleteDocumentRequest(collection="handbook", id="g", idempotency_key="grpc delete")
        before = rig.retrieval.upserts, len(rig.monitoring.labels)
        for _ in range(2):
            assert (await collections.UpsertDocuments(upsert, timeout=5)).items[0].id == "g"
            assert (await labels.PutLabels(put, timeout=5)).stored == 1
            assert (await collections.DeleteDocument(delete, timeout=5)).deleted
        assert (rig.retrieval.upserts, len(rig.monitoring.labels)) == (before[0] + 1, before[1] + 1)
        upsert.documents[0].text = "another"
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await collections.UpsertDocuments(upsert, timeout=5)
        assert caught.value.code() is grpc.StatusCode.ALREADY_EXISTS


async def test_without_the_store_writes_go_through_and_are_counted(tmp_path: Path) -> None:
    async with gateway_rig(tmp_path) as rig, httpx2.AsyncClient(base_url=rig.url) as http:
        body = {"documents": [{"id": "d", "text": "t"}]}
        headers = {"idempotency-key": "k1"}
        answer = await http.post("/v1/collections/handbook/documents", json=body, headers=headers)
        assert answer.status_code == 200
        assert "mizzen_gateway_unprotected_writes_total 1.0" in (await http.get(rig.ops + "/metrics")).text


async def test_a_dead_stream_never_shows_in_answers(valkey_server: Any, valkey: str, tmp_path: Path) -> None:
    async with (
        gateway_rig(tmp_path, stream_url=valkey, settings={"record_queue": 5}) as rig,
        httpx2.AsyncClient(base_url=rig.url) as http,
    ):
        valkey_server.kill()
        try:
            statuses = [(await http.post("/v1/endpoints/late:predict", json=BODY)).status_code for _ in range(10)]
            assert statuses == [200] * 10
            metrics = (await http.get(rig.ops + "/metrics")).text
            assert 'mizzen_gateway_records_dropped_total{reason="queue_full"}' in metrics
        finally:
            valkey_server.start()


def test_a_columns_bytes_are_a_recorded_features_bytes() -> None:
    """The recorder leans on it: same names, numbers and types."""
    sent, kept = features_pb2.FeatureColumn.DESCRIPTOR, record_pb2.RecordedFeature.DESCRIPTOR
    assert {(f.name, f.number, f.type) for f in sent.fields} == {(f.name, f.number, f.type) for f in kept.fields}
