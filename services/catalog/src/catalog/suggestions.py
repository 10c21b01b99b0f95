"""Did you mean …?"""

import difflib
from collections.abc import Iterable, Sequence

SHOWN = 8
COMPARED = 200
"""Most names that a word is compared with: a comparison takes 20 µs, and a view may have 2,000 names."""
ABBREVIATION = 3


def meant(word: str, known: Sequence[str], these_are: str = "") -> str:
    """`did you mean X?` where one of `known` is near; else, with the words `these_are`, the first of them; else nothing."""
    by_lower = {each.lower(): each for each in _alike(word, known)}
    near = difflib.get_close_matches(word.lower(), by_lower, 1, 0.6) or _begun(word.lower(), by_lower)
    if near:
        return f"did you mean {by_lower[near[0]]}?"
    if not these_are:
        return ""
    if not known:
        return f"{these_are} none"
    more = f" and {len(known) - SHOWN} more" if len(known) > SHOWN else ""
    return f"{these_are} {', '.join(known[:SHOWN])}{more}"


def _alike(word: str, known: Sequence[str]) -> Sequence[str]:
    """The names that begin and end like the word, where there are many."""
    if len(known) <= COMPARED:
        return known
    wanted = word.lower()

    def unlikeness(name: str) -> tuple[int, int]:
        ends = _common(wanted, name.lower()) + _common(wanted[::-1], name.lower()[::-1])
        return -ends, abs(len(name) - len(wanted))

    return sorted(known, key=unlikeness)[:COMPARED]


def _common(left: str, right: str) -> int:
    return next((at for at, (a, b) in enumerate(zip(left, right, strict=False)) if a != b), min(len(left), len(right)))


def _begun(word: str, known: Iterable[str]) -> list[str]:
    """Abbreviations: `temp` of `temperature`."""
    return [each for each in known if len(word) >= ABBREVIATION and (each.startswith(word) or word.startswith(each))]
