"""Joins late labels with the predictions they are the truth of."""

from collections import defaultdict

from monitoring.domain.ports import Clock, Definitions, LabelStore, Metrics, RecordLog

_BATCH = 20_000


class MatchLabels:
    """A label can come before its record is consumed: it waits as long as the endpoints ask for, 30 days by default."""

    def __init__(
        self, store: LabelStore, log: RecordLog, definitions: Definitions, metrics: Metrics, clock: Clock
    ) -> None:
        self._store = store
        self._log = log
        self._definitions = definitions
        self._metrics = metrics
        self._clock = clock

    async def once(self) -> int:
        """Joins what can be joined now; how many labels. Raises Unavailable."""
        joined = 0
        while True:
            asked: dict[str, list[str]] = defaultdict(list)
            for tenant, request_id in await self._store.waiting(_BATCH):
                asked[tenant].append(request_id)
            for tenant, request_ids in asked.items():
                outputs = sorted(self._definitions.outputs())
                found = await self._log.predictions(tenant, request_ids, outputs)
                joined += await self._store.match(tenant, request_ids, found)
            if sum(map(len, asked.values())) < _BATCH:
                self._metrics.matched(joined, await self._store.waiting_count())
                return joined

    async def purge(self) -> int:
        """Drops labels that have waited too long; how many. Raises Unavailable."""
        purged = await self._store.purge(self._clock.now_us() - self._definitions.label_wait_us())
        self._metrics.purged(purged)
        return purged
