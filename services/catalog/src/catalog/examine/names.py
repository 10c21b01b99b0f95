"""A name is one definition's, in whichever file it stands."""

from collections.abc import Iterator

from catalog.examine.subject import Subject
from catalog.found import DefinitionError, Found
from catalog.kinds.table import BY_NAME


def check_names(subject: Subject) -> Iterator[DefinitionError]:
    """Names that are there twice; the error is at the second one and names the place of the first."""
    firsts: dict[tuple[str, str], Found] = {}
    for each in subject.found:
        kind, name = BY_NAME[each.definition.kind], each.definition.metadata.name
        first = firsts.setdefault((kind.name, kind.key(name)), each)
        if first is not each:
            where = f"is at {first.place}" if first.place else "counts"
            yield each.wrong(
                ("metadata", "name"),
                f"{kind.name} {name} is defined twice; the first one {where}",
                "rename or remove one",
            )
