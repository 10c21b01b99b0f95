"""Where the record log's files lie: `tenant=T/endpoint=E/date=D/NAME.CRC32.parquet`, committed by small JSON ledgers.

A commit is: Parquet files under hidden names, fsync; the ledger with their final names and the stream entries in them, fsync,
rename (from here on the records count); then the final names. Whoever finds a ledger finishes its renames. Entries that any
ledger of the last hours names are not written twice.
"""

import json
import logging
import os
import threading
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import quote, unquote

import pyarrow.parquet as pq

from monitoring.adapters.record_checks import UNREADABLE, check
from monitoring.domain.model import Span

_log = logging.getLogger(__name__)
_LEDGERS = "_commits"
_REJECTED = "_rejected"
_SET_ASIDE = "_set_aside"
_KEEP_S = 6 * 3600.0
_KEEP_REJECTED = 100


@dataclass(frozen=True, slots=True)
class RecordFile:
    """One Parquet file: size and mtime (ns) that it was checked with, rows, smallest and largest request id, columns."""

    path: str
    size: int
    mtime_ns: int
    date: str
    rows: int
    first_id: str
    last_id: str
    columns: tuple[str, ...]


@dataclass(slots=True)
class Ledger:
    """What one commit holds."""

    entries: list[str]
    spans: list[Span]
    files: dict[str, str] = field(default_factory=dict)


class RecordFiles:
    """The directory of the record log. Blocks on the disk; raises OSError."""

    def __init__(self, root: Path) -> None:
        self._root = root
        # What was checked, by partition and name: what is gone is dropped when files are merged.
        self._index: dict[Path, dict[str, RecordFile]] = {}
        # Held while files are read, and while compaction replaces some by one: readers never see a row twice.
        self.lock = threading.RLock()

    def partition(self, tenant: str, endpoint: str, date: str) -> Path:
        """The directory of a partition; names are percent-encoded."""
        return self._root / f"tenant={quote(tenant, safe='')}" / f"endpoint={quote(endpoint, safe='')}" / f"date={date}"

    def names(self) -> list[tuple[str, str]]:
        """(tenant, endpoint) pairs that have a directory."""
        found: list[tuple[str, str]] = []
        for tenant in _directories(self._root, "tenant="):
            found.extend((_value(tenant), _value(endpoint)) for endpoint in _directories(tenant, "endpoint="))
        return sorted(found)

    def endpoints(self, tenant: str) -> list[str]:
        """Endpoints of a tenant that have records."""
        directory = self._root / f"tenant={quote(tenant, safe='')}"
        return [_value(endpoint) for endpoint in _directories(directory, "endpoint=")]

    def files(self, tenant: str, endpoint: str, from_us: int = 0, to_us: int = 0) -> list[RecordFile]:
        """Files of the dates that touch [from_us, to_us), 0 = open, by date and name. Checks each new or changed file."""
        first = date_of(from_us) if from_us else ""
        last = date_of(to_us - 1) if to_us else "~"
        found: list[RecordFile] = []
        for day in _directories(self.partition(tenant, endpoint, "x").parent, "date="):
            if first <= _value(day) <= last:
                present = [file for name in _parquet(day) if (file := self._describe(day, name)) is not None]
                self._index[day] = {Path(file.path).name: file for file in present}
                found.extend(present)
        return sorted(found, key=lambda each: each.path)

    def partitions(self) -> Iterable[Path]:
        """All partition directories."""
        for tenant in _directories(self._root, "tenant="):
            for endpoint in _directories(tenant, "endpoint="):
                yield from _directories(endpoint, "date=")

    def _describe(self, directory: Path, name: str) -> RecordFile | None:
        """The file, or None where it is damaged: it is set aside then."""
        path = directory / name
        try:
            stat = path.stat()
            known = self._index.get(directory, {}).get(name)
            if known is not None and (known.size, known.mtime_ns) == (stat.st_size, stat.st_mtime_ns):
                return known
            check(path)
            return _described(path, stat)
        except FileNotFoundError:
            return None
        except UNREADABLE as error:
            if _is_fault_of_disk(error):
                raise
            self.set_aside(path, error)
            return None

    def set_aside(self, path: Path, error: Exception) -> None:
        """Moves a damaged file out of the reports' way, keeping its place by name, for a person to look at."""
        target = self._root / _SET_ASIDE / path.relative_to(self._root)
        with self.lock:
            target.parent.mkdir(parents=True, exist_ok=True)
            path.rename(target)
            self.forget(path)
        _log.error("record file %s can't be read (%s): set aside", self.relative(path), type(error).__name__)

    def set_aside_damaged(self, paths: Iterable[Path]) -> int:
        """Reads these files to their end and sets aside those that can't be; how many."""
        damaged = 0
        for path in paths:
            try:
                check(path)
                pq.read_metadata(path)
            except FileNotFoundError:
                continue
            except UNREADABLE as error:
                if _is_fault_of_disk(error):
                    raise
                self.set_aside(path, error)
                damaged += 1
        return damaged

    def aside(self, tenant: str = "", endpoint: str = "") -> list[str]:
        """Names of the files that were set aside, all or those of one endpoint, sorted."""
        below = self._root / _SET_ASIDE
        if endpoint:
            below = below / self.partition(tenant, endpoint, "x").parent.relative_to(self._root)
        return sorted(str(path.relative_to(self._root / _SET_ASIDE)) for path in below.rglob("*.parquet"))

    def forget(self, path: Path) -> None:
        """A file went away."""
        self._index.get(path.parent, {}).pop(path.name, None)

    def write_ledger(self, name: str, ledger: Ledger) -> None:
        """The commit point: durable when it returns."""
        directory = self._root / _LEDGERS
        directory.mkdir(parents=True, exist_ok=True)
        text = json.dumps(
            {
                "entries": ledger.entries,
                "spans": [[span.writer, span.first, span.count] for span in ledger.spans],
                "files": ledger.files,
            }
        )
        hidden = directory / f".{name}"
        with hidden.open("w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        hidden.rename(directory / f"{name}.json")
        sync_directory(directory)

    def finish(self, ledger: Ledger) -> None:
        """Gives a commit's files their final names; again is harmless."""
        directories = set()
        for hidden, final in ledger.files.items():
            source, target = self._root / hidden, self._root / final
            if source.exists():
                source.rename(target)
                directories.add(target.parent)
        for directory in directories:
            sync_directory(directory)

    def ledgers(self) -> list[Ledger]:
        """All ledgers that are kept, oldest first; one that can't be read is left out."""
        found = []
        directory = self._root / _LEDGERS
        for path in sorted(directory.glob("*.json"), key=lambda each: each.stat().st_mtime):
            try:
                content = json.loads(path.read_text(encoding="utf-8"))
                spans = [Span(writer, first, count) for writer, first, count in content["spans"]]
                found.append(Ledger(content["entries"], spans, content["files"]))
            except (ValueError, KeyError, FileNotFoundError):
                continue
        return found

    def prune(self) -> None:
        """Drops ledgers of more than six hours ago, hidden files that no commit named, and the index of days that are gone."""
        with self.lock:
            self._index = {day: files for day, files in self._index.items() if day.exists()}
        before = time.time() - _KEEP_S
        hidden = [path for day in self.partitions() for path in day.glob(".*.parquet")]
        for path in [*(self._root / _LEDGERS).glob("*.json"), *hidden]:
            if path.stat().st_mtime < before:
                path.unlink(missing_ok=True)

    def keep_rejected(self, entry_id: str, payload: bytes) -> None:
        """Keeps an entry that can't be parsed for a person to look at; at most a hundred."""
        directory = self._root / _REJECTED
        directory.mkdir(parents=True, exist_ok=True)
        if sum(1 for _ in directory.iterdir()) < _KEEP_REJECTED:
            (directory / f"{quote(entry_id, safe='')}.bin").write_bytes(payload)

    def relative(self, path: Path) -> str:
        """The path below the root."""
        return str(path.relative_to(self._root))


def date_of(instant_us: int) -> str:
    """The UTC date of an instant, YYYY-MM-DD."""
    return datetime.fromtimestamp(instant_us / 1e6, UTC).strftime("%Y-%m-%d")


def sync_directory(directory: Path) -> None:
    """Makes renames in a directory durable."""
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _directories(parent: Path, prefix: str) -> list[Path]:
    try:
        return sorted(path for path in parent.iterdir() if path.name.startswith(prefix))
    except (FileNotFoundError, NotADirectoryError):
        return []


def _parquet(directory: Path) -> list[str]:
    try:
        return [
            path.name for path in directory.iterdir() if path.suffix == ".parquet" and not path.name.startswith(".")
        ]
    except FileNotFoundError:
        return []


def _value(path: Path) -> str:
    return unquote(path.name.partition("=")[2])


def _described(path: Path, stat: os.stat_result) -> RecordFile:
    footer = pq.read_metadata(path)
    ids = [_statistics(footer, group) for group in range(footer.num_row_groups)]
    first, last = min(low for low, _ in ids), max(high for _, high in ids)
    names = tuple(footer.schema.to_arrow_schema().names)
    return RecordFile(
        str(path), stat.st_size, stat.st_mtime_ns, _value(path.parent), footer.num_rows, first, last, names
    )


def _is_fault_of_disk(error: Exception) -> bool:
    """Whether the disk refused, rather than the file being wrong: pyarrow raises OSError without a number for the latter."""
    return isinstance(error, OSError) and error.errno is not None


def _statistics(footer: pq.FileMetaData, group: int) -> tuple[str, str]:
    row_group = footer.row_group(group)
    for index in range(row_group.num_columns):
        column = row_group.column(index)
        if column.path_in_schema == "request_id" and column.statistics is not None and column.statistics.has_min_max:
            return column.statistics.min, column.statistics.max
    return "", "~"
