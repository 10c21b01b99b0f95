"""A DuckDB that reads the tables under one root and nothing else, whatever a definition's SQL says.

Import it only where DuckDB is installed.
"""
# ruff: noqa: S608 - identifiers are quoted and texts escaped

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import duckdb

from catalog.tables.paths import table_pattern


def closed_duckdb(root: Path, settings: Mapping[str, str], scratch: Path | None = None) -> Any:
    """A connection in UTC that reads files under `root` alone, and that no SQL can open again.

    settings: DuckDB's own, name → value as SQL. scratch: the directory that it spills to, made where it is missing; None keeps it
    from spilling.
    """
    given = {"TimeZone": literal("UTC"), **settings}
    allowed = [root.resolve()]
    if scratch is not None:
        scratch.mkdir(parents=True, exist_ok=True)
        given["temp_directory"] = literal(str(scratch))
        allowed.append(scratch.resolve())
    given["allowed_directories"] = "[" + ", ".join(literal(f"{path}/") for path in allowed) + "]"
    given["enable_external_access"] = "false"
    connection = duckdb.connect()
    for name, value in (*given.items(), ("lock_configuration", "true")):
        connection.execute(f"SET {name}={value}")
    return connection


def reading(root: Path, path: str) -> str:
    """A SELECT of all rows of a registered table."""
    return f"SELECT * FROM read_parquet({literal(table_pattern(root, path))}, union_by_name=true)"


def quoted(name: str) -> str:
    """An SQL identifier."""
    return '"' + name.replace('"', '""') + '"'


def literal(value: str) -> str:
    """An SQL text."""
    return "'" + value.replace("'", "''") + "'"
