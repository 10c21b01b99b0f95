"""The training set: every flight that arrived, with the features that a read two hours before its scheduled departure answers."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa
from data import table_path
from numpy.typing import NDArray

import training
from catalog import Catalog, read_directory

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
    joined = training.training_set(catalog, endpoint.references, flights(root, "late IS NOT NULL"), root)
    tensors = training.tensors_of(endpoint, joined)
    refs = {tensor.name: tensor.features for tensor in endpoint.spec.model.tensors}
    left_out = flights(root, "late IS NULL")
    return TrainingSet(
        **tensors,
        numeric_refs=refs["numeric"],
        categorical_refs=refs["categorical"],
        late=joined.column("late").to_numpy().astype(np.float32),
        month=joined.column("month").to_numpy().astype(np.int64),
        left_out={name: int(np.sum(left_out.column(name).to_numpy())) for name in ("cancelled", "diverted")},
    )
