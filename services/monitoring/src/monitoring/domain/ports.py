"""What the domain needs of the outside."""

from collections.abc import Mapping, Sequence
from typing import Protocol

from monitoring.domain.model import (
    Appended,
    Delivery,
    Floats,
    Label,
    Labelled,
    Latency,
    ReferenceProfile,
    Report,
    Stored,
    Texts,
    WatchedEndpoint,
    Window,
    WindowCounts,
)


class Clock(Protocol):
    """Time, injected."""

    def now_us(self) -> int:
        """Microseconds UTC."""

    def monotonic_s(self) -> float:
        """Seconds that never go back."""


class RecordStream(Protocol):
    """The consumer's side of the record stream."""

    async def read(self) -> list[Delivery]:
        """Entries nobody has acknowledged: own ones, those of dead consumers, then new ones.

        Waits a moment when there are none. Raises Unavailable.
        """

    async def ack(self, entry_ids: Sequence[str]) -> None:
        """Entries are done. Raises Unavailable; they are then delivered again."""

    async def lag(self) -> tuple[int, int]:
        """Entries not yet delivered, and delivered but not acknowledged. Raises Unavailable."""


class RecordWriter(Protocol):
    """The record log, written."""

    async def append(self, deliveries: Sequence[Delivery]) -> Appended:
        """Durable when it returns; entries written before are left out. Raises Unavailable when the disk refuses."""

    async def compact(self) -> int:
        """Merges small files; how many went away."""


class RecordLog(Protocol):
    """The record log, read. Every method raises Unavailable when the disk refuses."""

    async def names(self) -> list[tuple[str, str]]:
        """(tenant, endpoint) pairs that have records."""

    async def windows(self, tenant: str, endpoint: str, size_us: int) -> list[WindowCounts]:
        """Volume per window, oldest first; empty when there are no records."""

    async def columns(
        self, tenant: str, endpoint: str, windows: Sequence[Window], kinds: Mapping[str, str]
    ) -> dict[Window, dict[str, Floats | Texts]]:
        """Answered rows per window of the named columns (`view:feature`, `entity:N`, `input:N`, `output:N`).

        `kinds` maps a column's name to numeric or categorical. Absent columns are left out; a large window is a sample.
        """

    async def latency(self, tenant: str, endpoint: str, from_us: int, to_us: int) -> dict[str, Latency]:
        """Quantiles per stage over requests with event time in [from_us, to_us)."""

    async def set_aside(self, tenant: str = "", endpoint: str = "") -> list[str]:
        """Names of damaged files whose rows are in no answer: all, or those of one endpoint."""

    async def predictions(
        self, tenant: str, request_ids: Sequence[str], outputs: Sequence[str]
    ) -> list[tuple[str, int, str, str, float, int]]:
        """(request_id, row, output, endpoint, predicted, event_time_us) of those request ids that are in the log."""


class LabelStore(Protocol):
    """Late labels. Every method raises Unavailable when the store does not answer in time."""

    async def put(self, tenant: str, labels: Sequence[Label], timeout_s: float) -> Stored:
        """Stores labels, all or none; the latest event_time of a prediction's output wins."""

    async def waiting(self, limit: int) -> list[tuple[str, str]]:
        """(tenant, request_id) of labels that wait for their prediction and are due for another look."""

    async def match(
        self, tenant: str, asked: Sequence[str], found: Sequence[tuple[str, int, str, str, float, int]]
    ) -> int:
        """Joins labels with the predictions found among the request ids asked for; the others wait longer. How many joined."""

    async def labelled(self, tenant: str, endpoint: str, output: str, size_us: int, timeout_s: float) -> list[Labelled]:
        """Predictions with their truth, per window of event time; Unavailable after `timeout_s`."""

    async def purge(self, older_than_us: int) -> int:
        """Drops labels that came before and still wait; how many."""

    async def waiting_count(self) -> int:
        """Labels that wait for their prediction."""


class Definitions(Protocol):
    """The endpoints and collections that are defined now."""

    def endpoint(self, name: str) -> WatchedEndpoint | None:
        """The endpoint, or None."""

    def outputs(self) -> frozenset[str]:
        """Names of all endpoints' outputs."""

    def label_wait_us(self) -> int:
        """How long a label without a prediction is kept: the longest that any endpoint asks for."""

    def known(self, name: str) -> bool:
        """Whether an endpoint or a collection has that name."""


class Profiles(Protocol):
    """Reference profiles of the models behind endpoints."""

    async def find(self, endpoint: str) -> ReferenceProfile | None:
        """The profile in the package of the endpoint's first route; None when there is none. DataLoss: it can't be read."""

    def unreadable(self) -> int:
        """How many of the profiles that were looked for can't be read."""


class Metrics(Protocol):
    """Prometheus, injected."""

    def consumed(self, appended: Appended) -> None:
        """Counts an append."""

    def gap(self, records: int) -> None:
        """Counts records lost between writers and here."""

    def lag(self, waiting: int, pending: int) -> None:
        """Sets the stream's lag, entries."""

    def labels(self, tenant: str, stored: int, older: int, refused: int) -> None:
        """Counts labels taken."""

    def matched(self, joined: int, waiting: int) -> None:
        """Counts joined labels and sets how many wait."""

    def purged(self, labels: int) -> None:
        """Counts labels dropped unmatched."""

    def failed(self, task: str) -> None:
        """Counts a failed background step."""

    def set_aside(self, record_files: int, profiles: int) -> None:
        """Sets how many files can't be read."""

    def report(self, report: Report) -> None:
        """Sets drift and quality gauges from the newest windows of a report."""
