"""Every adapter of the gateway, made from settings."""

import os
import socket

from chassis.errors import FailedPrecondition
from chassis.lifecycle import Runtime, Step
from chassis.rpc.channel import Channel
from chassis.rpc.identity import Minter
from gateway.adapters.envelopes import Envelopes
from gateway.adapters.features.client import GrpcFeatures
from gateway.adapters.file_keys import Anonymous, FileKeys
from gateway.adapters.monitoring.client import GrpcMonitoring
from gateway.adapters.prometheus_metrics import PrometheusMetrics
from gateway.adapters.retrieval.client import GrpcRetrieval
from gateway.adapters.triton.client import TritonInference
from gateway.adapters.valkey.connection import connected
from gateway.adapters.valkey.idempotency import ValkeyIdempotency
from gateway.adapters.valkey.records import ValkeyRecords
from gateway.domain.limits import Retry
from gateway.domain.ports import Authenticator
from gateway.domain.record import RecordQueue
from gateway.settings import Settings

_RECORD_S = 2.0
_IDEMPOTENCY_S = 0.5
_WARM_S = 1.0


class Outside:
    """The adapters, and how they are warmed and closed."""

    def __init__(self, runtime: Runtime[Settings], seen: PrometheusMetrics) -> None:
        settings, clock = runtime.settings, runtime.clock
        envelopes = Envelopes(Minter(settings.identity_key_file, clock), clock)

        def retry() -> Retry:
            return Retry(clock, ratio=settings.retry_ratio)

        self._features = runtime.channel("features", settings.features_addresses)
        self._runtime = runtime
        self._inference: dict[str, Channel] = {}
        self.features = GrpcFeatures(self._features, envelopes, retry(), clock, observe=seen.coalesced_reads)
        self.inference = TritonInference(self._predictor, retry(), clock, observe=seen.coalesced_infers)
        retrieval = runtime.channel("retrieval", settings.retrieval_addresses)
        self.retrieval = GrpcRetrieval(retrieval, envelopes, retry(), clock)
        monitoring = runtime.channel("monitoring", settings.monitoring_addresses)
        self.monitoring = GrpcMonitoring(monitoring, envelopes, retry(), clock)
        self.queue = RecordQueue(
            settings.record_queue,
            seen.queue_full,
            max_bytes=settings.record_queue_bytes,
            max_tensor_bytes=settings.record_max_tensor_bytes,
        )
        seen.record_queue.set_function(lambda: len(self.queue))
        stream = settings.stream()
        self._stream = connected(stream.url, _RECORD_S, stream.credentials)
        self._keys = connected(stream.url, _IDEMPOTENCY_S, stream.credentials)
        self.records = ValkeyRecords(
            self._stream,
            self.queue,
            # A new process has a new name: sequence numbers begin anew with it.
            f"{socket.gethostname()}/{os.getpid()}/{runtime.ids.new()[:13]}",
            max_lag=settings.record_max_lag,
            stream_full=seen.stream_full,
            appended=seen.appended,
        )
        self.idempotency = ValkeyIdempotency(self._keys)
        self.keys = _file_keys(runtime)
        self.authenticator: Authenticator = self.keys or Anonymous()
        if self.keys is not None:
            seen.api_keys(self.keys.count, self.keys.faults, self.keys.age_s)

    @property
    def warm(self) -> list[Step]:
        """First connections to what a predict needs; a dependency lost later shows in answers, not in readiness."""
        steps: list[Step] = [lambda: self._features.ready(_WARM_S)]
        if "{name}" not in self._runtime.settings.inference_addresses:
            steps.append(lambda: self._predictor("").ready(_WARM_S))
        return steps

    @property
    def background(self) -> list[tuple[str, Step]]:
        """Work of the adapters that runs for ever."""
        keys = [] if self.keys is None else [("api keys", self.keys.run)]
        return [("records", self.records.run), *keys]

    def details(self) -> list[str]:
        """What a person who looks at readiness should know, though the gateway goes on."""
        return [] if self.keys is None else self.keys.details()

    async def close(self) -> None:
        """Closes what chassis did not open."""
        await self._stream.aclose()
        await self._keys.aclose()

    def _predictor(self, service: str) -> Channel:
        """The channel of an InferenceService; one for all when they share an address."""
        setting = self._runtime.settings.inference_addresses
        name = service if "{name}" in setting else "inference"
        if not name:
            message = "every InferenceService has its own address; ask a model's readiness instead"
            raise FailedPrecondition(message, reason="NO_SHARED_SERVER")
        channel = self._inference.get(name)
        if channel is None:
            channel = self._inference[name] = self._runtime.channel(name, setting, foreign=True)
        return channel


def _file_keys(runtime: Runtime[Settings]) -> FileKeys | None:
    settings = runtime.settings
    if settings.api_keys_file is None:
        return None
    paths = [path for path in (settings.own_keys_file, settings.api_keys_file) if path is not None]
    grace_s = settings.api_keys_grace_s
    return FileKeys(paths, settings.service_secret_file, runtime.clock, grace_s=grace_s, log=runtime.log)
