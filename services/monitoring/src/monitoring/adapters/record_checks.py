"""Whether a file of the record log holds what was written.

A file's name ends with the CRC-32 of its bytes, `NAME.0a1b2c3d.parquet`: page checksums say nothing about footers and page headers.
Files of releases before that have none in their name; their pages are read, each with its checksum where it has one.
"""

import re
import zlib
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

UNREADABLE = (OSError, pa.ArrowException, ValueError, KeyError, IndexError, TypeError, MemoryError)
"""What reading damaged bytes raises, by where the damage is."""
_NAMED = re.compile(r"\.([0-9a-f]{8})\.parquet$")
_CHUNK_BYTES = 1024 * 1024
_ROWS_AT_ONCE = 8192
# What DuckDB raises for its own reasons, whatever the file holds.
_NOT_THE_FILE = (duckdb.OutOfMemoryException, duckdb.InterruptException)


class DamagedError(ValueError):
    """The bytes of a file are not those that were written."""


def named(path: Path, content: pa.Buffer) -> Path:
    """The path with the checksum of its content in the name."""
    return path.with_name(f"{path.stem}.{zlib.crc32(content):08x}.parquet")


def check(path: Path) -> None:
    """Reads the file to its end, in about as much memory as a page of each column. Raises one of UNREADABLE where it is damaged
    (OSError with a number where the disk refused)."""
    promised = _NAMED.search(path.name)
    if promised is None:
        with pq.ParquetFile(path, page_checksum_verification=True, buffer_size=_CHUNK_BYTES) as opened:
            for group in range(opened.num_row_groups):
                for _ in opened.iter_batches(_ROWS_AT_ONCE, row_groups=[group]):
                    pass
            # A footer has each name twice: DuckDB looks at the one, pyarrow at the other.
            leaves = [opened.schema.column(index).path for index in range(len(opened.schema))]
            for name in opened.schema_arrow.names:
                if not any(leaf == name or leaf.startswith(f"{name}.") for leaf in leaves):
                    raise DamagedError(f"the footer of {path.name} names {name} in one place only")
        return
    found = 0
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK_BYTES):
            found = zlib.crc32(chunk, found)
    if found != int(promised[1], 16):
        raise DamagedError(f"the checksum of {path.name} is {found:08x}")


def refused(connection: duckdb.DuckDBPyConnection, path: Path) -> duckdb.Error | None:
    """What DuckDB says when it reads this file alone and to its end; None where it can, or where the fault may be DuckDB's."""
    quoted = str(path).replace("'", "''")
    try:
        reader = connection.sql(f"SELECT * FROM read_parquet('{quoted}', hive_partitioning = false)")  # noqa: S608 - quoted
        for _ in reader.to_arrow_reader(_ROWS_AT_ONCE):
            pass
    except _NOT_THE_FILE:
        return None
    except duckdb.Error as error:
        return error if path.exists() else None
    return None
