"""Registered tables: a path or glob under the offline root → Parquet files."""

from pathlib import Path


def table_files(root: Path, path: str) -> list[Path]:
    """The Parquet files of a table, sorted. ValueError when it lies outside the root."""
    target = (root / path).resolve()
    if not target.is_relative_to(root.resolve()):
        raise ValueError(f"{path} lies outside the offline root")
    return sorted(target.rglob("*.parquet")) if target.is_dir() else sorted(root.glob(path))


def table_pattern(root: Path, path: str) -> str:
    """What DuckDB's `read_parquet` is given for a table."""
    target = root / path
    return str(target / "**" / "*.parquet") if target.is_dir() else str(target)
