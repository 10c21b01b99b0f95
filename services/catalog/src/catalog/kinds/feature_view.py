"""FeatureView: features of one or more entities, where they come from and how long they stay fresh."""

import re
from collections.abc import Iterator, Sequence
from typing import Literal, Self

from pydantic import Field as Described
from pydantic import field_validator, model_validator

from catalog.fields import GROUP_VERSION, Definition, DType, Fault, Field, Identifier, Location, Metadata, refuse, rules

_DURATION = re.compile(r"^(?P<amount>[1-9][0-9]*)(?P<unit>[smhd])$")
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
AS_OF = "as_of"
JOIN_KEYS = (DType.STRING, DType.INT64, DType.INT32)


def duration_s(text: str) -> int:
    """Seconds of `90s`, `15m`, `6h` or `30d`; ValueError otherwise."""
    match = _DURATION.match(text)
    if match is None:
        raise ValueError(f"{text!r} is no duration: write a whole number and s, m, h or d, e.g. 6h")
    return int(match["amount"]) * _SECONDS[match["unit"]]


def _either(words: Sequence[str]) -> str:
    return f"{', '.join(words[:-1])} or {words[-1]}"


class Feature(Field):
    """A stored feature."""

    default: float | int | str | bool | None = Described(
        default=None, description="Given when there is no row, or the store is down and the caller takes defaults."
    )


class OnDemandFeature(Field):
    """A feature computed at read time, by the same SQL offline (DuckDB) and online (NumPy)."""

    sql: str = Described(
        description="One SQL expression over this view's stored features, `inputs` and `as_of`, in the allow-list: + - * /,"
        " comparisons, and/or/not, case, coalesce, abs, least/greatest, floor/ceil, sin/cos, ln/exp, hour/isodow,"
        " timezone('Area/City', ts)."
    )


def reference_name(name: str) -> str:
    """What feature references call the view of this object name."""
    return name.replace("-", "_")


class Source(Definition):
    """Where stored features come from."""

    tables: dict[Identifier, str] = Described(
        description="Table name used in the SQL → Parquet path or glob under the offline root."
    )
    sql: str = Described(
        description="DuckDB SELECT giving the entities, the timestamp column and every stored feature."
    )
    timestamp_column: Identifier = Described(
        default="event_timestamp", description="Column with the instant from which the row's values were known (UTC)."
    )


class FeatureViewSpec(Definition):
    """What a feature view holds."""

    model_config = rules(
        (
            "!has(self.features) || size(self.features) == 0"
            " || (has(self.source) && has(self.entities) && size(self.entities) > 0)",
            "features need a source and at least one entity",
        ),
        (
            "(has(self.features) && size(self.features) > 0) || (has(self.onDemand) && size(self.onDemand) > 0)",
            "a view without features and onDemand holds nothing",
        ),
        (
            "!has(self.entities) || self.entities.all(e, e.dtype in ['STRING', 'INT64', 'INT32'])",
            "join keys are STRING, INT64 or INT32",
        ),
    )

    description: str = Described(default="", description="One sentence for its users.")
    entities: tuple[Field, ...] = Described(
        default=(), max_length=16, description="Join keys; all of them name one row."
    )
    source: Source | None = Described(default=None, description="Absent for a view of on-demand features only.")
    features: tuple[Feature, ...] = Described(default=(), max_length=2000, description="Stored features.")
    inputs: tuple[Field, ...] = Described(
        default=(), max_length=256, description="Request values that on-demand features read."
    )
    on_demand: tuple[OnDemandFeature, ...] = Described(
        default=(), max_length=500, description="Features computed at read time."
    )
    ttl: str | None = Described(
        default=None, description="Age over which a row is OUTSIDE_MAX_AGE, e.g. 6h; absent: never."
    )

    @field_validator("ttl")
    @classmethod
    def _ttl_is_a_duration(cls, value: str | None) -> str | None:
        if value is not None:
            duration_s(value)
        return value

    @model_validator(mode="after")
    def _is_whole(self) -> Self:
        faults = [*self._columns_are_one_each(), *self._keys_are_keys()]
        if self.features and self.source is None:
            faults.append(Fault(("features",), "features need a source", "add spec.source with its tables and SQL"))
        if self.features and not self.entities:
            faults.append(
                Fault(("features",), "features need at least one entity", "add spec.entities, their join keys")
            )
        if not self.features and not self.on_demand:
            faults.append(Fault((), "a view without features and onDemand holds nothing", "add features"))
        refuse(faults)
        return self

    def _columns_are_one_each(self) -> Iterator[Fault]:
        firsts: dict[str, str] = {}
        parts = {
            "entities": self.entities,
            "features": self.features,
            "inputs": self.inputs,
            "onDemand": self.on_demand,
        }
        for part, columns in parts.items():
            for place, column in enumerate(columns):
                at: Location = (part, place, "name")
                if column.name == AS_OF:
                    yield Fault(at, f"{AS_OF} is the name of the read's instant and can't be a column", "rename it")
                elif column.name in firsts:
                    yield Fault(at, f"{column.name} is also the name of {firsts[column.name]}", "rename one of them")
                firsts.setdefault(column.name, f"spec.{part}[{place}]")

    def _keys_are_keys(self) -> Iterator[Fault]:
        for place, entity in enumerate(self.entities):
            if entity.dtype not in JOIN_KEYS:
                reason = f"entity {entity.name} is {entity.dtype}"
                yield Fault(("entities", place, "dtype"), reason, f"join keys are {_either(JOIN_KEYS)}")


class FeatureView(Definition):
    """A feature view; referred to as `view:feature` with the view's `reference_name`."""

    api_version: Literal["mizzen.dev/v1alpha1"] = Described(default=GROUP_VERSION, description="Group and version.")
    kind: Literal["FeatureView"] = Described(default="FeatureView", description="Kind.")
    metadata: Metadata = Described(description="Object metadata.")
    spec: FeatureViewSpec = Described(description="What it holds.")

    @property
    def reference_name(self) -> str:
        """The object's name with '-' as '_' (Kubernetes names take no underscore, SQL names no dash)."""
        return reference_name(self.metadata.name)

    @property
    def ttl_s(self) -> int | None:
        """Seconds after which a row is stale; None = never."""
        return None if self.spec.ttl is None else duration_s(self.spec.ttl)

    def column(self, name: str) -> Feature | OnDemandFeature | None:
        """The stored or on-demand feature of that name, or None."""
        columns: tuple[Feature | OnDemandFeature, ...] = (*self.spec.features, *self.spec.on_demand)
        return next((column for column in columns if column.name == name), None)
