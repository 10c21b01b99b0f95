"""Takes ground truth: says of each label whether it can be stored."""

import math
import uuid
from collections.abc import Sequence

from chassis.errors import InvalidArgument, MizzenError
from monitoring.domain.model import Label, Stored
from monitoring.domain.ports import Definitions, LabelStore, Metrics

MAX_LABELS = 10_000
_MAX_ROW = 1_000_000
# Before 1970 or after 2100 is a wrong unit, not a time.
_LATEST_US = 4_102_444_800_000_000


class TakeLabels:
    """The verb behind PutLabels."""

    def __init__(self, store: LabelStore, definitions: Definitions, metrics: Metrics) -> None:
        self._store = store
        self._definitions = definitions
        self._metrics = metrics

    async def put(
        self, tenant: str, labels: Sequence[Label], timeout_s: float
    ) -> tuple[Stored, list[MizzenError | None]]:
        """Stores the good ones; the list has an error or None per label, in order.

        Raises InvalidArgument for too many labels, Unavailable when the label store does not answer within `timeout_s`.
        """
        if len(labels) > MAX_LABELS:
            raise InvalidArgument(
                f"at most {MAX_LABELS} labels a call, not {len(labels)}", reason="TOO_MANY_LABELS", field="labels"
            )
        outputs = self._definitions.outputs()
        errors = [_fault(label, index, outputs) for index, label in enumerate(labels)]
        good = [label for label, error in zip(labels, errors, strict=True) if error is None]
        stored = await self._store.put(tenant, good, timeout_s) if good else Stored(0, 0)
        self._metrics.labels(tenant, stored.stored, stored.older, len(labels) - len(good))
        return stored, errors


def _fault(label: Label, index: int, outputs: frozenset[str]) -> MizzenError | None:
    def wrong(field: str, reason: str, sentence: str) -> MizzenError:
        return InvalidArgument(sentence, reason=reason, field=f"labels[{index}].{field}")

    if not _is_request_id(label.request_id):
        return wrong("request_id", "BAD_REQUEST_ID", "request_id is no UUID: give the request_id of the answer")
    if label.row > _MAX_ROW:
        return wrong("row", "BAD_ROW", f"row {label.row} is beyond any request")
    if not math.isfinite(label.value):
        return wrong("value", "NOT_A_NUMBER", "value is not a finite number")
    if not 0 < label.event_time_us < _LATEST_US:
        return wrong("event_time", "BAD_EVENT_TIME", "event_time is outside 1970 to 2100")
    if label.output not in outputs:
        return wrong("output", "UNKNOWN_OUTPUT", f"no endpoint has an output named {label.output!r}"[:200])
    return None


def _is_request_id(text: str) -> bool:
    """Whether it is a UUID as answers write it: uuid.UUID also takes braces, a prefix or no dashes."""
    try:
        return str(uuid.UUID(text)) == text.lower()
    except ValueError:
        return False
