"""One flipped bit in one file of the record log: never another report without a word, never no report."""

import random
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from monitoring.adapters.duckdb_log import DuckDBLog
from monitoring.adapters.record_files import RecordFiles
from monitoring.api.report_json import report_json
from monitoring.domain.evaluate import Evaluate
from monitoring.domain.model import Report
from tests.fakes.monitoring_ports import Definitions
from tests.unit.monitoring.test_damaged_files import files_of
from tests.unit.monitoring.test_evaluate import POLICY, Bench

DAYS, ROWS = 8, 40


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Bench]:
    made = Bench(tmp_path)
    for day in range(DAYS):
        await made.day(day, 0.1 * day, rows=ROWS)
    yield made
    await made.close()


def flipped(content: bytes, bit: int) -> bytes:
    changed = bytearray(content)
    changed[bit // 8] ^= 1 << bit % 8
    return bytes(changed)


async def report(bench: Bench) -> Report:
    return await bench.evaluate.report("default", "flight-delay")


def numbers(found: Report) -> Any:
    """The report without its notices."""
    return {name: part for name, part in report_json(found).items() if name != "notices"}


async def without(bench: Bench, path: Path) -> Any:
    """The report of the other files."""
    elsewhere = path.with_suffix(".elsewhere")
    path.rename(elsewhere)
    found = numbers(await report(bench))
    elsewhere.rename(path)
    return found


def as_before_checksums(path: Path) -> Path:
    """The file under the name that releases gave it whose names had no checksum."""
    return path.rename(path.with_name(f"{path.name.partition('.')[0]}.parquet"))


async def test_any_flipped_bit_is_noticed(bench: Bench, tmp_path: Path) -> None:
    files = files_of(tmp_path)
    whole = numbers(await report(bench))
    others = [await without(bench, path) for path in files]
    rng = random.Random(20140101)
    for trial in range(160):
        which = rng.randrange(DAYS)
        path = files[which]
        content = path.read_bytes()
        bit = rng.randrange(len(content) * 8)
        path.write_bytes(flipped(content, bit))
        # Half of them are found by a process that has just come up.
        log = DuckDBLog(RecordFiles(tmp_path)) if trial % 2 else bench.log
        bench.evaluate = Evaluate(log, bench.labels, bench.profiles, Definitions(POLICY), bench.clock)
        found = await report(bench)
        if path.exists():
            assert numbers(found) == whole, (trial, path.name, bit)
            assert not found.notices
        else:
            assert numbers(found) == others[which], (trial, path.name, bit)
            (notice,) = found.notices
            assert str(path.relative_to(tmp_path)) in notice
            assert await bench.evaluate.unreadable() == (1, 0)
            (tmp_path / "_set_aside" / path.relative_to(tmp_path)).unlink()
        path.write_bytes(content)
        if log is not bench.log:
            await log.close()


async def test_a_report_counts_no_row_of_a_file_that_it_set_aside(
    bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = files_of(tmp_path)[3]
    others = await without(bench, path)
    windows = bench.log.windows

    async def then_damaged(*arguments: Any) -> Any:
        counts = await windows(*arguments)
        if path.exists():
            path.write_bytes(path.read_bytes()[:-100])
        return counts

    monkeypatch.setattr(bench.log, "windows", then_damaged)
    found = await report(bench)
    assert numbers(found) == others
    assert found.volume.rows == (DAYS - 1) * ROWS
    assert len(found.notices) == 1


async def test_a_footer_that_only_duckdb_refuses_is_set_aside(bench: Bench, tmp_path: Path) -> None:
    path = [as_before_checksums(path) for path in files_of(tmp_path)][3]
    others = await without(bench, path)
    content = path.read_bytes()
    footer_bits = (int.from_bytes(content[-8:-4], "little") + 8) * 8
    rng = random.Random(7)
    met = 0
    while met < 5:
        path.write_bytes(flipped(content, len(content) * 8 - 1 - rng.randrange(footer_bits)))
        if not _only_duckdb_refuses(path):
            continue
        met += 1
        found = await report(bench)
        assert not path.exists()
        assert numbers(found) == others
        assert str(path.relative_to(tmp_path)) in found.notices[0]
        (tmp_path / "_set_aside" / path.relative_to(tmp_path)).unlink()


def _only_duckdb_refuses(path: Path) -> bool:
    try:
        names = pq.read_table(path, partitioning=None, page_checksum_verification=True).schema.names
    except (OSError, pa.ArrowException, ValueError, KeyError, IndexError, TypeError, MemoryError):
        return False
    try:
        with duckdb.connect(":memory:") as connection:
            return set(connection.sql(f"FROM read_parquet('{path}', hive_partitioning = false)").columns) != set(names)
    except duckdb.Error:
        return True


async def test_merging_takes_no_flipped_bit_along(bench: Bench, tmp_path: Path) -> None:
    for _ in range(11):
        await bench.day(0, 0.0, rows=ROWS)
    path = files_of(tmp_path, "2014-01-01")[5]
    others = await without(bench, path)
    content = path.read_bytes()
    # A name in the footer, where no page checksum looks.
    at = content.rindex(b"features.x:y")
    path.write_bytes(flipped(content, (at + 11) * 8))
    await bench.writer.compact()
    await bench.writer.compact()
    assert len(files_of(tmp_path, "2014-01-01")) == 1
    found = await report(bench)
    assert numbers(found) == others
    assert str(path.relative_to(tmp_path)) in found.notices[0]
