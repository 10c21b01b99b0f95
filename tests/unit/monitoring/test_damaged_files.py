"""Files of the record log that are corrupt or truncated: set aside, named and counted, while reports and merging go on."""

from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from chassis.errors import Unavailable
from monitoring.adapters.duckdb_log import DuckDBLog
from monitoring.adapters.record_files import RecordFiles
from tests.unit.monitoring.test_evaluate import Bench

DAMAGE: dict[str, Callable[[bytes], bytes]] = {
    "empty": lambda content: b"",
    "truncated": lambda content: content[: len(content) // 2],
    "without its last byte": lambda content: content[:-1],
    "no Parquet": lambda content: b"x" * len(content),
    "another length of the footer": lambda content: content[:-8] + b"\xff\xff\xff\x7f" + content[-4:],
    "a broken footer": lambda content: content[:-200] + bytes(100) + content[-100:],
    "broken pages": lambda content: content[:4] + b"\xa5" * (len(content) // 4) + content[4 + len(content) // 4 :],
}


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Bench]:
    made = Bench(tmp_path)
    yield made
    await made.close()


def files_of(root: Path, day: str = "*") -> list[Path]:
    return sorted(root.glob(f"tenant=*/endpoint=*/date={day}/[!.]*.parquet"))


@pytest.mark.parametrize(
    ("damage", "seen"),
    [(name, seen) for name in DAMAGE for seen in (False, True)],
)
async def test_a_damaged_file_is_named_and_the_report_goes_on(
    bench: Bench, tmp_path: Path, damage: str, seen: bool
) -> None:
    for day in range(8):
        await bench.day(day, 0.0)
    if seen:
        assert (await bench.evaluate.report("default", "flight-delay")).volume.rows == 8 * 300
    victim = files_of(tmp_path)[3]
    name = str(victim.relative_to(tmp_path))
    victim.write_bytes(DAMAGE[damage](victim.read_bytes()))
    await bench.day(9, 0.0)  # what was counted before is counted anew
    for _ in range(2):
        report = await bench.evaluate.report("default", "flight-delay")
        assert report.volume.rows == 8 * 300
        assert len(report.windows) == 8
        (notice,) = [notice for notice in report.notices if "set aside" in notice]
        assert notice.startswith("1 damaged files of the record log")
        assert name in notice
    assert not victim.exists()
    assert (tmp_path / "_set_aside" / name).exists()
    assert await bench.evaluate.unreadable() == (1, 0)
    assert await bench.log.names() == [("default", "flight-delay")]
    assert await bench.log.set_aside("default", "another") == []


async def test_merging_leaves_a_damaged_file_out(bench: Bench, tmp_path: Path) -> None:
    for _ in range(12):
        await bench.day(0, 0.0, rows=5)
        await bench.day(1, 0.0, rows=5)
    victim = files_of(tmp_path)[2]
    victim.write_bytes(DAMAGE["broken pages"](victim.read_bytes()))
    await bench.writer.compact()
    await bench.writer.compact()
    assert len(files_of(tmp_path)) == 2
    assert await bench.log.set_aside() == [str(victim.relative_to(tmp_path))]
    assert (await bench.evaluate.report("default", "flight-delay")).volume.rows == 23 * 5


async def test_a_disk_that_refuses_moves_nothing(bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    await bench.day(0, 0.0)

    def refuse(*args: object, **kwargs: object) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr("monitoring.adapters.record_files.pq.read_metadata", refuse)
    fresh = DuckDBLog(RecordFiles(tmp_path))
    with pytest.raises(Unavailable):
        await fresh.windows("default", "flight-delay", 86_400_000_000)
    await fresh.close()
    assert len(files_of(tmp_path)) == 1
