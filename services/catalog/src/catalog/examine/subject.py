"""What is examined: definitions with their places, and what is known of the outside."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

from catalog.examine.outside import Outside
from catalog.found import DefinitionError, Found
from catalog.kinds.table import BY_NAME, AnyDefinition
from catalog.snapshot import Catalog

D = TypeVar("D", bound=AnyDefinition)


@dataclass(frozen=True, slots=True)
class NotChecked:
    """A check that was not made, and why, as a sentence."""

    sentence: str


Finding = DefinitionError | NotChecked
Findings = Iterator[Finding]


@dataclass(frozen=True, slots=True)
class Subject:
    """`catalog` has the first definition of each name; `found` all of them."""

    found: Sequence[Found]
    catalog: Catalog
    outside: Outside

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
    return Subject(everything, catalog, outside)
