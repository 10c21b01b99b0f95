"""/v1/labels and reports."""

from typing import Any

from chassis.errors import InvalidArgument
from gateway.api.http.request import Http
from gateway.api.mizzen.labels import schema as labels_schema
from gateway.domain.columns import parse_instant
from gateway.domain.documents import Label, LabelsAnswer
from gateway.domain.labels import Labels


class LabelPaths:
    """Handlers."""

    def __init__(self, labels: Labels) -> None:
        self._labels = labels

    async def put(self, http: Http, body: labels_schema.LabelsRequest) -> dict[str, Any]:
        """Store ground truth of predictions; sent again, it changes nothing."""
        labels = [label_of(label, f"labels[{index}]") for index, label in enumerate(body.labels)]
        return labels_json(await self._labels.put(http.call, labels))

    async def report(self, http: Http) -> None:
        """Report drift and quality of an endpoint, as JSON, or as HTML by Accept or `format=html`."""
        wanted = http.query.get("format", "")
        if wanted not in ("", "json", "html"):
            raise InvalidArgument("format must be json or html", reason="INVALID_VALUE", field="format")
        html = wanted == "html" or (not wanted and http.headers.get(b"accept", b"").startswith(b"text/html"))
        from_us = parse_instant(http.query["from"], "from") if "from" in http.query else 0
        to_us = parse_instant(http.query["to"], "to") if "to" in http.query else 0
        report = await self._labels.report(http.call, http.params["name"], from_us, to_us, html=html)
        # Plots are inline; nothing in a report may fetch or run anything.
        policy = (b"content-security-policy", b"default-src 'none'; style-src 'unsafe-inline'; img-src data:")
        await http.answer(report.body, 200, report.media_type.encode(), [policy])


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
