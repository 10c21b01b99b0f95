"""The verb behind GetReport, on a real record log."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from chassis.errors import NotFound
from monitoring.adapters.duckdb_log import DuckDBLog
from monitoring.adapters.file_profiles import parse_profile
from monitoring.adapters.parquet_writer import ParquetWriter
from monitoring.adapters.record_files import RecordFiles
from monitoring.api.page import page
from monitoring.api.report_json import report_json
from monitoring.domain.evaluate import Evaluate
from monitoring.domain.model import Delivery, Label, Policy, Verdict
from tests.fakes.clock import FakeClock
from tests.fakes.monitoring_ports import Definitions, MemoryLabels, Profiles
from tests.fakes.monitoring_profiles import profile_json
from tests.fakes.monitoring_records import DAY_US, START_US, batch, predicted, request_ids

POLICY = Policy(DAY_US, 100, 0.2, 0.15, frozenset(), "probability", "binary")


class Bench:
    """Days of predictions of one feature; the reference is normal(0, 1) over the first `training_days`."""

    def __init__(self, root: Path, policy: Policy = POLICY, training_days: int = 6) -> None:
        self.random = np.random.default_rng(11)
        files = RecordFiles(root)
        self.writer, self.log = ParquetWriter(files, "m"), DuckDBLog(files)
        self.clock = FakeClock()
        self.labels = MemoryLabels(self.clock)
        end = np.datetime64(START_US + training_days * DAY_US, "us").item().isoformat() + "Z"
        reference = {"x:y": self.random.normal(size=4000), "c:k": np.array(["a", "b"] * 2000)}
        content = profile_json(
            reference, {"probability": self.random.random(4000)}, ("2014-01-01T00:00:00Z", end), 4000
        )
        self.profiles = Profiles(parse_profile(content))
        self.evaluate = Evaluate(self.log, self.labels, self.profiles, Definitions(policy), self.clock)
        self.written = 0

    async def day(self, day: int, shift: float, rows: int = 300, **fields: Any) -> str:
        self.written += 1
        request_id = request_ids(1, seed=self.written)[0]
        record = predicted(
            request_id,
            START_US + day * DAY_US + 3_600_000_000,
            {"x:y": self.random.normal(shift, 1, rows).tolist(), "c:k": self.random.choice(["a", "b"], rows).tolist()},
            self.random.random(rows).tolist(),
            **fields,
        )
        await self.writer.append([Delivery(f"{self.written}-0", batch([record], self.written))])
        return request_id

    async def close(self) -> None:
        await self.writer.close()
        await self.log.close()


@pytest.fixture
async def bench(tmp_path: Path) -> Any:
    made = Bench(tmp_path)
    yield made
    await made.close()


async def verdicts(bench: Bench) -> list[str]:
    return [window.verdict.value for window in (await bench.evaluate.report("default", "flight-delay")).windows]


async def test_injected_drift_is_flagged_and_a_control_is_not(bench: Bench) -> None:
    for day in range(6):
        await bench.day(day, 0.0)
    for day, shift in ((6, 0.0), (7, 1.0), (8, 0.0)):
        await bench.day(day, shift)
    assert await verdicts(bench) == ["in_sample"] * 6 + ["stable", "drift", "stable"]


async def test_seasons_of_the_training_window_raise_the_threshold(bench: Bench) -> None:
    for day, shift in enumerate([1.0, -1.0, 0.5, -0.5, 0.0, 0.9]):
        await bench.day(day, shift)
    await bench.day(6, 0.8)
    await bench.day(7, 3.0)
    assert await verdicts(bench) == ["in_sample"] * 6 + ["stable", "drift"]


async def test_only_watched_columns_decide(tmp_path: Path) -> None:
    bench = Bench(tmp_path, Policy(DAY_US, 100, 0.2, 0.15, frozenset({"c:k"}), None, "binary"))
    await bench.day(7, 3.0)
    report = await bench.evaluate.report("default", "flight-delay")
    assert report.windows[0].verdict is Verdict.STABLE
    assert report.windows[0].features["x:y"].verdict is Verdict.DRIFT
    assert report.quality is None
    await bench.close()


async def test_a_window_is_scored_again_when_records_come(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    await bench.day(7, 0.0)
    assert await verdicts(bench) == ["stable"]
    asked: list[Any] = []
    columns = bench.log.columns

    async def counted(*arguments: Any) -> Any:
        asked.append(arguments)
        return await columns(*arguments)

    monkeypatch.setattr(bench.log, "columns", counted)
    assert await verdicts(bench) == ["stable"]
    assert not asked
    await bench.day(7, 5.0)
    assert await verdicts(bench) == ["drift"]
    assert len(asked) == 1


async def test_many_rows_are_loaded_a_few_columns_at_once(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every column of a large window in one go took a gigabyte."""
    await bench.day(7, 3.0)
    whole = report_json(await bench.evaluate.report("default", "flight-delay"))
    bench.evaluate = Evaluate(bench.log, bench.labels, bench.profiles, Definitions(POLICY), bench.clock)
    asked: list[int] = []
    columns = bench.log.columns

    async def counted(tenant: str, endpoint: str, windows: Any, kinds: dict[str, str]) -> Any:
        asked.append(len(kinds))
        return await columns(tenant, endpoint, windows, kinds)

    monkeypatch.setattr(bench.log, "columns", counted)
    monkeypatch.setattr("monitoring.domain.evaluate._VALUES_AT_ONCE", 300)
    monkeypatch.setattr("monitoring.domain.evaluate._FEWEST_COLUMNS", 1)
    assert report_json(await bench.evaluate.report("default", "flight-delay")) == whole
    assert set(asked) == {1}
    assert len(asked) > 1


async def test_compaction_changes_no_report(bench: Bench) -> None:
    for _ in range(9):
        await bench.day(7, 0.3)
    before = report_json(await bench.evaluate.report("default", "flight-delay"))
    assert await bench.writer.compact() == 8
    assert report_json(await bench.evaluate.report("default", "flight-delay")) == before


async def test_shadow_answers_count_apart(bench: Bench) -> None:
    await bench.day(7, 0.0)
    await bench.day(7, 9.0, shadow=True)
    report = await bench.evaluate.report("default", "flight-delay")
    assert (report.volume.requests, report.volume.rows, report.volume.shadow) == (1, 300, 1)
    assert report.windows[0].verdict is Verdict.STABLE


async def test_labels_are_found_by_request_id(bench: Bench) -> None:
    first = await bench.day(7, 0.0, rows=50)
    await bench.day(8, 0.0, rows=50)
    found = await bench.log.predictions("default", [first, "00000000-0000-7000-8000-000000000000"], ["probability"])
    assert {(each[0], each[2], each[3]) for each in found} == {(first, "probability", "flight-delay")}
    assert sorted(each[1] for each in found) == list(range(50))
    await bench.labels.put("default", [Label(first, row, "probability", row % 2, 1) for row in range(50)], 1)
    await bench.labels.match("default", [first], found)
    report = await bench.evaluate.report("default", "flight-delay")
    assert report.quality is not None and report.quality.labelled == 50 and report.quality.coverage == 0.5


async def test_without_labels_or_profile_the_rest_is_reported(bench: Bench) -> None:
    await bench.day(7, 0.0)
    bench.labels.down = True
    bench.profiles.profile = None
    report = await bench.evaluate.report("default", "flight-delay")
    assert len(report.notices) == 2
    assert report.windows[0].verdict is Verdict.NO_REFERENCE
    assert report.volume.rows == 300
    assert report.latency["inference"].p50 == 3.0
    bench.labels.down = False
    bench.clock.advance(10)
    assert len((await bench.evaluate.report("default", "flight-delay")).notices) == 1


async def test_labels_get_half_of_what_is_left_and_never_more_than_five_seconds(bench: Bench) -> None:
    await bench.day(7, 0.0)
    for left_s in (3.0, 60.0):
        await bench.evaluate.report("default", "flight-delay", deadline_s=bench.clock.monotonic_s() + left_s)
    await bench.evaluate.report("default", "flight-delay")
    assert bench.labels.patience_s == [1.5, 5.0, 5.0]


async def test_nothing_recorded_is_an_empty_report_and_unknown_is_not_found(bench: Bench) -> None:
    report = await bench.evaluate.report("default", "handbook")
    content = report_json(report)
    json.dumps(content, allow_nan=False)
    assert content["windows"] == []
    assert "No records yet" in page(report, content)
    with pytest.raises(NotFound):
        await bench.evaluate.report("default", "nothing")


async def test_names_from_outside_stay_text_in_the_page(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    await bench.writer.append(
        [Delivery("1-0", batch([predicted("a", START_US, {"x:<script>": [1.0]}, [0.5], endpoint="<script>e'\"")]))]
    )
    report = await bench.evaluate.report("default", "<script>e'\"")
    assert "<script" not in page(report, report_json(report))
    await bench.close()


async def test_nothing_stays_in_memory_of_files_that_a_report_read(bench: Bench) -> None:
    """Files are merged, and names come for years: what stays of each would grow without end."""
    for day in range(16):
        await bench.day(day, 0.0)
    assert (await bench.evaluate.report("default", "flight-delay")).volume.rows == 16 * 300
    held = bench.log._connection.execute("SELECT sum(memory_usage_bytes) FROM duckdb_memory()").fetchone()
    assert held is not None
    assert held[0] < 64 * 1024
