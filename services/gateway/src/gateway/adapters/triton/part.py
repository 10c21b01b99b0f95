"""The inference servers of a runtime: one channel for each InferenceService, or one for all when they share an address."""

from chassis.errors import FailedPrecondition
from chassis.lifecycle import Runtime, Step
from chassis.rpc.channel import Channel
from gateway.adapters.part import Part
from gateway.adapters.prometheus_metrics import PrometheusMetrics
from gateway.adapters.triton.client import TritonInference
from gateway.domain.limits import Retry
from gateway.settings import Settings

_WARM_S = 1.0


def inference_of(runtime: Runtime[Settings], seen: PrometheusMetrics) -> Part[TritonInference]:
    """Ready once a shared server is connected; a server of its own may come and go with its InferenceService."""
    settings, clock = runtime.settings, runtime.clock
    channels = Channels(runtime)
    retry = Retry(clock, ratio=settings.retry_ratio)
    client = TritonInference(channels.of, retry, clock, observe=seen.coalesced_infers)
    warm: list[Step] = [] if channels.apart else [lambda: channels.of("").ready(_WARM_S)]
    return Part(client, warm=warm)


class Channels:
    """Channels by InferenceService, made when one is first asked for."""

    def __init__(self, runtime: Runtime[Settings]) -> None:
        self._runtime = runtime
        self._setting = runtime.settings.inference_addresses
        self._made: dict[str, Channel] = {}
        # Whether every InferenceService has an address of its own.
        self.apart = "{name}" in self._setting

    def of(self, service: str) -> Channel:
        """The channel of an InferenceService. FailedPrecondition for "", which is any server, where each has its own address."""
        name = service if self.apart else "inference"
        if not name:
            message = "every InferenceService has its own address; ask a model's readiness instead"
            raise FailedPrecondition(message, reason="NO_SHARED_SERVER")
        channel = self._made.get(name)
        if channel is None:
            channel = self._made[name] = self._runtime.channel(name, self._setting, foreign=True)
        return channel
