"""Did you mean …?"""

import difflib
from collections.abc import Iterable, Sequence

SHOWN = 8
ABBREVIATION = 3


def meant(word: str, known: Sequence[str], these_are: str = "") -> str:
    """`did you mean X?` where one of `known` is near; else, with the words `these_are`, the first of them; else nothing."""
    by_lower = {each.lower(): each for each in known}
    near = difflib.get_close_matches(word.lower(), by_lower, 1, 0.6) or _begun(word.lower(), by_lower)
    if near:
        return f"did you mean {by_lower[near[0]]}?"
    if not these_are:
        return ""
    if not known:
        return f"{these_are} none"
    more = f" and {len(known) - SHOWN} more" if len(known) > SHOWN else ""
    return f"{these_are} {', '.join(known[:SHOWN])}{more}"


def _begun(word: str, known: Iterable[str]) -> list[str]:
    """Abbreviations: `temp` of `temperature`."""
    return [each for each in known if len(word) >= ABBREVIATION and (each.startswith(word) or word.startswith(each))]
