"""The monitoring service: labels and reports, never while answering a predict."""

from collections.abc import Sequence

from chassis.clock import Clock
from chassis.rpc.channel import Channel
from chassis.rpc.status import from_status
from gateway.adapters.envelopes import Envelopes
from gateway.domain.documents import Label, LabelError, LabelsAnswer, Report
from gateway.domain.limits import Retry, remaining_s
from gateway.domain.model import Call
from mizzen.monitoring.v1 import monitoring_pb2 as pb

_SERVICE = "/mizzen.monitoring.v1.MonitoringService/"


class GrpcMonitoring:
    """See ports.Monitoring."""

    def __init__(self, channel: Channel, envelopes: Envelopes, retry: Retry, clock: Clock) -> None:
        self._channel = channel
        self._envelopes = envelopes
        self._retry = retry
        self._clock = clock

    async def put_labels(self, call: Call, labels: Sequence[Label]) -> LabelsAnswer:
        """See ports.Monitoring. Sending twice changes nothing, so it is tried again."""
        request = pb.PutLabelsRequest()
        self._envelopes.write(call, request.envelope)
        for label in labels:
            request.labels.add(
                request_id=label.request_id,
                row=label.row,
                output=label.output,
                value=label.value,
                event_time_us=label.event_time_us,
            )
        answer = await self._retry.run(
            lambda: self._channel.unary(
                _SERVICE + "PutLabels", request, pb.PutLabelsResponse, remaining_s(self._clock, call.deadline_s)
            ),
            call.deadline_s,
        )
        errors = []
        for index, status in enumerate(answer.statuses):
            error = from_status(status)
            if error is not None:
                errors.append(LabelError(index, error.code.value, error.reason, error.message))
        return LabelsAnswer(answer.stored, answer.older, errors)

    async def report(self, call: Call, endpoint: str, from_us: int, to_us: int, *, html: bool) -> Report:
        wanted = pb.REPORT_FORMAT_HTML if html else pb.REPORT_FORMAT_JSON
        request = pb.GetReportRequest(endpoint=endpoint, from_us=from_us, to_us=to_us, format=wanted)
        self._envelopes.write(call, request.envelope)
        answer = await self._retry.run(
            lambda: self._channel.unary(
                _SERVICE + "GetReport", request, pb.GetReportResponse, remaining_s(self._clock, call.deadline_s)
            ),
            call.deadline_s,
        )
        return Report(answer.media_type, answer.body)
