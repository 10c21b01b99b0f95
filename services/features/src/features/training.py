"""Training sets: the features that a read would have answered at each row's instant."""

from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa

from catalog import Catalog, read_directory
from chassis.errors import InvalidArgument
from features.adapters.catalog_views import load_definitions
from features.adapters.duckdb_offline import DuckDBOffline, OfflineOptions
from features.adapters.duckdb_point_in_time import OnStale, point_in_time
from features.domain.model import Definitions


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

    definitions: a Catalog, or the directory it is read from. frame: join keys, inputs and the instants `as_of`
    (timestamp, UTC when without a zone). on_stale: see Endpoint.onStale; `mark` keeps values past their ttl.
    InvalidArgument or NotFound name what is wrong with definitions, references or frame.
    """
    offline = DuckDBOffline(OfflineOptions(offline_root, None, memory, threads))
    try:
        return point_in_time(offline, compiled(definitions), refs, frame, as_of, on_stale)
    finally:
        offline.close()


def compiled(definitions: Catalog | Path) -> Definitions:
    """Definitions ready for use. InvalidArgument with everything that can't be read or is wrong with a feature view."""
    catalog = read_directory(definitions) if isinstance(definitions, Path) else definitions
    wrong = [str(error) for error in catalog.errors if error.kind == "FeatureView" or not error.name]
    if wrong:
        raise InvalidArgument("; ".join(wrong), reason="DEFINITION_INVALID", field="definitions")
    return load_definitions(catalog)
