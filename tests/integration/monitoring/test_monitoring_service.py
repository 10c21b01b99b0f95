"""The whole service on Valkey and PostgreSQL: records in by the stream, labels and reports over gRPC."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import numpy as np
import pytest
import redis.asyncio as redis

from chassis.clock import SystemClock
from chassis.errors import MizzenError, NotFound, Unauthenticated, Unavailable
from chassis.lifecycle import Lifecycle, make_runtime
from chassis.rpc.addresses import StaticAddresses
from chassis.rpc.channel import Channel
from chassis.rpc.identity import CallerTokens, Identity, Minter, write_keys
from mizzen.chassis.v1.envelope_pb2 import Envelope
from mizzen.monitoring.v1 import monitoring_pb2 as pb
from monitoring.main import build
from monitoring.settings import Settings
from tests.engines import RunningEngine, RunningPostgres
from tests.fakes.monitoring_profiles import profile_json
from tests.fakes.monitoring_records import DAY_US, START_US, asked, batch, failed, predicted, request_ids

pytestmark = pytest.mark.engines
SERVICE = "/mizzen.monitoring.v1.MonitoringService/"
DEFINITIONS = """
apiVersion: mizzen.dev/v1alpha1
kind: Endpoint
metadata: {name: flight-delay}
spec:
  entities: [{name: carrier, dtype: STRING}]
  model:
    tensors: [{name: numeric, datatype: FP32, features: ["weather:temp"]}]
    outputs: [{name: probability, tensor: probability, dtype: FLOAT32}]
  traffic: {routes: [{inferenceService: flight-delay, model: flight-delay}]}
  monitoring: {window: 1d, minRows: 100, labels: {output: probability}}
---
apiVersion: mizzen.dev/v1alpha1
kind: Collection
metadata: {name: handbook}
spec: {}
---
apiVersion: serving.kserve.io/v1beta1
kind: InferenceService
metadata: {name: flight-delay}
spec: {predictor: {model: {modelFormat: {name: onnx}, storageUri: "pvc://models/flight-delay/abc"}}}
"""


@dataclass
class Bench:
    """A running service and a client of it."""

    lifecycle: Lifecycle[Settings]
    channel: Channel
    minter: Minter
    redis: redis.Redis
    sequence: int = 1

    def envelope(self, tenant: str = "default", seconds: float = 10.0) -> Envelope:
        token = self.minter.mint(Identity(tenant, "anonymous", frozenset(), frozenset()))
        return Envelope(request_id="r", identity=token, remaining_us=int(seconds * 1e6))

    async def write(self, records: list[Any]) -> None:
        await self.redis.xadd("mizzen:records", {"b": batch(records, self.sequence)})
        self.sequence += len(records)

    async def put(self, labels: list[pb.Label], seconds: float = 10.0) -> pb.PutLabelsResponse:
        request = pb.PutLabelsRequest(envelope=self.envelope(seconds=seconds), labels=labels)
        answer: pb.PutLabelsResponse = await self.channel.unary(
            f"{SERVICE}PutLabels", request, pb.PutLabelsResponse, seconds
        )
        return answer

    async def raw_report(self, endpoint: str = "flight-delay", **fields: Any) -> pb.GetReportResponse:
        fields.setdefault("envelope", self.envelope(seconds=20))
        request = pb.GetReportRequest(endpoint=endpoint, **fields)
        answer: pb.GetReportResponse = await self.channel.unary(
            f"{SERVICE}GetReport", request, pb.GetReportResponse, 20
        )
        return answer

    async def report(self, endpoint: str = "flight-delay", **fields: Any) -> dict[str, Any]:
        content: dict[str, Any] = json.loads((await self.raw_report(endpoint, **fields)).body)
        return content

    async def metrics(self) -> str:
        async with httpx2.AsyncClient() as client:
            return (await client.get(f"http://127.0.0.1:{self.lifecycle.ops.port}/metrics")).text


@pytest.fixture
async def bench(request: pytest.FixtureRequest, tmp_path: Path, valkey: str, postgres: str) -> AsyncIterator[Bench]:
    state = tmp_path
    write_keys(state / "keys")
    (state / "definitions").mkdir()
    (state / "definitions" / "all.yaml").write_text(DEFINITIONS)
    package = state / "volumes/models/flight-delay/abc/flight-delay/package"
    package.mkdir(parents=True)
    random = np.random.default_rng(0)
    profile = profile_json(
        {"weather:temp": random.normal(10, 5, 5000), "entity:origin": np.array(["JFK"] * 4900 + ["LGA"] * 100)},
        {"probability": random.random(5000)},
        ("2013-12-01T00:00:00Z", "2014-01-03T00:00:00Z"),
        5000,
    )
    (package / "profile.json").write_text(json.dumps(profile))
    settings = Settings(
        MIZZEN_STATE=state,
        MIZZEN_STREAM_URL=valkey,
        MIZZEN_POSTGRES_URL=postgres,
        MIZZEN_DRAIN_S=0,
        port=0,
        ops_port=0,
        flush_s=0.02,
        match_every_s=0.1,
        evaluate_every_s=0.3,
        # Only what a stalled database is asked is held to a second.
        label_timeout_s=getattr(request, "param", 10.0),
    )
    lifecycle = Lifecycle(make_runtime(settings), build)
    await lifecycle.start()
    clock = SystemClock()
    callers = CallerTokens(state / "keys/service.secret", "gateway", clock)
    channel = Channel("monitoring", StaticAddresses(f"127.0.0.1:{lifecycle.port}"), callers=callers)
    client = redis.from_url(valkey)
    yield Bench(lifecycle, channel, Minter(state / "keys/identity.key", clock), client)
    await client.aclose()
    await channel.close()
    await lifecycle.stop()


async def eventually(look: Callable[[], Awaitable[Any]], seconds: float = 20.0) -> Any:
    """What `look` answers as soon as that is true."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            found = await look()
        except (MizzenError, redis.RedisError, OSError):
            found = None
        if found:
            return found
        assert time.monotonic() < deadline, "it never came"
        await asyncio.sleep(0.05)


async def days(bench: Bench, temperatures: list[float], rows: int = 200) -> list[str]:
    """A day of predictions per mean temperature; answers the request ids, one a day."""
    random = np.random.default_rng(1)
    ids = request_ids(len(temperatures), seed=9)
    for day, (request_id, mean) in enumerate(zip(ids, temperatures, strict=True)):
        temperature = random.normal(mean, 5, rows).tolist()
        probability = random.random(rows).tolist()
        record = predicted(request_id, START_US + day * DAY_US, {"weather:temp": temperature}, probability)
        await bench.write([record])
    return ids


async def test_drift_is_flagged_by_window_and_training_days_get_no_verdict(bench: Bench) -> None:
    await days(bench, [30, 10, 10, 10, 30])
    report = await eventually(lambda: complete(bench, 1000))
    assert [window["verdict"] for window in report["windows"]] == [
        "in_sample",
        "in_sample",
        "stable",
        "stable",
        "drift",
    ]
    assert report["windows"][4]["drifted"] == ["weather:temp"]
    assert report["verdict"] == "drift"
    assert report["drift"]["weather:temp"]["windows_drifted"] == 1
    assert report["volume"] == {"requests": 5, "rows": 1000, "errors": {}, "degraded": 0, "shadow": 0}
    assert report["latency_ms"]["total"] == {"p50": 5.0, "p90": 5.0, "p99": 5.0, "count": 5}
    assert report["reference"]["schema_hash"] == "0123456789abcdef"


async def test_damaged_files_are_named_and_counted_while_the_report_goes_on(bench: Bench, tmp_path: Path) -> None:
    await days(bench, [10, 10, 10, 10])
    await eventually(lambda: complete(bench, 800))
    (victim,) = (tmp_path / "volumes/records").glob("tenant=*/endpoint=*/date=2014-01-02/[!.]*.parquet")
    victim.write_bytes(victim.read_bytes()[:1000])
    profile = next((tmp_path / "volumes").rglob("profile.json"))
    profile.write_text(profile.read_text()[:100])
    await bench.write([predicted(request_ids(1, seed=77)[0], START_US + 6 * DAY_US, {"weather:temp": [1.0]}, [0.5])])
    report = await eventually(lambda: complete(bench, 601))
    assert any(victim.name in notice for notice in report["notices"])
    assert any("profile" in notice and "is damaged" in notice for notice in report["notices"])

    async def counted() -> bool:
        text = await bench.metrics()
        return all(f'mizzen_monitoring_set_aside_files{{kind="{kind}"}} 1.0' in text for kind in ("records", "profile"))

    await eventually(counted)


async def complete(bench: Bench, rows: int) -> dict[str, Any] | None:
    report = await bench.report()
    return report if report["volume"]["rows"] == rows else None


async def test_quality_comes_from_late_labels(bench: Bench) -> None:
    random = np.random.default_rng(3)
    probability = random.random(400)
    truth = (random.random(400) < probability).astype(float)
    (one,) = request_ids(1, seed=4)
    # labels first: they wait for their prediction
    labels = [
        pb.Label(request_id=one, row=row, output="probability", value=truth[row], event_time_us=START_US)
        for row in range(300)
    ]
    answer = await bench.put(labels)
    assert (answer.stored, answer.older) == (300, 0)
    assert {status.code for status in answer.statuses} == {0}
    at = START_US + 5 * DAY_US
    await bench.write([predicted(one, at, {"weather:temp": [10.0] * 400}, probability.tolist())])

    async def labelled() -> Any:
        report = await bench.report()
        # No quality at all: the label store was slow this time, as the report's notice says.
        return report if report["quality"] and report["quality"]["labelled"] == 300 else None

    report = await eventually(labelled)
    quality = report["windows"][0]["quality"]
    assert quality["coverage"] == 0.75
    positive, negative = probability[:300][truth[:300] == 1], probability[:300][truth[:300] == 0]
    expected = (positive[:, None].astype(np.float32) > negative[None, :].astype(np.float32)).mean()
    assert quality["roc_auc"] == pytest.approx(expected, abs=1e-5)
    assert quality["base_rate"] == pytest.approx(truth[:300].mean(), abs=1e-6)
    assert quality["brier"] == pytest.approx(((probability[:300] - truth[:300]) ** 2).mean(), abs=1e-5)
    assert report["quality"] == quality

    async def exported() -> bool:
        text = await bench.metrics()
        return (
            'mizzen_monitoring_quality{endpoint="flight-delay",measure="roc_auc",output="probability",tenant="default"}'
            in text
            and 'mizzen_monitoring_labels_total{result="stored",tenant="default"} 300.0' in text
            and 'mizzen_monitoring_records_total{result="stored"} 1.0' in text
        )

    await eventually(exported)


async def test_bad_labels_say_what_is_wrong_and_good_ones_are_stored(bench: Bench) -> None:
    (one,) = request_ids(1)
    labels = [
        pb.Label(request_id=one, output="probability", value=1.0, event_time_us=START_US),
        pb.Label(request_id=one, output="nothing", value=1.0, event_time_us=START_US),
        pb.Label(request_id=one, output="probability", value=float("nan"), event_time_us=START_US),
        pb.Label(request_id="zzz", output="probability", value=1.0, event_time_us=START_US),
        pb.Label(request_id=one, output="probability", row=1, value=1.0),
        pb.Label(request_id="", output="probability", value=1.0, event_time_us=START_US),
    ]
    answer = await bench.put(labels)
    assert [status.code for status in answer.statuses] == [0, 3, 3, 3, 0, 3]
    assert answer.stored == 2


async def test_collections_and_errors_have_numbers_too(bench: Bench) -> None:
    ids = request_ids(6)
    await bench.write([asked(each, START_US, answerable=n > 0) for n, each in enumerate(ids[:4])])
    await bench.write([failed(ids[4], START_US), predicted(ids[5], START_US, {"weather:temp": [1.0]}, [0.5])])

    async def counted() -> Any:
        report = await bench.report("handbook")
        return report if report["volume"]["requests"] == 4 else None

    report = await eventually(counted)
    assert report["retrieval"]["asks"] == 4
    assert report["retrieval"]["unanswerable_share"] == 0.25
    assert report["retrieval"]["mean_top_score"] == 0.9
    flights = await eventually(lambda: complete(bench, 1))
    assert flights["volume"]["errors"] == {"UNAVAILABLE": 1}
    page = (await bench.raw_report("handbook", format=pb.REPORT_FORMAT_HTML)).body.decode()
    assert "unanswerable" in page


async def test_the_page_needs_nothing_from_outside(bench: Bench) -> None:
    await days(bench, [10, 10, 10, 30])
    await eventually(lambda: complete(bench, 800))
    answer = await bench.raw_report(format=pb.REPORT_FORMAT_HTML)
    page = answer.body.decode()
    assert answer.media_type == "text/html; charset=utf-8"
    assert "<svg" in page and "weather:temp" in page
    for outside in ("<script", "http:", "https:", "src=", "url(", "@import"):
        assert outside not in page


async def test_a_range_is_kept_to(bench: Bench) -> None:
    await days(bench, [10, 10, 10, 30])
    await eventually(lambda: complete(bench, 800))
    report = await bench.report(from_us=START_US + 2 * DAY_US, to_us=START_US + 3 * DAY_US)
    assert [window["from"] for window in report["windows"]] == ["2014-01-03T00:00:00Z"]
    assert report["volume"]["rows"] == 200


async def test_unknown_endpoints_other_tenants_and_bad_identities(bench: Bench) -> None:
    await days(bench, [10])
    await eventually(lambda: complete(bench, 200))
    with pytest.raises(NotFound):
        await bench.report("nothing")
    other = await bench.report(envelope=bench.envelope("other"))
    assert other["volume"]["requests"] == 0
    with pytest.raises(Unauthenticated):
        await bench.report(envelope=Envelope(request_id="r", identity="forged", remaining_us=1_000_000))


@pytest.mark.parametrize("stalled", [False, True])
@pytest.mark.parametrize("bench", [1.0], indirect=True)
async def test_without_postgresql_records_flow_and_reports_answer(
    bench: Bench, postgres_server: RunningPostgres, stalled: bool
) -> None:
    await days(bench, [10, 10])
    await eventually(lambda: complete(bench, 400))
    (one,) = request_ids(1, seed=77)
    label = pb.Label(request_id=one, output="probability", value=1.0, event_time_us=START_US)
    if stalled:
        postgres_server.pause()
    else:
        postgres_server.kill()
    try:
        started = time.monotonic()
        with pytest.raises(Unavailable):
            await bench.put([label], seconds=3.0)
        assert time.monotonic() - started < 2.5
        await bench.write([predicted(one, START_US, {"weather:temp": [10.0] * 100}, [0.5] * 100)])
        report = await eventually(lambda: complete(bench, 500), 60)
        assert report["notices"] == ["the label store does not answer: quality is missing"]
        assert report["quality"] is None
    finally:
        if stalled:
            postgres_server.resume()
        else:
            postgres_server.start()

    async def stored() -> bool:
        return (await bench.put([label])).stored == 1

    await eventually(stored)


@pytest.mark.parametrize("stalled", [False, True])
async def test_without_valkey_reports_answer_and_records_come_afterwards(
    bench: Bench, valkey_server: RunningEngine, stalled: bool
) -> None:
    await days(bench, [10, 10])
    await eventually(lambda: complete(bench, 400))
    if stalled:
        valkey_server.pause()
    else:
        valkey_server.kill()
    try:
        assert (await bench.report())["volume"]["rows"] == 400
    finally:
        if stalled:
            valkey_server.resume()
        else:
            valkey_server.start()
    (one,) = request_ids(1, seed=78)

    async def write() -> bool:
        await bench.write([predicted(one, START_US, {"weather:temp": [10.0] * 100}, [0.5] * 100)])
        return True

    await eventually(write)
    await eventually(lambda: complete(bench, 500))
