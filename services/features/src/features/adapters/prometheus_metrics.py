"""domain.ports.Metrics on the process's metrics."""

from prometheus_client import Counter

from chassis.telemetry.metrics import Metrics as Registry
from features import metrics as declared

FOUND = ("present", "not_found", "outside_max_age", "other_layout", "damaged")


class PrometheusMetrics:
    """Counts reads and writes."""

    def __init__(self, registry: Registry) -> None:
        seconds = registry.histogram(declared.STORE_SECONDS)
        self._seconds = {failed: seconds.labels("failed" if failed else "ok") for failed in (False, True)}
        self._keys = registry.counter(declared.STORE_KEYS)
        self._rows = registry.counter(declared.ROWS_READ)
        self._by_view: dict[str, list[Counter]] = {}
        self._written = registry.counter(declared.ROWS_WRITTEN)
        self._definitions = registry.gauge(declared.DEFINITIONS)

    def store_read(self, seconds: float, keys: int, failed: bool) -> None:
        self._seconds[failed].observe(seconds)
        self._keys.inc(keys)

    def rows_read(
        self, view: str, rows: int, absent: int = 0, stale: int = 0, mismatched: int = 0, damaged: int = 0
    ) -> None:
        counters = self._by_view.get(view)
        if counters is None:
            counters = self._by_view[view] = [self._rows.labels(view, found) for found in FOUND]
        if absent or stale:
            counts = (rows - absent - stale, absent - mismatched - damaged, stale, mismatched, damaged)
            for counter, count in zip(counters, counts, strict=True):
                counter.inc(count)
        else:
            counters[0].inc(rows)

    def rows_written(self, view: str, written: int, older: int) -> None:
        self._written.labels(view, "written").inc(written)
        if older:
            self._written.labels(view, "older").inc(older)

    def definitions(self, served: int, refused: int) -> None:
        """Views served now, and definitions refused at the last load."""
        self._definitions.labels("served").set(served)
        self._definitions.labels("refused").set(refused)
