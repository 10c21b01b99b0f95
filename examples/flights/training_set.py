"""The training set: every flight that arrived, with the features that a read two hours before its scheduled departure answers."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
from data import table_path
from numpy.typing import NDArray

from catalog import Catalog, read_directory
from features.training import training_set

HERE = Path(__file__).parent
ENDPOINT = "flight-delay"
LEAD_HOURS = 2


@dataclass(frozen=True, slots=True)
class TrainingSet:
    """Columns over the same rows, in order of scheduled departure.

    `numeric` is float32 [rows, features] with NaN for missing; `categorical` holds text [rows, keys]; `late` is 0 or 1;
    `month` is the local month of departure, 1 to 12; `left_out` counts cancelled and diverted flights.
    """

    numeric: NDArray[np.float32]
    categorical: NDArray[np.str_]
    numeric_refs: tuple[str, ...]
    categorical_refs: tuple[str, ...]
    late: NDArray[np.float32]
    month: NDArray[np.int64]
    left_out: dict[str, int]


def definitions() -> Catalog:
    """The example's definitions; ValueError with all that is wrong when something is."""
    catalog = read_directory(HERE)
    if catalog.errors:
        raise ValueError("\n".join(map(str, catalog.errors)))
    return catalog


def flights(root: Path, condition: str, order: str = "sched_dep, carrier, flight") -> pa.Table:
    """Flights under the offline root that fulfil `condition`, with `as_of` (sched_dep minus two hours) and local `month`."""
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone='UTC'")
        return connection.sql(
            f"SELECT *, sched_dep - INTERVAL {LEAD_HOURS} HOUR AS as_of, month(timezone('America/New_York', sched_dep)) AS month"
            f" FROM '{table_path(root, 'flights')}' WHERE {condition} ORDER BY {order}"
        ).to_arrow_table()


def build(root: Path) -> TrainingSet:
    """Joins every flight that arrived with its features, by the very code and SQL that serving uses."""
    catalog = definitions()
    endpoint = catalog.endpoints[ENDPOINT]
    joined = training_set(catalog, endpoint.references, flights(root, "late IS NOT NULL"), root)
    columns = {tensor.name: tensor.features for tensor in endpoint.spec.model.tensors}
    left_out = flights(root, "late IS NULL")
    return TrainingSet(
        numeric=np.stack([_floats(joined, ref) for ref in columns["numeric"]], axis=1),
        categorical=np.stack([np.asarray(_column(joined, ref), np.str_) for ref in columns["categorical"]], axis=1),
        numeric_refs=columns["numeric"],
        categorical_refs=columns["categorical"],
        late=_floats(joined, "input:late"),
        month=np.asarray(_column(joined, "input:month"), dtype=np.int64),
        left_out={name: int(np.sum(_column(left_out, f"input:{name}"))) for name in ("cancelled", "diverted")},
    )


def _column(table: pa.Table, ref: str) -> NDArray[Any]:
    """A feature by its reference; an entity or input by the name of its column."""
    name = ref.partition(":")[2] if ref.startswith(("entity:", "input:")) else ref
    return np.asarray(table.column(name).to_numpy())


def _floats(table: pa.Table, ref: str) -> NDArray[np.float32]:
    return _column(table, ref).astype(np.float32)
