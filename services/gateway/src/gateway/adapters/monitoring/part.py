"""The monitoring service of a runtime."""

from chassis.lifecycle import Runtime
from gateway.adapters.envelopes import Envelopes
from gateway.adapters.monitoring.client import GrpcMonitoring
from gateway.adapters.part import Part
from gateway.domain.limits import Retry
from gateway.settings import Settings


def monitoring_of(runtime: Runtime[Settings], envelopes: Envelopes) -> Part[GrpcMonitoring]:
    """Connected when somebody first asks."""
    settings, clock = runtime.settings, runtime.clock
    channel = runtime.channel("monitoring", settings.monitoring_addresses)
    return Part(GrpcMonitoring(channel, envelopes, Retry(clock, ratio=settings.retry_ratio), clock))
