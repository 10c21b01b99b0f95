"""MonitoringService over gRPC: thin."""

import asyncio
from typing import Any

from chassis.clock import Clock
from chassis.errors import DeadlineExceeded
from chassis.rpc.envelope import Call, open_envelope
from chassis.rpc.identity import Verifier
from mizzen.monitoring.v1 import monitoring_pb2 as pb
from mizzen.monitoring.v1 import monitoring_pb2_grpc
from monitoring.api import convert
from monitoring.domain.evaluate import Evaluate
from monitoring.domain.labels import TakeLabels
from monitoring.domain.match import MatchLabels


class MonitoringServicer(monitoring_pb2_grpc.MonitoringServiceServicer):
    """Labels in, reports out."""

    def __init__(
        self,
        take: TakeLabels,
        match: MatchLabels,
        evaluate: Evaluate,
        verifier: Verifier,
        clock: Clock,
        label_timeout_s: float,
    ) -> None:
        self._take = take
        self._match = match
        self._evaluate = evaluate
        self._verifier = verifier
        self._clock = clock
        self._label_timeout_s = label_timeout_s

    async def PutLabels(self, request: pb.PutLabelsRequest, context: Any) -> pb.PutLabelsResponse:
        """Stores ground truth."""
        call = open_envelope(request.envelope, self._verifier, self._clock)
        labels = convert.labels(request, self._clock.now_us())
        # A tenth of the caller's time is left for the way back.
        timeout_s = min(self._label_timeout_s, call.remaining_s(self._clock) * 0.9)
        stored, errors = await self._take.put(call.identity.tenant, labels, timeout_s)
        return convert.labels_answer(stored, errors)

    async def GetReport(self, request: pb.GetReportRequest, context: Any) -> pb.GetReportResponse:
        """Drift, quality and volumes of one endpoint or collection."""
        call = open_envelope(request.envelope, self._verifier, self._clock)
        report = await self._report(call, request)
        return await asyncio.to_thread(convert.report_answer, report, request.format)

    async def _report(self, call: Call, request: pb.GetReportRequest) -> Any:
        convert.check_range(request)
        try:
            async with asyncio.timeout(call.remaining_s(self._clock) * 0.95):
                return await self._evaluate.report(
                    call.identity.tenant, request.endpoint, request.from_us, request.to_us, deadline_s=call.deadline
                )
        except TimeoutError as error:
            # The windows scored so far are remembered: the next attempt gets further.
            raise DeadlineExceeded("the report took longer than the deadline", reason="REPORT_TIMEOUT") from error
