"""Search: the question's vector and terms, the store's candidates, one fused ranking."""

from collections.abc import Mapping
from dataclasses import dataclass

from chassis.errors import DeadlineExceeded, InvalidArgument, Unavailable
from retrieval.domain.access import open_collection
from retrieval.domain.fusion import ranking
from retrieval.domain.model import Collection, Mode, Probe, Scope, Search, SearchOutcome, Vector
from retrieval.domain.ports import Analyzer, Clock, Collections, DocumentStore, Embedder

MAX_QUERY = 4096
MAX_TOP_K = 100
MAX_FILTERS = 16
EMBEDDER_DOWN = "the embedder is not available: only words were matched"


@dataclass(frozen=True, slots=True)
class EmbedLimits:
    """How long a search waits for its vector: seconds, and the share of the time left that it may take."""

    seconds: float = 2.0
    share: float = 0.6


class Searching:
    """Answers searches."""

    def __init__(
        self,
        store: DocumentStore,
        embedder: Embedder,
        analyzer: Analyzer,
        collections: Collections,
        clock: Clock,
        limits: EmbedLimits | None = None,
    ) -> None:
        self._store = store
        self._embedder = embedder
        self._analyzer = analyzer
        self._collections = collections
        self._clock = clock
        self._limits = limits or EmbedLimits()

    async def search(self, search: Search) -> SearchOutcome:
        """The best passages. Without its embedder a hybrid or dense search matches words and says so.

        InvalidArgument, NotFound (collection), Unavailable (store), DeadlineExceeded.
        """
        _check(search)
        collection = open_collection(self._collections, search.collection, search.tenant)
        mode = search.mode or collection.mode
        started = self._clock.monotonic_s()
        vector, degraded = await self._vector(collection, mode, search)
        embedded = self._clock.monotonic_s()
        terms = () if mode is Mode.DENSE and not degraded else tuple(self._analyzer.terms(search.query))
        probe = Probe(vector, terms, max(collection.candidates, search.top_k))
        found = await self._store.search(
            Scope(search.tenant, search.collection, search.filters),
            probe,
            ranking(search.top_k, collection.dense_weight),
            search.deadline_s - self._clock.monotonic_s(),
        )
        ended = self._clock.monotonic_s()
        return SearchOutcome(
            found.passages,
            found.rarity,
            vector,
            degraded,
            {"embed": (embedded - started) * 1e3, "search": (ended - embedded) * 1e3},
        )

    async def _vector(self, collection: Collection, mode: Mode, search: Search) -> tuple[Vector | None, str]:
        """The question's vector and, where there should be one and is none, why."""
        left_s = search.deadline_s - self._clock.monotonic_s()
        if left_s <= 0:
            raise DeadlineExceeded("the deadline is over")
        if mode is Mode.LEXICAL:
            return None, ""
        timeout_s = min(self._limits.seconds, left_s * self._limits.share)
        try:
            vectors = await self._embedder.embed(collection.embedding, [search.query], timeout_s)
        except (Unavailable, DeadlineExceeded):
            return None, EMBEDDER_DOWN
        return vectors[0], ""


def _check(search: Search) -> None:
    if not search.query.strip():
        raise InvalidArgument("the query is blank", reason="QUERY_BLANK", field="query")
    if len(search.query) > MAX_QUERY:
        raise InvalidArgument(f"a query has at most {MAX_QUERY} characters", reason="QUERY_TOO_LONG", field="query")
    if "\0" in search.query:
        raise InvalidArgument("the query holds a NUL character", reason="TEXT_INVALID", field="query")
    if not 1 <= search.top_k <= MAX_TOP_K:
        raise InvalidArgument(f"top_k is 1 to {MAX_TOP_K}", reason="TOP_K_OUT_OF_RANGE", field="top_k")
    check_labels(search.filters, "filters", MAX_FILTERS)


def check_labels(labels: Mapping[str, str], field: str, most: int) -> None:
    """InvalidArgument where metadata or filters have too many, too long or unstorable keys or values."""
    if len(labels) > most:
        raise InvalidArgument(f"at most {most} {field}", reason="TOO_MANY_LABELS", field=field)
    for key, value in labels.items():
        place = f"{field}[{key[:64]!r}]"
        if not key or len(key) > 128 or len(value) > 512:
            raise InvalidArgument(
                "a key has 1 to 128 characters, a value at most 512", reason="LABEL_TOO_LONG", field=place
            )
        if "\0" in key + value:
            raise InvalidArgument("the text holds a NUL character", reason="TEXT_INVALID", field=place)
