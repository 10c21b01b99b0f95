"""Training sets: for each row of an entity frame, what a read at its instant would have answered."""
# ruff: noqa: S608 - identifiers are quoted, texts escaped, and a definition's SQL runs in a closed DuckDB

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Literal

import duckdb
import pyarrow as pa

from catalog import Catalog, FeatureView, read_directory
from catalog.kinds.feature_view import AS_OF, Feature, OnDemandFeature
from catalog.on_demand import KINDS, Kind, Term, parse_on_demand
from catalog.tables.closed_duckdb import literal, quoted
from chassis.errors import InvalidArgument, NotFound
from training.offline import (
    EVENT_US,
    SQL_TYPES,
    OfflineOptions,
    OfflineStore,
    StoredView,
    staged_table,
)
from training.on_demand_sql import columns_of, duckdb_sql

OnStale = Literal["mark", "default"]
_FRAME = "__frame"
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def training_set(
    definitions: Catalog | Path,
    refs: Sequence[str],
    frame: pa.Table,
    offline_root: Path,
    *,
    as_of: str = "as_of",
    on_stale: OnStale = "mark",
    threads: int = 2,
    memory: str = "2GB",
) -> pa.Table:
    """`frame` with one column per reference `view:feature`, rows in the order given.

    definitions: a Catalog, or the directory it is read from. frame: join keys and inputs by name, and the instants `as_of`
    (timestamp, UTC when without a zone). on_stale: rows past their ttl keep their value (as an Endpoint's `onStale: mark`)
    or count as missing (`default`). Missing values are the declared defaults, else null.
    InvalidArgument or NotFound name what is wrong with definitions, references or frame.
    """
    catalog = read_directory(definitions) if isinstance(definitions, Path) else definitions
    catalog.check("FeatureView")
    join = _Join([_column(catalog, ref, f"refs[{i}]") for i, ref in enumerate(refs)], as_of, on_stale)
    join.check(frame)
    offline = OfflineStore(OfflineOptions(offline_root, None, memory, threads))
    try:
        for view in join.views.values():
            offline.stage(view)
        offline.connection.register(_FRAME, frame)
        return offline.connection.sql(join.sql(frame.column_names)).to_arrow_table()
    except duckdb.Error as error:
        raise InvalidArgument(
            f"the entity frame can't be joined: {str(error).splitlines()[0]}", reason="FRAME_INVALID", field="frame"
        ) from error
    finally:
        offline.close()


@dataclass(frozen=True, slots=True)
class _Column:
    """A reference, resolved: a stored feature, or an on-demand one with its expression."""

    ref: str
    view: FeatureView
    feature: Feature | OnDemandFeature
    term: Term | None

    @property
    def reads(self) -> set[str]:
        """Names of what it is made of: stored features, inputs and `as_of`."""
        return {self.feature.name} if self.term is None else columns_of(self.term)


def _column(catalog: Catalog, ref: str, field: str) -> _Column:
    name, colon, wanted = ref.partition(":")
    if not colon:
        raise InvalidArgument("a feature reference is written view:feature", reason="REFERENCE_INVALID", field=field)
    view = catalog.feature_views.get(name)
    if view is None:
        raise NotFound(f"there is no feature view {name}", reason="VIEW_NOT_FOUND", field=field, ids={"view": name})
    feature = view.column(wanted)
    if feature is None:
        raise NotFound(
            f"feature view {name} has no feature {wanted}", reason="FEATURE_NOT_FOUND", field=field, ids={"view": name}
        )
    if not isinstance(feature, OnDemandFeature):
        return _Column(ref, view, feature, None)
    kinds = {column.name: KINDS[column.dtype] for column in (*view.spec.features, *view.spec.inputs)}
    return _Column(
        ref, view, feature, parse_on_demand(feature.sql, kinds | {AS_OF: Kind.INSTANT}, KINDS[feature.dtype])
    )


class _Join:
    """One query: the frame, joined as of each row's instant with every view that has something stored to give."""

    def __init__(self, columns: Sequence[_Column], as_of: str, on_stale: OnStale) -> None:
        if not columns:
            raise InvalidArgument("refs names no feature", reason="REFERENCES_EMPTY", field="refs")
        self._columns = columns
        self._as_of = as_of
        self._on_stale = on_stale
        self.views: dict[str, StoredView] = {}
        for column in columns:
            stored = {feature.name: str(feature.dtype) for feature in column.view.spec.features}
            if column.reads & set(stored):
                keys = {key.name: str(key.dtype) for key in column.view.spec.entities}
                name = column.view.reference_name
                self.views.setdefault(name, StoredView(name, keys, stored, column.view.spec.source))
        self._places = {name: place for place, name in enumerate(self.views)}

    def check(self, frame: pa.Table) -> None:
        """InvalidArgument naming the first column that the frame lacks, and an input of which two views want two types."""
        keys = [key for view in self.views.values() for key in view.keys]
        for name in (self._as_of, *keys, *self._inputs()):
            if name not in frame.column_names:
                raise InvalidArgument(f"the entity frame has no column {name}", reason="COLUMN_MISSING", field=name)

    def _inputs(self) -> Iterator[str]:
        known: dict[str, str] = {}
        for column in self._columns:
            for given in column.view.spec.inputs:
                if given.name not in column.reads:
                    continue
                if known.setdefault(given.name, given.dtype) != given.dtype:
                    raise InvalidArgument(
                        f"input {given.name} is {known[given.name]} in one view and {given.dtype} in another",
                        reason="INPUT_AMBIGUOUS",
                        field=f"inputs.{given.name}",
                    )
                yield given.name

    def sql(self, names: Sequence[str]) -> str:
        """The query, over a frame with columns `names`."""
        instant = f"epoch_us(CAST({quoted(self._as_of)} AS TIMESTAMPTZ))"
        kept = ", ".join(map(quoted, names))
        asked = f"SELECT {kept}, row_number() OVER () AS __row, {instant} AS __as_of_us FROM {_FRAME}"
        joins: list[str] = []
        for place, view in enumerate(self.views.values()):
            on = [f"CAST(f.{quoted(k)} AS {SQL_TYPES[dtype]}) = v{place}.{quoted(k)}" for k, dtype in view.keys.items()]
            on.append(f"f.__as_of_us >= v{place}.{EVENT_US}")
            joins.append(f"ASOF LEFT JOIN {staged_table(view.name)} v{place} ON {' AND '.join(on)}")
        kept = ", ".join(f"f.{quoted(name)}" for name in names)
        features = ", ".join(f"{self._value(column)} AS {quoted(column.ref)}" for column in self._columns)
        return f"SELECT {kept}, {features} FROM ({asked}) f {' '.join(joins)} ORDER BY f.__row"

    def _value(self, column: _Column) -> str:
        stored = {feature.name: feature for feature in column.view.spec.features}
        if column.term is None:
            return self._stored(column.view, stored[column.feature.name])

        def named(name: str) -> str:
            if name == AS_OF:
                return f"f.{quoted(self._as_of)}"
            return self._stored(column.view, stored[name]) if name in stored else f"f.{quoted(name)}"

        return f"TRY_CAST({duckdb_sql(column.term, named)} AS {SQL_TYPES[column.feature.dtype]})"

    def _stored(self, view: FeatureView, feature: Feature) -> str:
        place = f"v{self._places[view.reference_name]}"
        value = f"{place}.{quoted(feature.name)}"
        if self._on_stale == "default" and view.ttl_s is not None:
            value = f"CASE WHEN f.__as_of_us - {place}.{EVENT_US} <= {view.ttl_s * 1_000_000} THEN {value} END"
        return value if feature.default is None else f"coalesce({value}, {_default(feature)})"


def _default(feature: Feature) -> str:
    value = feature.default
    if feature.dtype != "TIMESTAMP":
        return f"CAST({literal(str(value))} AS {SQL_TYPES[feature.dtype]})"
    us = (datetime.fromisoformat(value) - _EPOCH) // timedelta(microseconds=1) if isinstance(value, str) else value
    return f"make_timestamptz({us})"
