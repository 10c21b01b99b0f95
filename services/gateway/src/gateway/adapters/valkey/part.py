"""Valkey of a runtime: the record stream and the first answers of writes, each with a connection of its own."""

import os
import socket

from chassis.lifecycle import Runtime
from gateway.adapters.part import Part
from gateway.adapters.prometheus_metrics import PrometheusMetrics
from gateway.adapters.valkey.connection import connected
from gateway.adapters.valkey.idempotency import ValkeyIdempotency
from gateway.adapters.valkey.records import ValkeyRecords
from gateway.domain.idempotency import IdempotentWrites
from gateway.domain.record import RecordQueue
from gateway.settings import Settings

_RECORD_S = 2.0
_IDEMPOTENCY_S = 0.5


def records_of(runtime: Runtime[Settings], seen: PrometheusMetrics) -> Part[RecordQueue]:
    """The queue that records are offered to; a task appends them to the stream."""
    settings, login = runtime.settings, runtime.settings.stream()
    queue = RecordQueue(
        settings.record_queue,
        seen.queue_full,
        max_bytes=settings.record_queue_bytes,
        max_tensor_bytes=settings.record_max_tensor_bytes,
    )
    seen.record_queue.set_function(lambda: len(queue))
    redis = connected(login.url, _RECORD_S, login.credentials)
    records = ValkeyRecords(
        redis,
        queue,
        # A new process has a new name: sequence numbers begin anew with it.
        f"{socket.gethostname()}/{os.getpid()}/{runtime.ids.new()[:13]}",
        max_lag=settings.record_max_lag,
        stream_full=seen.stream_full,
        appended=seen.appended,
    )
    return Part(queue, background=[("records", records.run)], close=[records.flush, redis.aclose])


def writes_of(runtime: Runtime[Settings], seen: PrometheusMetrics) -> Part[IdempotentWrites]:
    """Writes by Idempotency-Key, whose first answers are kept."""
    login = runtime.settings.stream()
    redis = connected(login.url, _IDEMPOTENCY_S, login.credentials)
    return Part(IdempotentWrites(ValkeyIdempotency(redis), seen.unprotected_write), close=[redis.aclose])
