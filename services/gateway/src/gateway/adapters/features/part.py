"""The features service of a runtime."""

from chassis.lifecycle import Runtime
from gateway.adapters.envelopes import Envelopes
from gateway.adapters.features.client import GrpcFeatures
from gateway.adapters.part import Part
from gateway.adapters.prometheus_metrics import PrometheusMetrics
from gateway.domain.limits import Retry
from gateway.settings import Settings

_WARM_S = 1.0


def features_of(runtime: Runtime[Settings], envelopes: Envelopes, seen: PrometheusMetrics) -> Part[GrpcFeatures]:
    """Ready once connected; an online store lost later shows in answers, not in readiness."""
    settings, clock = runtime.settings, runtime.clock
    channel = runtime.channel("features", settings.features_addresses)
    retry = Retry(clock, ratio=settings.retry_ratio)
    client = GrpcFeatures(channel, envelopes, retry, clock, observe=seen.coalesced_reads)
    return Part(client, warm=[lambda: channel.ready(_WARM_S)])
