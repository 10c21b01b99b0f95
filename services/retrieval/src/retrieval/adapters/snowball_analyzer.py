"""Words to terms with the Snowball stemmer for English."""

import re
import threading
from functools import lru_cache

import snowballstemmer

_WORD = re.compile(r"[^\W_]+(?:_[^\W_]+)*")
_STEMMER = snowballstemmer.stemmer("english")
_LOCK = threading.Lock()  # a stemmer keeps the word it works on
_WORDS = (
    "a about after all also am an and any are as at be because been before being but by can could did do does doing for "
    "from had has have having he her here him his how i if in into is it its just me more most my no nor not of off on or "
    "our out over own she should so some such than that the their them then there these they this those through to too "
    "under until up very was we were what when where which while who whom why will with would you your"
)
_STOP = frozenset(_WORDS.split(" "))


@lru_cache(maxsize=200_000)
def _stem(word: str) -> str:
    with _LOCK:
        return str(_STEMMER.stemWord(word))


class SnowballAnalyzer:
    """Analyzer. A name like `MIZZEN_STATE` gives itself and its parts."""

    def terms(self, text: str) -> list[str]:
        found: list[str] = []
        for word in _WORD.findall(text.lower()):
            parts = word.split("_")
            if len(parts) > 1:
                found.append(word[:64])
            found.extend(_stem(part[:64]) for part in parts if part not in _STOP)
        return found
