"""The year as it passed: which outcomes were known, which flights were asked about and which labels came in, hour by hour."""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import redis.asyncio
from training_set import LEAD_HOURS, flights

from catalog import read_directory
from chassis.settings import StoreLogin
from features.adapters.catalog_views import compiled
from features.adapters.duckdb_offline import DuckDBOffline
from features.adapters.valkey_online import ValkeyOnlineStore
from features.domain.materialize import Materializer
from features.domain.model import View
from training.offline import OfflineOptions

HOUR_US = 3_600_000_000
MILE_KM = 1.609344
OUTPUT = "probability"
TENANT = "default"
# The example's rows, entities of all its views; tenant and layout as features writes them.
ROW_KEYS = f"{{f1|{len(TENANT)}:{TENANT}|*"


@dataclass(frozen=True, slots=True)
class Batch:
    """Flights of one scheduled hour: asked two hours before it, answered row by row."""

    as_of_us: int
    body: dict[str, Any]
    rows: list[dict[str, Any]]


def batches(root: Path, from_us: int, to_us: int, kilometres_from_us: int | None) -> Iterator[Batch]:
    """Every scheduled flight whose hour begins in [from, to), microseconds UTC, by hour.

    From `kilometres_from_us` on distances are sent in kilometres, as a careless change upstream would. A tailnum that was never
    assigned is asked as UNKNOWN.
    """
    found = flights(root, f"epoch_us(sched_dep) >= {from_us} AND epoch_us(sched_dep) < {to_us}").to_pylist()
    hour: list[dict[str, Any]] = []
    for flight in found:
        if hour and _hour(flight) != _hour(hour[0]):
            yield _batch(hour, kilometres_from_us)
            hour = []
        hour.append(flight)
    if hour:
        yield _batch(hour, kilometres_from_us)


def _hour(flight: dict[str, Any]) -> int:
    return instant_us(flight["sched_dep"]) // HOUR_US


def _batch(hour: list[dict[str, Any]], kilometres_from_us: int | None) -> Batch:
    as_of_us = (_hour(hour[0]) - LEAD_HOURS) * HOUR_US
    scale = MILE_KM if kilometres_from_us is not None and as_of_us >= kilometres_from_us else 1.0
    body = {
        "entities": {
            "tailnum": [flight["tailnum"] or "UNKNOWN" for flight in hour],
            **{key: [flight[key] for flight in hour] for key in ("origin", "dest", "carrier")},
        },
        "inputs": {
            "sched_dep": [rfc3339(instant_us(flight["sched_dep"])) for flight in hour],
            "distance": [flight["distance"] * scale for flight in hour],
        },
        "options": {"as_of": rfc3339(as_of_us)},
    }
    return Batch(as_of_us, body, hour)


@dataclass(slots=True)
class Truth:
    """Labels that are not known yet, by the instant they will be."""

    waiting: list[tuple[int, str, int, int]] = field(default_factory=list)

    def expect(self, batch: Batch, request_id: str) -> None:
        """Notes the outcomes of a batch that was just answered; cancelled and diverted flights have none."""
        for row, flight in enumerate(batch.rows):
            if flight["late"] is not None:
                heapq.heappush(self.waiting, (instant_us(flight["known_at"]), request_id, row, int(flight["late"])))

    def known(self, until_us: int) -> list[dict[str, Any]]:
        """Takes out the labels known by then, as the API takes them."""
        labels = []
        while self.waiting and self.waiting[0][0] <= until_us:
            at_us, request_id, row, late = heapq.heappop(self.waiting)
            labels.append(
                {"request_id": request_id, "row": row, "output": OUTPUT, "value": late, "event_time": rfc3339(at_us)}
            )
        return labels


class OnlineFeatures:
    """The online store as it was at an instant that moves on."""

    def __init__(self, definitions: Path, root: Path, login: StoreLogin) -> None:
        self._login = login
        self._offline = DuckDBOffline(OfflineOptions(root))
        self._online = ValkeyOnlineStore(login.url, credentials=login.credentials)
        self._materializer = Materializer(self._offline, self._online, TENANT)
        self._views: list[View] = [
            view for view in compiled(read_directory(definitions)).views.values() if view.source is not None
        ]
        self._known_us: int | None = None

    async def start(self) -> None:
        """Empties the store's feature rows, which never move back in time, and prepares the views."""
        await self._online.start()
        await self._clear()
        await self._materializer.stage(self._views)

    async def move_to(self, instant: int) -> None:
        """Writes what became known since the last move; `instant` in microseconds UTC, never backwards."""
        await self._materializer.advance(self._views, self._known_us, instant)
        self._known_us = instant

    async def restore(self, instant: int) -> None:
        """The store as it is at `instant`, from an empty one."""
        await self._clear()
        self._known_us = None
        await self.move_to(instant)

    async def close(self) -> None:
        """Ends the connections."""
        await self._online.close()
        self._offline.close()

    async def _clear(self) -> None:
        password = self._login.credentials()[-1] if self._login.credentials else None
        async with redis.asyncio.from_url(self._login.url, password=password) as store:
            keys = [key async for key in store.scan_iter(match=ROW_KEYS, count=5000)]
            for start in range(0, len(keys), 5000):
                await store.unlink(*keys[start : start + 5000])


def instant_us(moment: datetime) -> int:
    """Microseconds UTC."""
    return round(moment.timestamp()) * 1_000_000


def rfc3339(instant: int) -> str:
    """Text of microseconds UTC."""
    return datetime.fromtimestamp(instant / 1e6, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
