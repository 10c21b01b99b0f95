"""What a metric is: the constructors that rooms declare theirs with, each once, and the live objects of a process.

A room's metrics are the constants of its ``metrics.py``. Their names are ``mizzen_<room>_<what>_<unit>``; counters end in
``_total``. A declaration fixes the labels; a tenant label goes through `TenantLabels`, so that tenants cannot grow the
series without end.
"""

from dataclasses import dataclass

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

OTHER = "other"


@dataclass(frozen=True, slots=True)
class CounterSpec:
    """A metric that only grows. The name ends in ``_total``."""

    name: str
    help: str
    labels: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class GaugeSpec:
    """A metric that is at a level."""

    name: str
    help: str
    labels: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class HistogramSpec:
    """A metric of a distribution, counted into `buckets` (upper bounds, in the unit of the name)."""

    name: str
    help: str
    labels: tuple[str, ...] = ()
    buckets: tuple[float, ...] = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


COUNTS = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0, 1024.0)


class Level:
    """A gauge that one thread counts up and down, with a plain number instead of a lock: read when somebody scrapes."""

    __slots__ = ("now",)

    def __init__(self) -> None:
        self.now = 0


class Metrics:
    """The live metrics of one process, made when first asked for."""

    def __init__(self, registry: CollectorRegistry | None = None) -> None:
        self.registry = registry or CollectorRegistry()
        self._made: dict[str, Counter | Gauge | Histogram] = {}
        self._levels: dict[tuple[str, tuple[str, ...]], Level] = {}

    def counter(self, spec: CounterSpec) -> Counter:
        """The counter of `spec`; the same object each time."""
        made = self._made.get(spec.name)
        if not isinstance(made, Counter):
            made = self._made[spec.name] = Counter(spec.name, spec.help, spec.labels, registry=self.registry)
        return made

    def gauge(self, spec: GaugeSpec) -> Gauge:
        """The gauge of `spec`; the same object each time."""
        made = self._made.get(spec.name)
        if not isinstance(made, Gauge):
            made = self._made[spec.name] = Gauge(spec.name, spec.help, spec.labels, registry=self.registry)
        return made

    def level(self, spec: GaugeSpec, *labels: str) -> Level:
        """The level behind the gauge of `spec` (with `labels`); the same object each time."""
        level = self._levels.get((spec.name, labels))
        if level is None:
            gauge = self.gauge(spec).labels(*labels) if labels else self.gauge(spec)
            level = made = self._levels[spec.name, labels] = Level()
            gauge.set_function(lambda: made.now)
        return level

    def histogram(self, spec: HistogramSpec) -> Histogram:
        """The histogram of `spec`; the same object each time."""
        made = self._made.get(spec.name)
        if not isinstance(made, Histogram):
            made = Histogram(spec.name, spec.help, spec.labels, buckets=spec.buckets, registry=self.registry)
            self._made[spec.name] = made
        return made


class TenantLabels:
    """Which tenants metrics name."""

    def __init__(self, allowed: str) -> None:
        """allowed: comma-separated tenants (setting MIZZEN_TENANT_LABELS)."""
        self._allowed = frozenset(name.strip() for name in allowed.split(",") if name.strip())

    def label(self, tenant: str) -> str:
        """`tenant` when it is on the list, else "other"."""
        return tenant if tenant in self._allowed else OTHER
