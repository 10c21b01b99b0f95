"""Protos ↔ domain."""

import json
from collections.abc import Sequence

from google.rpc import status_pb2

from chassis.errors import InvalidArgument, MizzenError
from chassis.rpc.status import to_status
from mizzen.monitoring.v1 import monitoring_pb2 as pb
from monitoring.api.page import page
from monitoring.api.report_json import report_json
from monitoring.domain.model import Label, Report, Stored


def labels(request: pb.PutLabelsRequest, now_us: int) -> list[Label]:
    """The request's labels; one without event_time became known now."""
    return [
        Label(each.request_id, each.row, each.output, each.value, each.event_time_us or now_us)
        for each in request.labels
    ]


def labels_answer(stored: Stored, errors: Sequence[MizzenError | None]) -> pb.PutLabelsResponse:
    """One status per label."""
    fine = status_pb2.Status()
    statuses = [fine if error is None else to_status(error) for error in errors]
    return pb.PutLabelsResponse(statuses=statuses, stored=stored.stored, older=stored.older)


def check_range(request: pb.GetReportRequest) -> None:
    """Raises InvalidArgument when the range is none."""
    if request.from_us < 0 or request.to_us < 0 or (request.to_us and request.to_us <= request.from_us):
        raise InvalidArgument(
            "the report's range is empty: to has to be later than from", reason="BAD_RANGE", field="to"
        )


def report_answer(report: Report, wanted: int) -> pb.GetReportResponse:
    """The report as JSON, or as an HTML page when asked for."""
    content = report_json(report)
    if wanted == pb.REPORT_FORMAT_HTML:
        return pb.GetReportResponse(media_type="text/html; charset=utf-8", body=page(report, content).encode())
    body = json.dumps(content, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()
    return pb.GetReportResponse(media_type="application/json", body=body)
