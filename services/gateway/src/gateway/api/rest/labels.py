"""/v1/labels and reports."""

from typing import Any

import orjson

from chassis.errors import InvalidArgument
from gateway.api.rest.documents_json import text_of
from gateway.api.rest.http import Http, parse_object, refuse_unknown
from gateway.domain.columns import parse_instant
from gateway.domain.documents import Label, LabelsAnswer
from gateway.domain.idempotency import IdempotentWrites
from gateway.domain.labels import MAX_VALUE, Labels

_LABEL = frozenset({"request_id", "row", "output", "value", "event_time"})
_QUERY = frozenset({"format", "from", "to"})


class LabelPaths:
    """Handlers."""

    def __init__(self, labels: Labels, writes: IdempotentWrites) -> None:
        self._labels = labels
        self._writes = writes

    async def put(self, http: Http) -> None:
        """POST /v1/labels."""
        call = http.call
        raw, labels = await http.read(lambda body: (body, labels_of(body)))

        async def write() -> bytes:
            return orjson.dumps(labels_json(await self._labels.put(call, labels)))

        key = http.headers.get(b"idempotency-key", b"").decode("latin-1")
        await http.answer(await self._writes.run(call, key, "labels", raw, write))

    async def report(self, http: Http) -> None:
        """GET /v1/endpoints/{name}/report: JSON, or HTML by Accept or ?format=html."""
        call = http.call
        query = http.query(_QUERY)
        wanted = query.get("format", "")
        if wanted not in ("", "json", "html"):
            raise InvalidArgument("format must be json or html", reason="INVALID_VALUE", field="format")
        html = wanted == "html" or (not wanted and http.headers.get(b"accept", b"").startswith(b"text/html"))
        from_us = parse_instant(query["from"], "from") if "from" in query else 0
        to_us = parse_instant(query["to"], "to") if "to" in query else 0
        report = await self._labels.report(call, http.params["name"], from_us, to_us, html=html)
        # Plots are inline; nothing in a report may fetch or run anything.
        policy = (b"content-security-policy", b"default-src 'none'; style-src 'unsafe-inline'; img-src data:")
        await http.answer(report.body, 200, report.media_type.encode(), [policy])


def labels_of(raw: bytes) -> list[Label]:
    """The labels of a body."""
    body = parse_object(raw)
    refuse_unknown(body, frozenset({"labels"}))
    given = body.get("labels")
    if type(given) is not list or len(given) > 10_000:
        raise InvalidArgument("labels must be a list of at most 10000", reason="INVALID_VALUE", field="labels")
    return [label_of(item, f"labels[{index}]") for index, item in enumerate(given)]


def label_of(value: object, where: str) -> Label:
    """One label."""
    if type(value) is not dict:
        raise InvalidArgument(f"{where} must be an object", reason="INVALID_VALUE", field=where)
    refuse_unknown(value, _LABEL, where)
    row, number = value.get("row", 0), value.get("value")
    if type(row) is not int:
        raise InvalidArgument(f"{where}.row must be a whole number ≥ 0", reason="INVALID_VALUE", field=f"{where}.row")
    if type(number) not in (int, float, bool) or abs(number) > MAX_VALUE:  # type: ignore[arg-type]
        raise InvalidArgument(f"{where}.value must be a number", reason="INVALID_VALUE", field=f"{where}.value")
    event_time = value.get("event_time")
    return Label(
        text_of(value, "request_id", where),
        row,
        text_of(value, "output", where),
        float(number),  # type: ignore[arg-type]
        parse_instant(event_time, f"{where}.event_time"),
    )


def labels_json(answer: LabelsAnswer) -> dict[str, Any]:
    """What was stored, and what was not."""
    return {
        "stored": answer.stored,
        "older": answer.older,
        "errors": [{"index": e.index, "code": e.code, "reason": e.reason, "detail": e.message} for e in answer.errors],
    }
