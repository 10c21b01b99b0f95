"""The tables: when each outcome is known, and that making them is idempotent."""

from pathlib import Path

import duckdb
from data import prepare, table_path


def _one(root: Path, question: str) -> tuple[int, ...]:
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone='UTC'")
        return connection.execute(question.replace("FLIGHTS", f"'{table_path(root, 'flights')}'")).fetchall()[0]


def test_all_flights_are_there_and_counted(offline: Path) -> None:
    found = _one(
        offline, "SELECT count(*), count_if(cancelled), count_if(diverted), count_if(late IS NULL) FROM FLIGHTS"
    )
    assert found == (336_776, 8_255, 1_175, 9_430)


def test_outcomes_are_known_only_after_landing(offline: Path) -> None:
    wrong = _one(
        offline,
        "SELECT count_if(known_at < sched_dep + to_minutes(CAST(dep_delay + air_time AS BIGINT)) + INTERVAL 30 MINUTE),"
        " count_if(cancelled AND known_at <> sched_dep + INTERVAL 60 MINUTE), count_if(diverted AND known_at IS NOT NULL),"
        " count_if(known_at <= sched_dep - INTERVAL 2 HOUR) FROM FLIGHTS",
    )
    assert wrong == (0, 0, 0, 0)


def test_a_missing_tailnum_means_cancelled_and_is_never_trained_on(offline: Path) -> None:
    assert _one(offline, "SELECT count_if(tailnum IS NULL AND late IS NOT NULL) FROM FLIGHTS") == (0,)


def test_prepared_tables_are_left_alone_and_a_lost_one_is_made_again(offline: Path) -> None:
    before = table_path(offline, "planes").stat().st_mtime_ns
    assert not prepare(offline)
    assert table_path(offline, "planes").stat().st_mtime_ns == before
    table_path(offline, "weather").unlink()
    assert prepare(offline)
    assert table_path(offline, "weather").is_file()
    assert not [path for path in (offline / "flights").iterdir() if path.name.startswith(".making")]
