"""Ground truth in, reports out."""

from collections.abc import Sequence

from chassis.errors import InvalidArgument
from gateway.domain.documents import Label, LabelsAnswer, Report
from gateway.domain.endpoints import Endpoints
from gateway.domain.model import Call
from gateway.domain.ports import Monitoring

MAX_LABELS = 10_000
MAX_VALUE = 1e300


class Labels:
    """What the public label and report paths do."""

    def __init__(self, endpoints: Endpoints, monitoring: Monitoring) -> None:
        self._endpoints = endpoints
        self._monitoring = monitoring

    async def put(self, call: Call, labels: Sequence[Label]) -> LabelsAnswer:
        """Stores ground truth; re-sending changes nothing, the latest event time wins."""
        if not 1 <= len(labels) <= MAX_LABELS:
            raise InvalidArgument(f"labels must hold 1 to {MAX_LABELS}", reason="INVALID_VALUE", field="labels")
        for index, label in enumerate(labels):
            if not 0 <= label.row < 2**31:
                field = f"labels[{index}].row"
                raise InvalidArgument(f"{field} must be a whole number ≥ 0", reason="INVALID_VALUE", field=field)
            if not abs(label.value) <= MAX_VALUE:  # NaN as well
                field = f"labels[{index}].value"
                raise InvalidArgument(f"{field} must be a number", reason="INVALID_VALUE", field=field)
        return await self._monitoring.put_labels(call, labels)

    async def report(self, call: Call, endpoint: str, from_us: int, to_us: int, *, html: bool) -> Report:
        """A report of event time [from, to); 0 = all there is. NotFound for an unknown endpoint."""
        self._endpoints.get(endpoint)
        if to_us and to_us <= from_us:
            raise InvalidArgument("`to` must be later than `from`", reason="INVALID_VALUE", field="to")
        return await self._monitoring.report(call, endpoint, from_us, to_us, html=html)
