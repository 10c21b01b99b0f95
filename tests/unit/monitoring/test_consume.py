"""Consuming: durable before acknowledged, once each, gaps counted."""

from pathlib import Path

import pyarrow.parquet as pq
import pytest

from chassis.errors import Unavailable
from monitoring.adapters.parquet_writer import ParquetWriter
from monitoring.adapters.record_files import RecordFiles
from monitoring.domain.consume import Consume
from monitoring.domain.model import Span
from monitoring.domain.sequences import SequenceLedger
from tests.fakes.clock import FakeClock
from tests.fakes.monitoring_ports import CountedMetrics, MemoryStream, parquet_files
from tests.fakes.monitoring_records import DAY_US, START_US, batch, failed, predicted, request_ids


class Bench:
    """A consumer on a real directory and a stream in memory."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.stream = MemoryStream()
        self.metrics = CountedMetrics()
        self.clock = FakeClock()
        self.restart()

    def restart(self) -> None:
        self.writer = ParquetWriter(RecordFiles(self.root), "monitoring-0")
        self.consume = Consume(self.stream, self.writer, self.metrics, self.clock)

    def rows(self) -> list[str]:
        return sorted(
            request_id
            for path in parquet_files(self.root)
            for request_id in pq.read_table(path, partitioning=None, columns=["request_id"])["request_id"].to_pylist()
        )


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path / "records")


def some(first: int, count: int = 2, at: int = START_US) -> bytes:
    ids = request_ids(100)
    records = [predicted(ids[n], at, {"x:y": [1.0]}, [0.5]) for n in range(first, first + count)]
    return batch(records, first)


async def test_records_are_partitioned_by_tenant_endpoint_and_date(bench: Bench) -> None:
    bench.stream.add(some(1))
    bench.stream.add(some(3, at=START_US + DAY_US))
    bench.stream.add(batch([predicted("x", START_US, {}, [0.1], tenant="a/b", endpoint="e=1")], 5))
    await bench.consume.once()
    assert {str(path.parent.relative_to(bench.root)) for path in parquet_files(bench.root)} == {
        "tenant=default/endpoint=flight-delay/date=2014-01-01",
        "tenant=default/endpoint=flight-delay/date=2014-01-02",
        "tenant=a%2Fb/endpoint=e%3D1/date=2014-01-01",
    }
    assert RecordFiles(bench.root).names() == [("a/b", "e=1"), ("default", "flight-delay")]
    assert (bench.metrics.records, bench.metrics.rejected) == (5, 0)
    assert await bench.stream.lag() == (0, 0)


async def test_what_is_delivered_again_is_written_once(bench: Bench) -> None:
    bench.stream.add(some(1))
    bench.stream.add(some(3))
    read = await bench.stream.read()
    await bench.writer.append(read)  # and then the process dies before acknowledging
    bench.stream.crash()
    bench.restart()
    bench.stream.add(some(5))
    await bench.consume.once()
    await bench.consume.once()
    assert len(bench.rows()) == 6
    assert bench.metrics.duplicates == 2
    assert await bench.stream.lag() == (0, 0)


async def test_a_batch_that_its_writer_appended_twice_is_written_once(bench: Bench) -> None:
    bench.stream.add(some(1))
    bench.stream.add(some(1))
    await bench.consume.once()
    assert len(bench.rows()) == 2


async def test_a_crash_between_commit_and_rename_is_finished_later(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench.stream.add(some(1))

    def die(self: RecordFiles, ledger: object) -> None:
        raise OSError("killed")

    with monkeypatch.context() as patch:
        patch.setattr(RecordFiles, "finish", die)
        with pytest.raises(Unavailable):
            await bench.consume.once()
    assert parquet_files(bench.root) == []
    bench.stream.crash()
    bench.restart()
    await bench.consume.once()
    assert len(bench.rows()) == 2


async def test_a_disk_that_refuses_keeps_entries_unacknowledged(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    bench.stream.add(some(1))
    with monkeypatch.context() as patch:
        patch.setattr(
            "monitoring.adapters.parquet_writer.pq.write_table", lambda *a, **k: (_ for _ in ()).throw(OSError(28))
        )
        with pytest.raises(Unavailable) as caught:
            await bench.consume.once()
    assert caught.value.reason == "RECORD_LOG_UNWRITABLE"
    assert await bench.stream.lag() == (0, 1)
    assert not list(bench.root.rglob(".*.parquet"))
    bench.stream.crash()
    await bench.consume.once()
    assert len(bench.rows()) == 2
    assert await bench.stream.lag() == (0, 0)


async def test_what_cannot_be_read_is_set_aside(bench: Bench) -> None:
    broken = predicted("a", START_US, {"x:y": [1.0]}, [0.5])
    broken.rows = 7
    timeless = failed("b", 5_000_000_000_000_000)
    bench.stream.add(b"\xff\xff\xff")
    bench.stream.add(batch([broken, timeless, failed("c", START_US)]))
    await bench.consume.once()
    assert (bench.metrics.records, bench.metrics.rejected) == (1, 3)
    assert len(list((bench.root / "_rejected").iterdir())) == 1
    assert await bench.stream.lag() == (0, 0)


async def test_small_files_become_one(bench: Bench) -> None:
    for n in range(1, 21, 2):
        bench.stream.add(some(n))
        await bench.consume.once()
    before = bench.rows()
    assert len(parquet_files(bench.root)) == 10
    assert await bench.writer.compact() == 9
    assert len(parquet_files(bench.root)) == 1
    assert bench.rows() == before
    metadata = pq.read_schema(parquet_files(bench.root)[0]).metadata
    assert metadata[b"mizzen.schema_version"] == b"1"
    assert await bench.writer.compact() == 0


async def test_a_merge_is_no_larger_than_memory_may_be(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """Small on disk is not small in memory: what is constant is compressed a hundred times."""
    for n in range(1, 61, 2):
        bench.stream.add(some(n))
        await bench.consume.once()
    before = bench.rows()
    columns = len(pq.read_schema(parquet_files(bench.root)[0]).names)
    monkeypatch.setattr("monitoring.adapters.parquet_writer._MERGE_BYTES", 10 * 2 * columns * 8)
    assert await bench.writer.compact() == 27, "thirty files of two rows, merged in tens"
    assert len(parquet_files(bench.root)) == 3
    assert bench.rows() == before


async def test_a_crash_in_compaction_leaves_no_row_twice(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    for n in range(1, 21, 2):
        bench.stream.add(some(n))
        await bench.consume.once()
    with monkeypatch.context() as patch:
        patch.setattr("monitoring.adapters.parquet_writer._drop_replaced", lambda *a: None)
        await bench.writer.compact()
    assert len(parquet_files(bench.root)) == 11
    bench.restart()
    await bench.writer.compact()
    assert len(bench.rows()) == 20


async def test_gaps_are_counted_when_nothing_filled_them(bench: Bench) -> None:
    bench.stream.add(some(1))
    bench.stream.add(some(6))
    await bench.consume.once()
    assert bench.metrics.gaps == 0
    bench.clock.advance(61)
    await bench.consume.once()
    assert bench.metrics.gaps == 3


def test_a_late_span_fills_its_hole() -> None:
    ledger = SequenceLedger(settle_s=10)
    for span in (Span("a", 0, 5), Span("a", 20, 5), Span("a", 8, 4), Span("b", 100, 1)):
        ledger.add(span, 0.0)
    assert ledger.settle(5.0) == 0
    assert ledger.settle(11.0) == 11
    assert ledger.settle(12.0) == 0


def test_a_silent_writer_is_forgotten() -> None:
    ledger = SequenceLedger(settle_s=1, forget_s=100)
    ledger.add(Span("a", 0, 1), 0.0)
    ledger.settle(200.0)
    ledger.add(Span("a", 50, 1), 201.0)
    assert ledger.settle(300.0) == 0
