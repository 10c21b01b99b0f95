"""Writing features: columns → packed rows → the store, which keeps the newest row of an entity."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from chassis.errors import InvalidArgument, NotFound
from features.domain.given import check_column, exactly, tags_of
from features.domain.keys import row_keys
from features.domain.model import NUMPY, Definitions, DType, Rows, View, Written
from features.domain.ports import Clock, Metrics, OnlineStore
from features.domain.rows import NEVER_US, is_intact


@dataclass(frozen=True, slots=True)
class WriteLimits:
    """`future_tolerance_s`: how far past now an event timestamp may be, seconds. `max_rows`: rows an item."""

    future_tolerance_s: float = 300.0
    max_rows: int = 10_000
    timeout_s: float = 5.0


def pack(view: View, rows: Rows) -> tuple[list[bytes], list[bytes]]:
    """(keys, packed rows). InvalidArgument naming the wrong column or row."""
    count = len(rows.event_timestamps_us)
    unknown = sorted(set(rows.features) - {column.name for column in view.stored})
    if unknown:
        raise InvalidArgument(
            f"feature view {view.name} stores no {unknown[0]}",
            reason="FEATURE_NOT_FOUND",
            field=f"features.{unknown[0]}",
        )
    tags = tags_of(rows.tenant, view, rows.entities, count)
    values: list[Any] = []
    nulls: list[Any] = []
    for column in view.stored:
        given = rows.features.get(column.name)
        if given is None:
            is_text = column.dtype is DType.STRING
            values.append([""] * count if is_text else np.zeros(count, NUMPY[column.dtype]))
            nulls.append(np.ones(count, np.bool_))
            continue
        checked = check_column(column, given, count, f"features.{column.name}")
        values.append(exactly(column, checked, f"features.{column.name}"))
        nulls.append(checked.nulls)
    far = (rows.event_timestamps_us <= NEVER_US) | (rows.event_timestamps_us >= -NEVER_US)
    if far.any():
        field = f"event_timestamps_us[{int(far.argmax())}]"
        raise InvalidArgument(f"{field} lies outside the years 829 to 3111", reason="TIMESTAMP_INVALID", field=field)
    return row_keys(tags, view.name), view.layout.encode(rows.event_timestamps_us, values, nulls)


async def store_rows(store: OnlineStore, keys: list[bytes], packed: list[bytes], timeout_s: float) -> int:
    """Stores the rows that are not older than the stored ones; how many. Damaged rows give way: their timestamp says nothing."""
    written = await store.write(keys, packed, timeout_s)
    if written == len(keys):
        return written
    stored = await store.read(keys, timeout_s)
    bad = [(i, row) for i, row in enumerate(stored) if row is not None and not is_intact(row)]
    if not bad:
        return written
    await store.forget([keys[i] for i, _ in bad], [row for _, row in bad], timeout_s)
    return written + await store.write([keys[i] for i, _ in bad], [packed[i] for i, _ in bad], timeout_s)


class Writer:
    """Writes rows of the views that are loaded."""

    def __init__(self, store: OnlineStore, clock: Clock, metrics: Metrics, limits: WriteLimits) -> None:
        self._store = store
        self._clock = clock
        self._metrics = metrics
        self._limits = limits
        self._definitions = Definitions()

    def load(self, definitions: Definitions) -> None:
        """Takes these definitions from the next write on."""
        self._definitions = definitions

    async def write(self, rows: Rows, timeout_s: float) -> Written | Exception:
        """What became of the rows."""
        try:
            return await self._write(rows, min(timeout_s, self._limits.timeout_s))
        except Exception as error:  # one item's trouble is not the others'
            return error

    async def _write(self, rows: Rows, timeout_s: float) -> Written:
        view = self._definitions.views.get(rows.view)
        if view is None or not view.stored:
            raise NotFound(
                f"there is no feature view {rows.view} with stored features",
                reason="VIEW_NOT_FOUND",
                field="view",
                ids={"view": rows.view},
            )
        self._check_timestamps(rows)
        keys, packed = pack(view, rows)
        written = await store_rows(self._store, keys, packed, timeout_s)
        self._metrics.rows_written(view.name, written, len(keys) - written)
        return Written(written, len(keys) - written)

    def _check_timestamps(self, rows: Rows) -> None:
        if len(rows.event_timestamps_us) > self._limits.max_rows:
            raise InvalidArgument(
                f"a write has at most {self._limits.max_rows} rows", reason="ROWS_MANY", field="event_timestamps_us"
            )
        # A timestamp far in the future would keep every later row out.
        latest = self._clock.now_us() + int(self._limits.future_tolerance_s * 1e6)
        bad = (rows.event_timestamps_us > latest) | (rows.event_timestamps_us <= -(2**53))
        if bad.any():
            field = f"event_timestamps_us[{int(bad.argmax())}]"
            raise InvalidArgument(f"{field} lies in the future", reason="TIMESTAMP_INVALID", field=field)
