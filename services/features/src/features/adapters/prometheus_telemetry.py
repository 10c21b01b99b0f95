"""domain.ports.Telemetry on the process's metrics."""

from prometheus_client import Counter

from chassis.telemetry.metrics import Metrics
from features import metrics as declared

FOUND = ("present", "not_found", "outside_max_age", "other_layout", "damaged")


class FeatureMetrics:
    """Counts reads and writes."""

    def __init__(self, metrics: Metrics) -> None:
        seconds = metrics.histogram(declared.STORE_SECONDS)
        self._seconds = {failed: seconds.labels("failed" if failed else "ok") for failed in (False, True)}
        self._keys = metrics.counter(declared.STORE_KEYS)
        self._rows = metrics.counter(declared.ROWS_READ)
        self._by_view: dict[str, list[Counter]] = {}
        self._written = metrics.counter(declared.ROWS_WRITTEN)
        self._definitions = metrics.gauge(declared.DEFINITIONS)

    def store_read(self, seconds: float, keys: int, failed: bool) -> None:
        """See domain.ports.Telemetry."""
        self._seconds[failed].observe(seconds)
        self._keys.inc(keys)

    def rows_read(
        self, view: str, rows: int, absent: int = 0, stale: int = 0, mismatched: int = 0, damaged: int = 0
    ) -> None:
        """See domain.ports.Telemetry."""
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
        """See domain.ports.Telemetry."""
        self._written.labels(view, "written").inc(written)
        if older:
            self._written.labels(view, "older").inc(older)

    def definitions(self, served: int, refused: int) -> None:
        """Views served now, and definitions refused at the last load."""
        self._definitions.labels("served").set(served)
        self._definitions.labels("refused").set(refused)
