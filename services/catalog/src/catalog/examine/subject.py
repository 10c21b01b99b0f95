"""What is examined: definitions with their places, and what is known of the outside."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import TypeVar

from catalog.examine.outside import Outside
from catalog.fields import Field
from catalog.found import DefinitionError, Found
from catalog.kinds.table import BY_NAME, AnyDefinition
from catalog.snapshot import Catalog

D = TypeVar("D", bound=AnyDefinition)
MOST_TOLD = 20
"""Errors of one kind that are told of one definition: a view that was renamed is wrong in every column of an endpoint."""


@dataclass(frozen=True, slots=True)
class NotChecked:
    """A check that was not made, and why, as a sentence."""

    sentence: str


Finding = DefinitionError | NotChecked
Findings = Iterator[Finding]


@dataclass(frozen=True, slots=True)
class Subject:
    """`catalog` has the first definition of each name; `found` all of them.

    columns: features of each view by name, stored and on-demand ones; views by reference name.
    """

    found: Sequence[Found]
    catalog: Catalog
    outside: Outside
    columns: Mapping[str, Mapping[str, Field]]

    def of(self, model: type[D]) -> Iterator[tuple[Found, D]]:
        """Each definition of a kind, with its place."""
        for each in self.found:
            if isinstance(each.definition, model):
                yield each, each.definition


def subject_of(found: Iterable[Found], outside: Outside) -> Subject:
    """As Subject says."""
    everything, catalog = list(found), Catalog()
    for each in everything:
        kind = BY_NAME[each.definition.kind]
        catalog.of(kind).setdefault(kind.key(each.definition.metadata.name), each.definition)
    columns = {
        name: {column.name: column for column in (*view.spec.features, *view.spec.on_demand)}
        for name, view in catalog.feature_views.items()
    }
    return Subject(everything, catalog, outside, columns)


def some(errors: Iterable[DefinitionError]) -> Iterator[DefinitionError]:
    """The first ones; the others aren't looked for."""
    return islice(errors, MOST_TOLD)
