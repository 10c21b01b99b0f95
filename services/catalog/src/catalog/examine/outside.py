"""What may be known beside the definitions. What isn't known isn't checked, and the examination says so."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Protocol

from catalog.kinds.feature_view import FeatureView


@dataclass(frozen=True, slots=True)
class Bound:
    """Columns that a view's stored SQL gives, name → type in DuckDB's words."""

    columns: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class SqlFault:
    """What is wrong with a view's source. `table`: the one of `tables` that is at fault, else it is the SQL, in `line` from 0."""

    reason: str
    fix: str = ""
    table: str = ""
    line: int = 0


class Tables(Protocol):
    """The registered tables under the offline root."""

    def bind(self, view: FeatureView) -> Bound | SqlFault | None:
        """The columns of the view's SQL over its tables; None where there are no tables at all yet."""


@dataclass(frozen=True, slots=True)
class PackageTensor:
    """An input or output of a model: Open Inference Protocol type, and its dimensions without that of rows; -1 is any."""

    name: str
    datatype: str
    dims: Sequence[int]
    optional: bool = False


@dataclass(frozen=True, slots=True)
class Package:
    """One model of a repository."""

    model: str
    inputs: Sequence[PackageTensor]
    outputs: Sequence[PackageTensor]
    versions: Sequence[str] = ("1",)


class Packages(Protocol):
    """Model packages."""

    def at(self, storage_uri: str) -> Sequence[Package] | None:
        """The models that the repository at `storage_uri` holds; None where nothing is known of that place."""

    def digests(self, name: str) -> Sequence[str]:
        """What DIGEST of `pvc://models/NAME/DIGEST` can be, the newest first; none where it can't be told."""


@dataclass(frozen=True, slots=True)
class Outside:
    """What an examination may look at beside the definitions; by default nothing.

    all_services: whether every InferenceService is among the definitions. A running service can't tell: on a cluster they come and
    go by themselves, and nothing has to be said twice. one_server: whether one Triton serves all of them, as on a laptop; it
    serves a model name once. `tables`, `packages`: None where nothing is known of them.
    """

    all_services: bool = False
    one_server: bool = False
    tables: Tables | None = None
    packages: Packages | None = None


def stated_digest(storage_uri: str) -> tuple[str, str] | None:
    """(NAME, DIGEST) of `pvc://models/NAME/DIGEST`; None for another address."""
    scheme, _, path = storage_uri.partition("://")
    parts = PurePosixPath(path).parts
    return (parts[1], parts[2]) if scheme == "pvc" and len(parts) == 3 and parts[0] == "models" else None
