"""What monitoring thinks in: reference profiles, windows, scores, labels and reports. Times are microseconds UTC."""

from dataclasses import dataclass, field
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Codes = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Texts:
    """A column of texts: `codes` [n] are indexes into `names`, -1 = null."""

    names: tuple[str, ...]
    codes: Codes

    def __len__(self) -> int:
        return len(self.codes)


class Verdict(StrEnum):
    """What a comparison with the reference window says."""

    STABLE = "stable"
    DRIFT = "drift"
    IN_SAMPLE = "in_sample"
    NOT_ENOUGH_DATA = "not_enough_data"
    NO_REFERENCE = "no_reference"


@dataclass(frozen=True, slots=True)
class ColumnProfile:
    """Distribution of one column in the reference window.

    `quantiles` are k + 1 evenly spaced quantiles, minimum to maximum (numeric); `categories` counts of values (categorical).
    `edges` and `counts` are a histogram for plots.
    """

    kind: str
    nulls: float
    quantiles: Floats
    edges: Floats
    counts: Floats
    categories: dict[str, float]


@dataclass(frozen=True, slots=True)
class ReferenceProfile:
    """What the model was trained on: window [from_us, to_us), rows, a profile per feature and output."""

    schema_hash: str
    from_us: int
    to_us: int
    rows: int
    features: dict[str, ColumnProfile]
    outputs: dict[str, ColumnProfile]
    label_rate: float | None


@dataclass(frozen=True, slots=True)
class Policy:
    """An endpoint's monitoring policy."""

    window_us: int
    min_rows: int
    psi_threshold: float
    ks_threshold: float
    watch: frozenset[str]
    label_output: str | None
    label_kind: str


@dataclass(frozen=True, slots=True)
class WatchedEndpoint:
    """What monitoring has to know of an Endpoint: its policy and its outputs' names."""

    name: str
    policy: Policy
    outputs: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Window:
    """A half-open stretch of event time."""

    from_us: int
    to_us: int


@dataclass(frozen=True, slots=True)
class Volume:
    """What was asked in a window. `rows` are answered rows, `errors` requests by code; shadow answers count only as shadow."""

    requests: int = 0
    rows: int = 0
    degraded: int = 0
    shadow: int = 0
    errors: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Retrieval:
    """Numbers of a collection's window: searches and asks."""

    searches: int
    asks: int
    empty: int
    unanswerable: int
    mean_results: float | None
    mean_top_score: float | None


@dataclass(frozen=True, slots=True)
class WindowCounts:
    """Volume of one window; `stamp` changes whenever the records behind it do."""

    window: Window
    volume: Volume
    stamp: str
    retrieval: Retrieval | None = None


@dataclass(frozen=True, slots=True)
class Latency:
    """Quantiles of one stage in milliseconds over `count` requests."""

    p50: float
    p90: float
    p99: float
    count: int


@dataclass(frozen=True, slots=True)
class Score:
    """How far one column of a window is from the reference.

    `noise` is what sampling alone may give (PSI and KS); `ks` is None for categoricals, `unseen` for numerics.
    """

    rows: int
    nulls: float
    psi: float | None
    ks: float | None
    psi_noise: float
    ks_noise: float
    unseen: float | None
    mean: float | None
    shares: Floats | None


@dataclass(frozen=True, slots=True)
class Drift:
    """A score with the thresholds it was held against."""

    score: Score
    verdict: Verdict
    psi_threshold: float
    ks_threshold: float


@dataclass(frozen=True, slots=True)
class Quality:
    """Quality of an output from late labels; measures that the labels can't give are None."""

    predictions: int
    labelled: int
    roc_auc: float | None = None
    ece: float | None = None
    brier: float | None = None
    base_rate: float | None = None
    mean_prediction: float | None = None
    mae: float | None = None
    rmse: float | None = None

    @property
    def coverage(self) -> float | None:
        """Labelled share of the predictions; None without predictions."""
        return self.labelled / self.predictions if self.predictions else None


@dataclass(frozen=True, slots=True)
class Labelled:
    """Predictions of one window and their truth, element by element."""

    window: Window
    predicted: Floats
    truth: Floats


@dataclass(frozen=True, slots=True)
class WindowReport:
    """One window: volume, drift per feature and output, quality, retrieval numbers."""

    window: Window
    verdict: Verdict
    volume: Volume
    features: dict[str, Drift]
    outputs: dict[str, Drift]
    quality: Quality | None
    retrieval: Retrieval | None


@dataclass(frozen=True, slots=True)
class Report:
    """Everything monitoring says about one endpoint or collection over [from_us, to_us)."""

    tenant: str
    endpoint: str
    generated_at_us: int
    from_us: int
    to_us: int
    window_us: int
    volume: Volume
    latency: dict[str, Latency]
    reference: ReferenceProfile | None
    windows: tuple[WindowReport, ...]
    quality: Quality | None
    label_output: str | None
    retrieval: Retrieval | None
    notices: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Label:
    """Ground truth of one prediction."""

    request_id: str
    row: int
    output: str
    value: float
    event_time_us: int


@dataclass(frozen=True, slots=True)
class Stored:
    """How many labels were written, and how many were older than what is stored."""

    stored: int
    older: int


@dataclass(frozen=True, slots=True)
class Delivery:
    """One entry of the record stream: its id (grows with time), the serialized batch, whether it may have been read before."""

    entry_id: str
    payload: bytes
    again: bool = False


@dataclass(frozen=True, slots=True)
class Span:
    """Sequence numbers [first, first + count) of one writer."""

    writer: str
    first: int
    count: int


@dataclass(frozen=True, slots=True)
class Appended:
    """What a durable append wrote: records, records refused, entries that had been written before, spans in order."""

    records: int
    rejected: int
    duplicates: int
    spans: tuple[Span, ...]
