"""No feature sees anything later than its instant: the future is moved about, and nothing changes."""

import shutil
from pathlib import Path

import duckdb
import pyarrow as pa
import pytest
from data import prepare, table_path
from training_set import ENDPOINT, definitions, flights

from training import training_set

NOW = "TIMESTAMPTZ '2013-02-12 17:00:00+00'"
# Other delays, other cancellations and other instants for all that is not known yet, still after now.
FUTURE = f"""
SELECT * EXCLUDE (dice) REPLACE (
    CASE WHEN dice < 0.3 THEN NULL ELSE round(random() * 300 - 30) END AS dep_delay,
    CASE WHEN dice < 0.3 THEN NULL ELSE round(random() * 300 - 30) END AS arr_delay,
    CASE WHEN dice < 0.3 THEN NULL ELSE random() < 0.5 END AS late,
    dice < 0.3 AS cancelled, false AS diverted,
    CASE WHEN dice < 0.9 THEN greatest(sched_dep, {NOW}) + to_minutes(CAST(1 + random() * 2000 AS BIGINT)) END AS known_at
) FROM (SELECT *, random() AS dice FROM '{{table}}') WHERE coalesce(known_at, 'infinity') > {NOW}
"""


@pytest.fixture(scope="module")
def roots(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Two offline roots of six weeks, alike in all that is known by NOW and different in all that is not."""
    root = tmp_path_factory.mktemp("known")
    prepare(root)
    moved = tmp_path_factory.mktemp("moved")
    table = table_path(root, "flights")
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone='UTC'")
        connection.execute("SELECT setseed(0.42)")
        connection.execute(f"CREATE TABLE cut AS SELECT * FROM '{table}' WHERE sched_dep < TIMESTAMPTZ '2013-02-20'")
        connection.execute(f"COPY cut TO '{table}' (FORMAT parquet)")
        shutil.copytree(root / "flights", moved / "flights")
        connection.execute(f"CREATE TABLE future AS {FUTURE.format(table=table)}")
        connection.execute(
            f"COPY (SELECT * FROM cut WHERE known_at <= {NOW} UNION ALL BY NAME SELECT * FROM future)"
            f" TO '{table_path(moved, 'flights')}' (FORMAT parquet)"
        )
        weather = table_path(moved, "weather")
        connection.execute(f"CREATE TABLE weather AS SELECT * FROM '{weather}'")
        connection.execute(
            f"UPDATE weather SET temp = -99, visib = 0, precip = 9, wind_gust = 99 WHERE known_at > {NOW}"
        )
        connection.execute(f"COPY weather TO '{weather}' (FORMAT parquet)")
    return root, moved


def test_moving_future_outcomes_about_changes_no_feature(roots: tuple[Path, Path]) -> None:
    known, moved = roots
    catalog = definitions()
    frame = flights(
        known, f"sched_dep - INTERVAL 2 HOUR <= {NOW} AND sched_dep > {NOW} - INTERVAL 3 DAY AND tailnum IS NOT NULL"
    )
    assert frame.num_rows > 1500
    references = list(catalog.endpoints[ENDPOINT].references)
    answers = [training_set(catalog, references, frame, root) for root in (known, moved)]
    for reference in references:
        assert answers[0].column(reference).equals(answers[1].column(reference)), f"{reference} saw the future"


def test_the_moved_future_would_be_seen_later(roots: tuple[Path, Path]) -> None:
    """The test above can fail: five hours later the two roots differ in nearly every view."""
    known, moved = roots
    catalog = definitions()
    frame = flights(
        known, f"sched_dep > {NOW} + INTERVAL 7 HOUR AND sched_dep < {NOW} + INTERVAL 9 HOUR AND tailnum IS NOT NULL"
    )
    references = [
        "airport_traffic:late_rate_6h",
        "carrier_history:late_rate_6h",
        "plane:last_arr_delay",
        "airport_weather:visib",
    ]
    before, after = (training_set(catalog, references, frame, root) for root in (known, moved))
    assert isinstance(before, pa.Table)
    assert all(not before.column(reference).equals(after.column(reference)) for reference in references)
