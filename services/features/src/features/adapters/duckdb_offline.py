"""Rows to materialize, from the offline store."""
# ruff: noqa: S608 - identifiers are quoted

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from catalog.tables.closed_duckdb import quoted
from features.domain.model import NUMPY, Column, DType, Given, Rows, View
from training.offline import EVENT_US, OfflineOptions, OfflineStore, StoredView, staged_table


class DuckDBOffline:
    """Answers slices of views that the offline store has staged. Blocking: call it in a thread, one caller at a time."""

    def __init__(self, options: OfflineOptions) -> None:
        self._store = OfflineStore(options)
        self._connection = self._store.connection
        self._instants: dict[str, NDArray[np.int64]] = {}

    def close(self) -> None:
        """Forgets everything staged."""
        self._store.close()

    def fingerprint(self, view: View) -> str:
        """Changes whenever a file of the view's tables does."""
        states = ((path, path.stat()) for path in self._store.files(_stored(view)))
        return ";".join(f"{path}:{state.st_size}:{state.st_mtime_ns}" for path, state in states)

    def stage(self, view: View) -> int:
        """Runs the view's SQL once and keeps its rows in order of time; returns how many. Staged already: does nothing."""
        if self._store.stage(_stored(view)):
            self._instants.pop(view.name, None)
        return int(self._one(f"SELECT count(*) FROM {_table(view)}"))

    def latest(
        self, view: View, since_us: int | None, until_us: int, tenant: str, rows_per_chunk: int, skip: int = 0
    ) -> Iterator[Rows]:
        """Latest row of each entity in (since, until], in chunks, entities in order; the first `skip` chunks are left out.

        The same arguments over the same tables give the same chunks.
        """
        self.stage(view)
        keys = ", ".join(quoted(key.name) for key in view.keys)
        first, last = self._places(view, since_us, until_us)
        picked = f"(SELECT *, rowid AS __row FROM {_table(view)} WHERE rowid >= {first} AND rowid < {last})"
        newest = f"row_number() OVER (PARTITION BY {keys} ORDER BY {EVENT_US} DESC, __row DESC) = 1"
        values = ", ".join(_wire_column(column) for column in (*view.keys, *view.stored))
        if since_us is not None and last - first <= rows_per_chunk:
            # A replay's small slice, one chunk at most: the window query alone would take four times as long.
            if last > first and skip == 0:
                slice_sql = f"SELECT {values}, {EVENT_US} FROM {_table(view)} WHERE rowid >= {first} AND rowid < {last}"
                yield _newest(view, _rows(view, tenant, self._connection.execute(slice_sql).fetchnumpy()))
            return
        newest = f"SELECT {values}, {EVENT_US} FROM {picked} QUALIFY {newest} ORDER BY {keys}"
        self._connection.execute(f"CREATE OR REPLACE TEMP TABLE __latest AS {newest}")
        total = int(self._one("SELECT count(*) FROM __latest"))
        for at in range(skip * rows_per_chunk, total, rows_per_chunk):
            found = self._connection.execute(
                f"SELECT * FROM __latest WHERE rowid >= {at} AND rowid < {at + rows_per_chunk} ORDER BY rowid"
            ).fetchnumpy()
            yield _rows(view, tenant, found)

    def _places(self, view: View, since_us: int | None, until_us: int) -> tuple[int, int]:
        """Row ids of (since, until]: staged rows lie in order of time, so no slice has to be searched for."""
        instants = self._instants.get(view.name)
        if instants is None:
            found = self._connection.execute(f"SELECT {EVENT_US} FROM {_table(view)} ORDER BY rowid").fetchnumpy()
            instants = self._instants[view.name] = np.asarray(found[EVENT_US], np.int64)
        first = 0 if since_us is None else int(np.searchsorted(instants, since_us, "right"))
        return first, max(first, int(np.searchsorted(instants, until_us, "right")))

    def _one(self, sql: str) -> Any:
        return self._connection.execute(sql).fetchall()[0][0]


def _stored(view: View) -> StoredView:
    keys, stored = ({column.name: column.dtype for column in columns} for columns in (view.keys, view.stored))
    return StoredView(view.name, keys, stored, view.source)


def _table(view: View) -> str:
    return staged_table(view.name)


def _wire_column(column: Column) -> str:
    name = quoted(column.name)
    return f"epoch_us({name}) AS {name}" if column.dtype is DType.TIMESTAMP else name


def _rows(view: View, tenant: str, found: Mapping[str, Any]) -> Rows:
    return Rows(
        tenant,
        view.name,
        {key.name: _given(key, found[key.name]) for key in view.keys},
        {column.name: _given(column, found[column.name]) for column in view.stored},
        np.asarray(found[EVENT_US], np.int64),
    )


def _newest(view: View, rows: Rows) -> Rows:
    """The last row of each entity, of rows in order of time."""
    keys = zip(*(rows.entities[key.name].values.tolist() for key in view.keys), strict=True)
    kept = np.array(sorted({key: place for place, key in enumerate(keys)}.values()))

    def some(given: Given) -> Given:
        return Given(given.values[kept], None if given.nulls is None else given.nulls[kept])

    return Rows(
        rows.tenant,
        rows.view,
        {name: some(given) for name, given in rows.entities.items()},
        {name: some(given) for name, given in rows.features.items()},
        rows.event_timestamps_us[kept],
    )


def _given(column: Column, values: Any) -> Given:
    nulls = np.ma.getmaskarray(values) if isinstance(values, np.ma.MaskedArray) else None
    data = np.ma.getdata(values)
    if column.dtype is DType.STRING:
        if nulls is not None:
            data = np.where(nulls, "", data)
        return Given(np.asarray(data, object), nulls)
    return Given(np.asarray(data, NUMPY[column.dtype]), nulls)
