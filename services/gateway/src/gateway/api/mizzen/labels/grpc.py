"""mizzen.gateway.v1.LabelService."""

import json
from typing import Any

from google.protobuf import struct_pb2
from google.rpc import status_pb2

from chassis.errors import BY_CODE, Code, Internal
from chassis.rpc.status import to_status
from gateway.api.grpc.calls import Calls
from gateway.api.grpc.columns import instant_us
from gateway.domain.documents import Label, LabelError
from gateway.domain.idempotency import IdempotentWrites
from gateway.domain.labels import Labels
from mizzen.gateway.v1 import gateway_pb2 as pb
from mizzen.gateway.v1 import gateway_pb2_grpc


class LabelServicer(gateway_pb2_grpc.LabelServiceServicer):
    """Labels and reports."""

    def __init__(self, calls: Calls, labels: Labels, writes: IdempotentWrites) -> None:
        self._calls = calls
        self._labels = labels
        self._writes = writes

    async def PutLabels(self, request: pb.PutLabelsRequest, context: Any) -> pb.PutLabelsResponse:
        """Stores ground truth."""
        with self._calls.open(context, "LabelService/PutLabels") as call:
            labels = [_label(label, index) for index, label in enumerate(request.labels)]

            async def write() -> bytes:
                answer = await self._labels.put(call, labels)
                response = pb.PutLabelsResponse(stored=answer.stored, older=answer.older)
                if answer.errors:
                    by_index = {error.index: error for error in answer.errors}
                    for index in range(len(labels)):
                        error = by_index.get(index)
                        response.errors.append(status_pb2.Status() if error is None else _refused(error))
                return response.SerializeToString()

            body = request.SerializeToString(deterministic=True)
            stored = await self._writes.run(call, request.idempotency_key, "grpc labels", body, write)
            return pb.PutLabelsResponse.FromString(stored)

    async def GetReport(self, request: pb.GetReportRequest, context: Any) -> pb.GetReportResponse:
        """Drift, quality and volumes."""
        with self._calls.open(context, "LabelService/GetReport") as call:
            from_us = instant_us(request.from_time, "from_time") if request.HasField("from_time") else 0
            to_us = instant_us(request.to_time, "to_time") if request.HasField("to_time") else 0
            report = await self._labels.report(call, request.endpoint, from_us, to_us, html=False)
            body = struct_pb2.Struct()
            try:
                body.update(json.loads(report.body))
            except ValueError as error:
                raise Internal("monitoring answered no JSON", reason="UPSTREAM_MISMATCH") from error
            return pb.GetReportResponse(report=body)


def _refused(error: LabelError) -> status_pb2.Status:
    return to_status(BY_CODE[Code(error.code)](error.message, reason=error.reason))


def _label(label: pb.Label, index: int) -> Label:
    event_time_us = instant_us(label.event_time, f"labels[{index}].event_time")
    return Label(label.request_id, label.row, label.output, label.value, event_time_us)
