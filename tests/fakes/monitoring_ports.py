"""In-memory doubles of monitoring's ports; the contract suites hold them against the real adapters."""

from collections import deque
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from chassis.errors import Unavailable
from monitoring.domain.model import (
    Appended,
    Delivery,
    Label,
    Labelled,
    Policy,
    ReferenceProfile,
    Report,
    Stored,
    WatchedEndpoint,
)
from monitoring.domain.windows import window_at
from tests.fakes.clock import FakeClock


class MemoryStream:
    """RecordStream of one consumer; `crash` forgets what it had read without acknowledging."""

    def __init__(self) -> None:
        self._entries: deque[Delivery] = deque()
        self._pending: dict[str, Delivery] = {}
        self._redeliver = False
        self._number = 0
        self.down = False

    def add(self, payload: bytes) -> None:
        self._number += 1
        self._entries.append(Delivery(f"{self._number}-0", payload))

    def crash(self) -> None:
        self._redeliver = True

    async def read(self) -> list[Delivery]:
        self._check()
        if self._redeliver and self._pending:
            self._redeliver = False
            return [Delivery(each.entry_id, each.payload, True) for each in self._pending.values()]
        found = list(self._entries)
        self._entries.clear()
        self._pending.update({each.entry_id: each for each in found})
        return found

    async def ack(self, entry_ids: Sequence[str]) -> None:
        self._check()
        for entry_id in entry_ids:
            self._pending.pop(entry_id, None)

    async def lag(self) -> tuple[int, int]:
        self._check()
        return len(self._entries), len(self._pending)

    def _check(self) -> None:
        if self.down:
            raise Unavailable("down", reason="RECORD_STREAM_DOWN")


class MemoryLabels:
    """LabelStore in a dict."""

    def __init__(self, clock: FakeClock) -> None:
        self._clock = clock
        self._rows: dict[tuple[str, str, int, str], dict[str, Any]] = {}
        self.down = False
        self.patience_s: list[float] = []

    async def put(self, tenant: str, labels: Sequence[Label], timeout_s: float) -> Stored:
        self._check()
        stored = 0
        newest = {}
        for label in sorted(labels, key=lambda each: each.event_time_us):
            newest[tenant, label.request_id, label.row, label.output] = label
        for key, label in newest.items():
            old = self._rows.get(key)
            if old is None or old["at"] <= label.event_time_us:
                joined = old["joined"] if old else None
                self._rows[key] = {
                    "value": label.value,
                    "at": label.event_time_us,
                    "joined": joined,
                    "stored": self._clock.now_us(),
                }
                stored += 1
        return Stored(stored, len(labels) - stored)

    async def waiting(self, limit: int) -> list[tuple[str, str]]:
        self._check()
        return sorted({(key[0], key[1]) for key, row in self._rows.items() if row["joined"] is None})[:limit]

    async def match(
        self, tenant: str, asked: Sequence[str], found: Sequence[tuple[str, int, str, str, float, int]]
    ) -> int:
        self._check()
        joined = 0
        for request_id, row, output, endpoint, predicted, at in found:
            label = self._rows.get((tenant, request_id, row, output))
            if label is not None and label["joined"] is None:
                label["joined"] = (endpoint, predicted, at)
                joined += 1
        return joined

    async def labelled(self, tenant: str, endpoint: str, output: str, size_us: int, timeout_s: float) -> list[Labelled]:
        self.patience_s.append(timeout_s)
        self._check()
        windows: dict[Any, list[tuple[float, float]]] = {}
        for key, row in self._rows.items():
            if key[0] == tenant and key[3] == output and row["joined"] and row["joined"][0] == endpoint:
                window = window_at(row["joined"][2], size_us)
                windows.setdefault(window, []).append((row["joined"][1], row["value"]))
        return [
            Labelled(window, np.array([p for p, _ in pairs]), np.array([v for _, v in pairs]))
            for window, pairs in sorted(windows.items(), key=lambda item: item[0].from_us)
        ]

    async def purge(self, older_than_us: int) -> int:
        self._check()
        gone = [key for key, row in self._rows.items() if row["joined"] is None and row["stored"] < older_than_us]
        for key in gone:
            del self._rows[key]
        return len(gone)

    async def waiting_count(self) -> int:
        self._check()
        return sum(row["joined"] is None for row in self._rows.values())

    def _check(self) -> None:
        if self.down:
            raise Unavailable("down", reason="STORE_UNAVAILABLE")


class Definitions:
    """One endpoint, `flight-delay`, and one collection, `handbook`."""

    def __init__(self, policy: Policy) -> None:
        self.policy = policy

    def endpoint(self, name: str) -> WatchedEndpoint | None:
        return WatchedEndpoint(name, self.policy, ("probability",)) if name == "flight-delay" else None

    def outputs(self) -> frozenset[str]:
        return frozenset({"probability"})

    def label_wait_us(self) -> int:
        return 30 * 86_400_000_000

    def known(self, name: str) -> bool:
        return name in {"flight-delay", "handbook"}


class Profiles:
    """One profile, or none."""

    def __init__(self, profile: ReferenceProfile | None) -> None:
        self.profile = profile

    async def find(self, endpoint: str) -> ReferenceProfile | None:
        return self.profile

    def unreadable(self) -> int:
        return 0


class CountedMetrics:
    """Metrics as numbers to look at."""

    def __init__(self) -> None:
        self.records = self.rejected = self.duplicates = self.gaps = self.purged_labels = 0
        self.lags: list[tuple[int, int]] = []
        self.failures: list[str] = []
        self.damaged = (0, 0)
        self.reports: list[Report] = []
        self.joined = self.label_waiting = self.stored = self.refused = 0

    def consumed(self, appended: Appended) -> None:
        self.records += appended.records
        self.rejected += appended.rejected
        self.duplicates += appended.duplicates

    def gap(self, records: int) -> None:
        self.gaps += records

    def lag(self, waiting: int, pending: int) -> None:
        self.lags.append((waiting, pending))

    def labels(self, tenant: str, stored: int, older: int, refused: int) -> None:
        self.stored += stored
        self.refused += refused

    def matched(self, joined: int, waiting: int) -> None:
        self.joined += joined
        self.label_waiting = waiting

    def purged(self, labels: int) -> None:
        self.purged_labels += labels

    def failed(self, task: str) -> None:
        self.failures.append(task)

    def set_aside(self, record_files: int, profiles: int) -> None:
        self.damaged = (record_files, profiles)

    def report(self, report: Report) -> None:
        self.reports.append(report)


def parquet_files(root: Path) -> list[Path]:
    """All visible Parquet files below `root`."""
    return sorted(path for path in root.rglob("*.parquet") if not path.name.startswith("."))
