"""What of the definitions that were found is taken: what is wrong keeps its predecessor, in every service alike."""

from collections.abc import Iterable, Mapping, Sequence

from catalog.examine import examine
from catalog.examine.names import check_names
from catalog.examine.outside import Outside
from catalog.examine.subject import subject_of
from catalog.found import DefinitionError, Found
from catalog.kinds.table import BY_NAME, KINDS, AnyDefinition
from catalog.snapshot import Catalog

Key = tuple[str, str]  # kind, and key in a Catalog


def take(found: Iterable[Found], errors: Sequence[DefinitionError], last: Catalog) -> Catalog:
    """The catalog of what was found; `errors` is what could not be read.

    A definition that is wrong is replaced by that of `last`, or left out without one. One that is right as such and refers to what
    is not there stays where it has no predecessor: it comes to life when that is there. Both are told in the catalog's `errors`.
    """
    everything = list(found)
    taken: dict[Key, Found] = {}
    for each in everything:
        taken.setdefault(_key(each.definition.kind, each.definition.metadata.name), each)
    before = {(kind.name, key): old for kind in KINDS for key, old in last.of(kind).items()}
    taken |= {key: Found(before[key]) for key in _unread(errors, before) if key not in taken}
    told: list[DefinitionError] = [*errors, *check_names(subject_of(everything, Outside()))]
    # What is replaced may have been what another one needs, so the rest is examined again until nothing is replaced.
    while True:
        wrong = examine(taken.values()).errors
        replaced = _replace(wrong, taken, before)
        if not replaced:
            break
        told += [error for error in wrong if _key(error.kind, error.name) in replaced]
    catalog = Catalog(errors=tuple(dict.fromkeys((*told, *wrong))))
    for (kind, key), each in taken.items():
        catalog.of(BY_NAME[kind])[key] = each.definition
    return catalog


def _key(kind: str, name: str) -> Key:
    return kind, BY_NAME[kind].key(name)


def _unread(errors: Sequence[DefinitionError], before: Mapping[Key, AnyDefinition]) -> Iterable[Key]:
    """What served before and can't be read now; an error without a name stands for everything its file may have held."""
    if any(not error.name for error in errors):
        return list(before)
    return [key for error in errors if error.kind in BY_NAME and (key := _key(error.kind, error.name)) in before]


def _replace(
    wrong: Sequence[DefinitionError], taken: dict[Key, Found], before: Mapping[Key, AnyDefinition]
) -> frozenset[Key]:
    """Puts predecessors in the place of what is wrong; which were replaced or left out."""
    replaced: set[Key] = set()
    wrong_itself = {_key(error.kind, error.name) for error in wrong if not error.missing_reference}
    for key in dict.fromkeys(_key(error.kind, error.name) for error in wrong):
        old = before.get(key)
        if old is not None and taken[key].definition != old:
            taken[key] = Found(old)
            replaced.add(key)
        elif old is None and key in wrong_itself:
            del taken[key]
            replaced.add(key)
    return frozenset(replaced)
