"""/v1/labels and reports."""

from typing import Annotated, Any

from fastapi import Header, Response

from chassis.errors import InvalidArgument
from gateway.api.http.given import Called, Query
from gateway.api.mizzen.labels import schema as labels_schema
from gateway.domain.columns import parse_instant
from gateway.domain.documents import Label, LabelsAnswer
from gateway.domain.labels import Labels

Accept = Annotated[str, Header(include_in_schema=False)]


class LabelPaths:
    """Handlers."""

    def __init__(self, labels: Labels) -> None:
        self._labels = labels

    async def put(self, call: Called, body: labels_schema.LabelsRequest) -> dict[str, Any]:
        """Store ground truth of predictions; sent again, it changes nothing."""
        labels = [label_of(label, f"labels[{index}]") for index, label in enumerate(body.labels)]
        return labels_json(await self._labels.put(call, labels))

    async def report(self, call: Called, name: str, query: Query, accept: Accept = "") -> Response:
        """Report drift and quality of an endpoint, as JSON, or as HTML by Accept or `format=html`."""
        wanted = query.get("format", "")
        if wanted not in ("", "json", "html"):
            raise InvalidArgument("format must be json or html", reason="INVALID_VALUE", field="format")
        html = wanted == "html" or (not wanted and accept.startswith("text/html"))
        from_us = parse_instant(query["from"], "from") if "from" in query else 0
        to_us = parse_instant(query["to"], "to") if "to" in query else 0
        report = await self._labels.report(call, name, from_us, to_us, html=html)
        # Plots are inline; nothing in a report may fetch or run anything.
        policy = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"
        return Response(report.body, media_type=report.media_type, headers={"content-security-policy": policy})


def label_of(body: labels_schema.Label, where: str) -> Label:
    """One label."""
    event_time_us = parse_instant(body.event_time, f"{where}.event_time")
    return Label(body.request_id, body.row, body.output, body.value, event_time_us)


def labels_json(answer: LabelsAnswer) -> dict[str, Any]:
    """What was stored, and what was not."""
    return {
        "stored": answer.stored,
        "older": answer.older,
        "errors": [{"index": e.index, "code": e.code, "reason": e.reason, "detail": e.message} for e in answer.errors],
    }
